/* SPDX-License-Identifier: MIT
 *
 * The web UI's reader takes white space off the ends of each line of a prompt, and takes a line that begins with
 * "Negative prompt:" for the negative one. A prompt that does not survive this is repeated as a field of its own, as
 * JSON, so that limn reads back exactly what was painted.
 */
#include "pipeline/infotext.h"

#include "core/base/memory.h"

#include <ctype.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

/* A text that grows; `failed` sticks when there is no memory. */
struct writer {
    char *text; /* owned */
    size_t length, capacity;
    bool failed;
    bool has_field;
};

static void put_bytes(struct writer *w, const char *bytes, size_t count)
{
    if (w->failed) return;
    if (w->length + count + 1 > w->capacity) {
        const size_t capacity = 2 * (w->length + count + 1);
        char *grown = memory_resize(w->text, capacity);
        if (!grown) {
            w->failed = true;
            return;
        }
        w->text = grown;
        w->capacity = capacity;
    }
    memcpy(w->text + w->length, bytes, count);
    w->length += count;
    w->text[w->length] = '\0';
}

static void put(struct writer *w, const char *text)
{
    put_bytes(w, text, strlen(text));
}

static void put_json(struct writer *w, const char *value)
{
    put(w, "\"");
    for (const char *c = value; *c; c++) {
        char escape[8];
        if (*c == '"' || *c == '\\')
            snprintf(escape, sizeof escape, "\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)*c);
        else
            snprintf(escape, sizeof escape, "%c", *c);
        put(w, escape);
    }
    put(w, "\"");
}

/* The web UI's quote(): as it is unless it holds a comma, a colon or a line end, else as JSON. */
static void put_field(struct writer *w, const char *name, const char *value)
{
    if (w->has_field) put(w, ", ");
    w->has_field = true;
    put(w, name);
    put(w, ": ");
    if (strpbrk(value, ",:\n") || value[0] == '"')
        put_json(w, value);
    else
        put(w, value);
}

static void put_number_field(struct writer *w, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_field(w, name, text);
}

/* The shortest decimal that reads back as the same float: 7.5, not 7.50000000; 10, not 1e+01, which the web UI's reader
 * does not take for a whole number. */
static void put_real_field(struct writer *w, const char *name, float value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (!strchr(text, 'e') && strtof(text, NULL) == value) break;
    }
    put_field(w, name, text);
}

static void put_optional_field(struct writer *w, const char *name, const char *value)
{
    if (value && value[0]) put_field(w, name, value);
}

static void put_settings(struct writer *w, const struct infotext *infotext)
{
    const struct limn_request *r = infotext->request;
    char size[32];
    snprintf(size, sizeof size, "%dx%d", r->width, r->height);
    if (infotext->sampler) {
        put_number_field(w, "Steps", (uint64_t)r->steps);
        put_field(w, "Sampler", infotext->sampler);
        put_field(w, "Schedule type", infotext->schedule);
        put_real_field(w, "CFG scale", r->cfg);
    }
    put_number_field(w, "Seed", r->seed);
    put_field(w, "Size", size);
    put_optional_field(w, "Model hash", infotext->model_hash);
    put_optional_field(w, "Model", infotext->model);
    put_optional_field(w, "VAE", infotext->vae);
    put_optional_field(w, "Prediction type", infotext->prediction);
    put_optional_field(w, "Weights", infotext->weights);
    put_optional_field(w, "Compute", infotext->compute);
    if (r->subseed_strength > 0) {
        put_number_field(w, "Variation seed", r->subseed);
        put_real_field(w, "Variation seed strength", r->subseed_strength);
    }
    if (r->truncation > 0) put_real_field(w, "Truncation", r->truncation);
    if (r->image) put_real_field(w, "Denoising strength", r->strength);
    if (r->clip_skip > 0) put_number_field(w, "Clip skip", (uint64_t)r->clip_skip);
    if (r->mask) put_number_field(w, "Mask blur", (uint64_t)r->mask_blur);
    if (r->mask && r->invert_mask) put_field(w, "Mask mode", "Inpaint not masked");
    if (r->eta > 0) put_real_field(w, "Eta DDIM", r->eta);
    put_field(w, "RNG", strcmp(r->rng, "mt19937") == 0 ? "CPU" : "NV");
}

/* Adds the prompts once more where the web UI's reader would not give them back. */
static enum status put_exact_prompts(struct writer *w, const struct limn_request *request, struct error *err)
{
    struct arena memory = {0};
    struct infotext_parts parts = {0};
    const enum status status = infotext_split(&parts, w->text, &memory, err);
    if (status == STATUS_OK) {
        if (strcmp(parts.prompt, request->prompt) != 0) {
            put(w, ", Exact prompt: ");
            put_json(w, request->prompt);
        }
        if (strcmp(parts.negative, request->negative) != 0) {
            put(w, ", Exact negative prompt: ");
            put_json(w, request->negative);
        }
    }
    arena_clear(&memory);
    return status;
}

enum status infotext_create(char **out, const struct infotext *infotext, struct error *err)
{
    *out = NULL;
    struct writer w = {0};
    put(&w, infotext->request->prompt);
    if (infotext->request->negative[0]) {
        put(&w, "\nNegative prompt: ");
        put(&w, infotext->request->negative);
    }
    put(&w, "\n");
    put_settings(&w, infotext);
    put_field(&w, "Version", "limn " LIMN_VERSION);
    enum status status = STATUS_OK;
    if (!w.failed) status = put_exact_prompts(&w, infotext->request, err);
    if (w.failed) status = fail_no_memory(err, "the picture's parameters", w.capacity);
    if (status == STATUS_OK)
        *out = w.text;
    else
        memory_free(w.text);
    return status;
}

/* ---- reading ---- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct span {
    const char *start, *end;
};

static struct span strip(struct span s)
{
    while (s.start < s.end && is_blank(*s.start)) s.start++;
    while (s.end > s.start && is_blank(s.end[-1])) s.end--;
    return s;
}

/* The end of the quoted value that begins at `at`, if a comma or the end follows it; else NULL. */
static const char *quoted_end(const char *at, const char *end)
{
    const char *c = at + 1;
    while (c < end && *c != '"') c += *c == '\\' && c + 1 < end ? 2 : 1;
    if (c >= end || c == at + 1) return NULL;
    c++;
    return c == end || *c == ',' ? c : NULL;
}

/* One match of the web UI's regular expression, anchored at `at`:
 *     \s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)
 * Returns where the match ends, or NULL. */
static const char *match_field(const char *at, const char *end, struct span *name, struct span *value)
{
    while (at < end && is_blank(*at)) at++;
    if (at == end || !is_word(*at)) return NULL;
    name->start = at++;
    while (at < end && (is_word(*at) || *at == ' ' || *at == '-' || *at == '/')) at++;
    if (at == end || *at != ':' || at - name->start < 2) return NULL;
    name->end = at++;
    while (at < end && is_blank(*at)) at++;
    value->start = at;
    const char *quoted = at < end && *at == '"' ? quoted_end(at, end) : NULL;
    if (quoted)
        at = quoted;
    else
        while (at < end && *at != ',') at++;
    value->end = at;
    return at < end ? at + 1 : at;
}

/* The next match at or behind *at, which moves past it. */
static bool next_field(const char **at, const char *end, struct span *name, struct span *value)
{
    while (*at < end) {
        const char *after = match_field(*at, end, name, value);
        if (after) {
            *at = after;
            return true;
        }
        ++*at;
    }
    return false;
}

static int count_fields(struct span line)
{
    struct span name, value;
    int count = 0;
    while (next_field(&line.start, line.end, &name, &value)) count++;
    return count;
}

static const char *copy_span(struct arena *memory, struct span s)
{
    return arena_strndup(memory, s.start, (size_t)(s.end - s.start));
}

/* A quoted value is JSON; what is not JSON is kept as it stands. */
static const char *copy_value(struct arena *memory, struct span s)
{
    const size_t bytes = (size_t)(s.end - s.start);
    if (bytes < 2 || s.start[0] != '"' || s.end[-1] != '"') return copy_span(memory, s);
    json_t *json = json_loadb(s.start, bytes, JSON_DECODE_ANY, NULL);
    const char *text = json_string_value(json);
    const char *copy = text ? arena_strdup(memory, text) : copy_span(memory, s);
    json_decref(json);
    return copy;
}

static bool split_fields(struct infotext_parts *parts, struct span line, struct arena *memory)
{
    const int count = count_fields(line);
    parts->fields = arena_alloc(memory, sizeof *parts->fields * (size_t)(count + 1));
    if (!parts->fields) return false;
    struct span name, value;
    while (parts->field_count < count && next_field(&line.start, line.end, &name, &value)) {
        struct infotext_field *field = &parts->fields[parts->field_count++];
        field->name = copy_span(memory, name);
        field->value = copy_value(memory, value);
        if (!field->name || !field->value) return false;
    }
    return true;
}

/* Lines up to the one that begins with "Negative prompt:" are the prompt, the others the negative one. Each buffer is
 * as long as all of the text, so nothing here can overflow. */
static bool split_prompts(struct infotext_parts *parts, struct span lines, struct arena *memory)
{
    static const char mark[] = "Negative prompt:";
    const size_t room = (size_t)(lines.end - lines.start) + 1;
    char *buffers[2] = {arena_alloc(memory, room), arena_alloc(memory, room)};
    if (!buffers[0] || !buffers[1]) return false;
    size_t used[2] = {0};
    int which = 0;
    for (const char *at = lines.start; at < lines.end;) {
        const char *stop = memchr(at, '\n', (size_t)(lines.end - at));
        if (!stop) stop = lines.end;
        struct span line = strip((struct span){at, stop});
        const size_t bytes = (size_t)(line.end - line.start);
        if (bytes >= sizeof mark - 1 && memcmp(line.start, mark, sizeof mark - 1) == 0) {
            which = 1;
            line = strip((struct span){line.start + sizeof mark - 1, line.end});
        }
        if (used[which] > 0) buffers[which][used[which]++] = '\n';
        memcpy(buffers[which] + used[which], line.start, (size_t)(line.end - line.start));
        used[which] += (size_t)(line.end - line.start);
        at = stop + 1;
    }
    parts->prompt = buffers[0];
    parts->negative = buffers[1];
    return true;
}

enum status infotext_split(struct infotext_parts *parts, const char *text, struct arena *memory, struct error *err)
{
    *parts = (struct infotext_parts){0};
    const struct span all = strip((struct span){text, text + strlen(text)});
    struct span last = all;
    for (const char *c = all.start; c < all.end; c++)
        if (*c == '\n') last.start = c + 1;
    struct span lines = {all.start, last.start};
    if (count_fields(last) < 3) { /* Then it is no list of settings but the last line of a prompt. */
        lines.end = all.end;
        last.start = last.end;
    }
    if (!split_fields(parts, last, memory) || !split_prompts(parts, lines, memory))
        return fail_no_memory(err, "a picture's parameters", strlen(text));
    const char *exact = infotext_find(parts, "Exact prompt"),
               *exact_negative = infotext_find(parts, "Exact negative prompt");
    if (exact) parts->prompt = exact;
    if (exact_negative) parts->negative = exact_negative;
    return STATUS_OK;
}

const char *infotext_find(const struct infotext_parts *parts, const char *name)
{
    const char *value = NULL;
    for (int i = 0; i < parts->field_count; i++)
        if (strcmp(parts->fields[i].name, name) == 0) value = parts->fields[i].value;
    return value;
}
