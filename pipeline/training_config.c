/* SPDX-License-Identifier: MIT
 *
 * Tables of keys: JSON objects are read by them, checked, and written.
 */
#include "core/io/file.h"
#include "core/io/quote.h"
#include "pipeline/training_loop.h"

#include <math.h>
#include <string.h>

/* Where a value stands, for sentences. */
struct place {
    struct training *t;
    const char *object;
    const struct training_key *key;
    struct error *err;
};

static enum status refuse(const struct place *p, const char *allowed)
{
    return fail(p->err, STATUS_ARGUMENT, "the configuration's '%s' in '%s' must be %s", p->key->name, p->object,
                allowed);
}

static enum status refuse_number(const struct place *p)
{
    const bool whole = p->key->kind == TRAINING_KEY_WHOLE || p->key->kind == TRAINING_KEY_LONG;
    return fail(p->err, STATUS_ARGUMENT, "the configuration's '%s' in '%s' must be a %s from %.10g to %.10g",
                p->key->name, p->object, whole ? "whole number" : "number", p->key->low, p->key->high);
}

static bool in_range(const struct training_key *key, double number)
{
    return number >= key->low && number <= key->high;
}

static enum status read_whole(const struct place *p, const json_t *value)
{
    const json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || !in_range(p->key, (double)number)) return refuse_number(p);
    if (p->key->kind == TRAINING_KEY_WHOLE)
        *(int *)p->key->to = (int)number;
    else
        *(int64_t *)p->key->to = number;
    return STATUS_OK;
}

static enum status read_real(const struct place *p, const json_t *value)
{
    const double number = json_number_value(value);
    if (!json_is_number(value) || !in_range(p->key, number)) return refuse_number(p);
    if (p->key->kind == TRAINING_KEY_REAL)
        *(double *)p->key->to = number;
    else
        *(float *)p->key->to = (float)number;
    return STATUS_OK;
}

static enum status read_name(const struct place *p, const json_t *value)
{
    char allowed[256] = "one of";
    for (int i = 0; p->key->names[i]; i++) {
        if (json_is_string(value) && strcmp(json_string_value(value), p->key->names[i]) == 0) {
            *(int *)p->key->to = i;
            return STATUS_OK;
        }
        const size_t at = strlen(allowed);
        snprintf(allowed + at, sizeof allowed - at, "%s %s", i ? "," : "", p->key->names[i]);
    }
    return refuse(p, allowed);
}

static enum status read_text(const struct place *p, const json_t *value, const char **out)
{
    if (json_is_null(value)) {
        *out = NULL;
        return STATUS_OK;
    }
    if (!json_is_string(value)) return refuse(p, "a text");
    *out = arena_strdup(&p->t->loop->memory, json_string_value(value));
    return *out ? STATUS_OK : fail_no_memory(p->err, "a configuration", json_string_length(value));
}

static enum status read_list(const struct place *p, const json_t *value)
{
    struct training_list list = {0};
    if (!json_is_array(value) || json_array_size(value) < 1 || json_array_size(value) > TRAINING_LIST_MOST)
        return refuse(p, "a list of 1 to 16 whole numbers");
    list.count = (int)json_array_size(value);
    for (int i = 0; i < list.count; i++) {
        const json_t *item = json_array_get(value, (size_t)i);
        if (!json_is_integer(item) || !in_range(p->key, (double)json_integer_value(item))) return refuse_number(p);
        list.value[i] = (int)json_integer_value(item);
    }
    *(struct training_list *)p->key->to = list;
    return STATUS_OK;
}

static enum status read_texts(const struct place *p, const json_t *value)
{
    struct training_texts *texts = p->key->to;
    if (!json_is_array(value) || json_array_size(value) > TRAINING_TEXTS_MOST)
        return refuse(p, "a list of at most 256 texts");
    texts->count = (int)json_array_size(value);
    enum status status = STATUS_OK;
    for (int i = 0; i < texts->count && status == STATUS_OK; i++)
        status = read_text(p, json_array_get(value, (size_t)i), &texts->value[i]);
    return status;
}

static enum status read_value(const struct place *p, const json_t *value)
{
    switch (p->key->kind) {
    case TRAINING_KEY_WHOLE:
    case TRAINING_KEY_LONG: return read_whole(p, value);
    case TRAINING_KEY_REAL:
    case TRAINING_KEY_FLOAT: return read_real(p, value);
    case TRAINING_KEY_NAME: return read_name(p, value);
    case TRAINING_KEY_TEXT: return read_text(p, value, p->key->to);
    case TRAINING_KEY_LIST: return read_list(p, value);
    case TRAINING_KEY_TEXTS: return read_texts(p, value);
    case TRAINING_KEY_FLAG: break;
    }
    if (!json_is_boolean(value)) return refuse(p, "true or false");
    *(bool *)p->key->to = json_is_true(value);
    return STATUS_OK;
}

enum status training_read_object(struct training *t, json_t *object, const char *name, const struct training_key *keys,
                                 int count, struct error *err)
{
    if (!json_is_object(object)) return fail(err, STATUS_ARGUMENT, "the configuration's '%s' must be an object", name);
    const char *given;
    json_t *value;
    json_object_foreach (object, given, value) {
        int i = 0;
        while (i < count && strcmp(keys[i].name, given) != 0) i++;
        if (i == count)
            return fail(err, STATUS_ARGUMENT, "the configuration's '%s' has no key '%s'", name, quote(given).text);
        const enum status status =
            read_value(&(struct place){.t = t, .object = name, .key = &keys[i], .err = err}, value);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

enum status training_read_config(struct training *t, const char *object, const struct training_key *keys, int count,
                                 struct error *err)
{
    json_t *member = json_object_get(t->loop->config, object);
    return member ? training_read_object(t, member, object, keys, count, err) : STATUS_OK;
}

enum status training_config_member(struct training *t, const char *member, json_t **out, struct error *err)
{
    *out = json_object_get(t->loop->config, member);
    if (!*out || json_is_object(*out)) return STATUS_OK;
    *out = NULL;
    return fail(err, STATUS_ARGUMENT, "the configuration's '%s' must be an object", member);
}

enum status training_keep_number(struct training *t, const char *object, const char *key, int64_t number,
                                 struct error *err)
{
    struct training_loop *loop = t->loop;
    if (!loop->config) loop->config = json_object();
    json_t *member = json_object_get(loop->config, object);
    if (!member && json_object_set_new(loop->config, object, json_object()) == 0)
        member = json_object_get(loop->config, object);
    if (json_object_set_new(member, key, json_integer(number)) == 0) return STATUS_OK;
    return fail_no_memory(err, "a configuration", strlen(key));
}

enum status training_check_config(const struct training *t, struct error *err)
{
    const char *const *members = t->family->members;
    const char *given;
    json_t *value;
    json_object_foreach (t->loop->config, given, value) {
        char allowed[256] = "training";
        bool known = strcmp(given, allowed) == 0;
        for (int i = 0; members[i]; i++) {
            const size_t at = strlen(allowed);
            snprintf(allowed + at, sizeof allowed - at, ", %s", members[i]);
            known = known || strcmp(given, members[i]) == 0;
        }
        if (!known)
            return fail(err, STATUS_ARGUMENT, "the configuration has no member '%s' for %s; there are: %s",
                        quote(given).text, t->family->name, allowed);
    }
    return STATUS_OK;
}

enum status training_open_config(struct training *t, struct error *err)
{
    const char *path = t->loop->options->config;
    if (!path) return STATUS_OK;
    struct mapped_file file = {0};
    json_error_t why;
    const enum status status = file_map(&file, path, err);
    if (status != STATUS_OK) return status;
    t->loop->config = json_loadb((const char *)file.bytes, file.size, JSON_REJECT_DUPLICATES, &why);
    file_unmap(&file);
    if (json_is_object(t->loop->config)) return STATUS_OK;
    if (t->loop->config)
        return fail(err, STATUS_FORMAT, "%s: the configuration must be a JSON object", quote(path).text);
    return fail(err, STATUS_FORMAT, "%s: line %d: %s", quote(path).text, why.line, quote(why.text).text);
}

json_t *training_shapes_json(const struct training *t)
{
    json_t *shapes = t->loop->config ? json_copy(t->loop->config) : json_object();
    if (shapes) (void)json_object_del(shapes, "training"); /* that it is not there is fine */
    return shapes;
}

/* ---- writing ---- */

static json_t *value_json(const struct training_key *key)
{
    switch (key->kind) {
    case TRAINING_KEY_WHOLE: return json_integer(*(const int *)key->to);
    case TRAINING_KEY_LONG: return json_integer(*(const int64_t *)key->to);
    case TRAINING_KEY_REAL: return json_real(*(const double *)key->to);
    case TRAINING_KEY_FLOAT: return json_real((double)*(const float *)key->to);
    case TRAINING_KEY_FLAG: return json_boolean(*(const bool *)key->to);
    case TRAINING_KEY_NAME: return json_string(key->names[*(const int *)key->to]);
    case TRAINING_KEY_TEXT: return *(const char **)key->to ? json_string(*(const char **)key->to) : json_null();
    case TRAINING_KEY_LIST:
    case TRAINING_KEY_TEXTS: break;
    }
    json_t *list = json_array();
    const struct training_list *numbers = key->to;
    const struct training_texts *texts = key->to;
    const bool is_list = key->kind == TRAINING_KEY_LIST;
    for (int i = 0; list && i < (is_list ? numbers->count : texts->count); i++)
        json_array_append_new(list, is_list ? json_integer(numbers->value[i]) : json_string(texts->value[i]));
    return list;
}

json_t *training_write_object(const struct training_key *keys, int count)
{
    json_t *object = json_object();
    for (int i = 0; object && i < count; i++) {
        if (json_object_set_new(object, keys[i].name, value_json(&keys[i])) == 0) continue;
        json_decref(object);
        object = NULL;
    }
    return object;
}
