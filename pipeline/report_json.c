/* SPDX-License-Identifier: MIT
 *
 * report.json. What depends on the machine and the moment (seconds, memory, whether a picture was found or painted)
 * stands in "machine" alone.
 */
#include "core/io/charset.h"
#include "pipeline/report.h"

#include <math.h>
#include <string.h>

/* A name of a file may be no UTF-8. */
static json_t *text_of(const char *text)
{
    if (!text) return json_null();
    json_t *value = json_string(text);
    if (value) return value;
    char *converted = utf8_from_unknown(text, strlen(text));
    value = converted ? json_string(converted) : NULL;
    memory_free(converted);
    return value;
}

static json_t *number_of(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *texts_of(const char *const *texts, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++) json_array_append_new(list, text_of(texts[i]));
    return list;
}

static json_t *figure_json(enum measure measure, const struct figure *f)
{
    static const char *const better[] = {
        [BETTER_LOWER] = "lower", [BETTER_HIGHER] = "higher", [BETTER_NEITHER] = "neither"};
    json_t *o = json_object();
    json_object_set_new(o, "value", f->known ? number_of(f->value) : json_null());
    if (f->known && isfinite(f->error)) json_object_set_new(o, "error", json_real(f->error));
    if (f->known && isfinite(f->ideal)) json_object_set_new(o, "ideal", json_real(f->ideal));
    if (f->known && f->bound) json_object_set_new(o, "at_least", json_true());
    json_object_set_new(o, "better", json_string(better[measure_info(measure)->better]));
    if (f->caution[0]) json_object_set_new(o, "caution", text_of(f->caution));
    return o;
}

static json_t *measures_json(const struct measures *m)
{
    json_t *o = json_object();
    for (int i = 0; i < MEASURE_COUNT; i++)
        json_object_set_new(o, measure_info((enum measure)i)->name, figure_json((enum measure)i, &m->figure[i]));
    return o;
}

static json_t *verdicts_json(const struct verdicts *v)
{
    static const char *const kinds[] = {
        [VERDICT_FAULT] = "fault", [VERDICT_DOUBT] = "doubt", [VERDICT_GOOD] = "good", [VERDICT_NOTE] = "note"};
    json_t *list = json_array();
    for (int i = 0; i < v->count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "kind", kinds[v->verdict[i].kind], "measure",
                                              measure_info(v->verdict[i].measure)->name, "text",
                                              text_of(v->verdict[i].text)));
    return list;
}

static json_t *cost_json(const struct compare_cost *cost)
{
    return json_pack("{s:i, s:I, s:o}", "evaluations", cost->evaluations, "parameters", (json_int_t)cost->parameters,
                     "gflop", number_of(cost->gflop));
}

static json_t *entrant_json(const struct entrant *e)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", text_of(e->name));
    json_object_set_new(o, "path", text_of(e->path));
    json_object_set_new(o, "family", text_of(e->family));
    if (e->hash[0]) json_object_set_new(o, "hash", text_of(e->hash));
    if (e->settings[0]) json_object_set_new(o, "settings", text_of(e->settings));
    json_object_set_new(o, "n", json_integer((json_int_t)e->set.count));
    if (!e->is_model) json_object_set_new(o, "left_out", json_integer((json_int_t)e->set.skipped));
    if (e->is_model) json_object_set_new(o, "takes_prompts", json_boolean(e->takes_prompts));
    if (e->is_model) json_object_set_new(o, "made_with_this_network", json_boolean(e->knows_network));
    json_object_set_new(o, "width", json_integer(e->width));
    json_object_set_new(o, "height", json_integer(e->height));
    if (e->is_model) json_object_set_new(o, "cost", cost_json(&e->cost));
    json_object_set_new(o, "measures", measures_json(&e->measures));
    json_object_set_new(o, "verdicts", verdicts_json(&e->verdicts));
    return o;
}

static json_t *reference_json(const struct comparison *c)
{
    if (c->reference.count == 0) return json_null();
    return json_pack("{s:o, s:I, s:I, s:I, s:i, s:i}", "path", text_of(c->reference_path), "n",
                     (json_int_t)c->wanted_count, "of", (json_int_t)c->reference.count, "left_out",
                     (json_int_t)c->reference.skipped, "width", c->reference.side_x, "height", c->reference.side_y);
}

/* Working memory is the machine's too: each thread has its own. */
static json_t *machine_json(const struct comparison *c)
{
    json_t *models = json_object();
    for (int i = 0; i < c->count; i++) {
        const struct entrant *e = &c->entrants[i];
        if (e->is_model)
            json_object_set_new(models, e->name,
                                json_pack("{s:f, s:i, s:I}", "seconds_per_picture", e->cost.seconds, "pictures_timed",
                                          e->cost.timed, "memory_bytes", (json_int_t)e->cost.memory_bytes));
    }
    return json_pack("{s:f, s:f, s:o}", "painting_seconds", c->painting, "measuring_seconds", c->measuring, "models",
                     models);
}

/* jansson passes on NULL: a member that memory was not there for is missing at the end, and is looked for. */
static bool complete(const json_t *root, int members, int entrants)
{
    return json_object_size(root) == (size_t)members &&
           json_array_size(json_object_get(root, "entrants")) == (size_t)entrants;
}

enum status report_json(const struct comparison *c, json_t **out, struct error *err)
{
    enum { MEMBERS = 11 };
    json_t *root = json_object(), *entrants = json_array();
    for (int i = 0; i < c->count; i++) json_array_append_new(entrants, entrant_json(&c->entrants[i]));
    json_object_set_new(root, "format", json_integer(1));
    json_object_set_new(root, "limn", json_string(LIMN_VERSION));
    json_object_set_new(root, "verdict", texts_of(c->verdict, c->verdict_count));
    json_object_set_new(root, "warnings", texts_of(c->warnings, c->warning_count));
    json_object_set_new(root, "prompts", texts_of(c->prompts, c->prompt_count));
    json_object_set_new(root, "settings",
                        json_pack("{s:i, s:I, s:i}", "pictures_of_each_prompt", c->per_prompt, "seed",
                                  (json_int_t)c->request->seed, "seed_stride", (int)COMPARE_SEED_STRIDE));
    json_object_set_new(root, "features", text_of(c->network));
    json_object_set_new(root, "resize_rule", json_string(PICTURE_SET_RESIZE_RULE));
    json_object_set_new(root, "reference", reference_json(c));
    json_object_set_new(root, "entrants", entrants);
    json_object_set_new(root, "machine", machine_json(c));
    *out = root;
    if (complete(root, MEMBERS, c->count)) return STATUS_OK;
    json_decref(root);
    *out = NULL;
    return fail_no_memory(err, "a report", 1 << 16);
}
