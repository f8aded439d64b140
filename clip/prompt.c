/* SPDX-License-Identifier: MIT
 *
 * The grammar is that of parse_prompt_attention (modules/prompt_parser.py), the chunks are those of tokenize_line
 * (modules/sd_hijack_clip.py) in the web UI 1.10, with emphasis "Original" and comma padding backtrack 20. A bracket
 * multiplies, when it closes, the weight of every part since it opened, in double precision and in that order, so that
 * weights are the same to the last bit and the same neighbours are joined.
 */
#include "clip/prompt.h"

#include "clip/text.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <utf8proc.h>

static const char break_word[] = "BREAK";
enum { BREAK_BYTES = sizeof break_word - 1 };

/* The parts that were begun inside each open bracket: indices of their first. */
struct brackets {
    size_t *first;
    size_t open;
};

struct parser {
    struct prompt_part *parts; /* owned by the arena, like all below */
    size_t count;
    char *text; /* where parts keep their text, one behind the other */
    struct brackets round, square;
};

static void add_part(struct parser *p, const char *text, size_t bytes, double weight)
{
    memcpy(p->text, text, bytes);
    p->parts[p->count++] = (struct prompt_part){.text = p->text, .bytes = bytes, .weight = weight};
    p->text += bytes;
}

/* The letter at text, and its bytes. The text is valid. */
static size_t letter_at(const char *text, size_t bytes, int32_t *letter)
{
    const utf8proc_ssize_t length = utf8proc_iterate((const uint8_t *)text, (utf8proc_ssize_t)bytes, letter);
    assert(length > 0);
    return (size_t)length;
}

static size_t letter_before(const char *text, size_t at, int32_t *letter)
{
    size_t start = at - 1;
    while ((text[start] & 0xc0) == 0x80) start--;
    return letter_at(text + start, at - start, letter);
}

/* Python's \s: White_Space and the four separators of ASCII. */
static bool is_space(int32_t letter)
{
    return text_is_space(letter) || (letter >= 0x1c && letter <= 0x1f);
}

/* Python's \w: letters and numbers of all scripts, and the low line. */
static bool is_word(int32_t letter)
{
    const utf8proc_category_t category = utf8proc_category(letter);
    return letter == '_' || (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
           (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

static size_t spaces_at(const char *text, size_t bytes)
{
    size_t length = 0;
    for (int32_t letter; length < bytes;) {
        const size_t step = letter_at(text + length, bytes - length, &letter);
        if (!is_space(letter)) break;
        length += step;
    }
    return length;
}

static bool is_break_at(const char *text, size_t bytes, size_t at)
{
    int32_t letter;
    if (bytes - at < BREAK_BYTES || memcmp(text + at, break_word, BREAK_BYTES) != 0) return false;
    if (at > 0 && (letter_before(text, at, &letter), is_word(letter))) return false;
    at += BREAK_BYTES;
    return at == bytes || (letter_at(text + at, bytes - at, &letter), !is_word(letter));
}

/* Adds a run of plain text, cut at each BREAK with the white space around it. */
static void add_text(struct parser *p, const char *text, size_t bytes)
{
    size_t start = 0;
    for (size_t at = 0; at < bytes; at++) {
        if (!is_break_at(text, bytes, at)) continue;
        size_t end = at;
        for (int32_t letter; end > start;) {
            const size_t step = letter_before(text, end, &letter);
            if (!is_space(letter)) break;
            end -= step;
        }
        add_part(p, text + start, end - start, 1);
        add_part(p, break_word, BREAK_BYTES, -1);
        start = at + BREAK_BYTES;
        start += spaces_at(text + start, bytes - start);
        at = start - 1;
    }
    add_part(p, text + start, bytes - start, 1);
}

/* Reads [+-]?[.0-9]+ if it is a number; returns its bytes, or 0. The C library's strtod would ask the locale. */
static size_t read_number(const char *text, size_t bytes, double *value)
{
    const double enough = 1e17; /* more decimal places than a double has */
    double digits = 0, scale = 1;
    int count = 0, points = 0;
    size_t at = bytes > 0 && (text[0] == '+' || text[0] == '-');
    for (; at < bytes && (text[at] == '.' || (text[at] >= '0' && text[at] <= '9')); at++) {
        if (text[at] == '.') {
            points++;
            continue;
        }
        count++;
        if (points && scale >= enough) continue;
        digits = 10 * digits + (text[at] - '0');
        if (points) scale *= 10;
    }
    *value = (text[0] == '-' ? -digits : digits) / scale;
    return count > 0 && points <= 1 ? at : 0;
}

/* The bytes of `: 1.3 )` at text, or 0. */
static size_t read_weight(const char *text, size_t bytes, double *weight)
{
    if (text[0] != ':') return 0;
    size_t at = 1 + spaces_at(text + 1, bytes - 1);
    const size_t number = at < bytes ? read_number(text + at, bytes - at, weight) : 0;
    if (!number) return 0;
    at += number;
    at += spaces_at(text + at, bytes - at);
    return at < bytes && text[at] == ')' ? at + 1 : 0;
}

static void multiply_since(struct parser *p, size_t first, double factor)
{
    for (size_t i = first; i < p->count; i++) p->parts[i].weight *= factor;
}

static bool is_one_of(char sign, const char *signs)
{
    return sign && strchr(signs, sign);
}

static const double round_factor = 1.1, square_factor = 1 / 1.1;

/* Takes one sign or run of text; returns its bytes. */
static size_t take(struct parser *p, const char *text, size_t bytes)
{
    double weight;
    size_t length = 1;
    if (text[0] == '\\') {
        if (bytes > 1 && is_one_of(text[1], "()[]\\")) length = 2;
        add_part(p, text + 1, length - 1, 1);
    } else if (text[0] == '(') {
        p->round.first[p->round.open++] = p->count;
    } else if (text[0] == '[') {
        p->square.first[p->square.open++] = p->count;
    } else if (p->round.open && read_weight(text, bytes, &weight)) {
        length = read_weight(text, bytes, &weight);
        multiply_since(p, p->round.first[--p->round.open], weight);
    } else if (text[0] == ')' && p->round.open) {
        multiply_since(p, p->round.first[--p->round.open], round_factor);
    } else if (text[0] == ']' && p->square.open) {
        multiply_since(p, p->square.first[--p->square.open], square_factor);
    } else {
        const bool sign = is_one_of(text[0], ")]:");
        while (!sign && length < bytes && !is_one_of(text[length], "\\()[]:")) length++;
        add_text(p, text, length);
    }
    return length;
}

/* Neighbours of equal weight become one part: their texts already lie one behind the other. */
static void join_equals(struct parser *p)
{
    size_t last = 0;
    for (size_t i = 1; i < p->count; i++) {
        if (p->parts[i].weight == p->parts[last].weight)
            p->parts[last].bytes += p->parts[i].bytes;
        else
            p->parts[++last] = p->parts[i];
    }
    p->count = last + 1;
}

static enum status check_weights(const struct parser *p, struct error *err)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct prompt_part *part = &p->parts[i];
        if (fabs(part->weight) <= PROMPT_MAX_WEIGHT) continue; /* not true of NaN */
        int shown = part->bytes < 40 ? (int)part->bytes : 40;
        while (shown > 0 && (size_t)shown < part->bytes && (part->text[shown] & 0xc0) == 0x80) shown--;
        return fail(err, STATUS_ARGUMENT, "the prompt gives '%.*s' the weight %g; %d to %d are allowed", shown,
                    part->text, part->weight, -PROMPT_MAX_WEIGHT, PROMPT_MAX_WEIGHT);
    }
    return STATUS_OK;
}

enum status prompt_parse(struct prompt_parts *out, const char *text, size_t bytes, struct error *err)
{
    *out = (struct prompt_parts){0};
    if (text_check(text, bytes, "the prompt", err) != STATUS_OK) return err->status;
    /* No sign or run of n bytes makes more than n parts, and no part's text is longer than what it was read from. */
    struct parser p = {
        .parts = arena_alloc(&out->arena, (bytes + 1) * sizeof *p.parts),
        .text = arena_alloc(&out->arena, bytes + 1),
        .round.first = arena_alloc(&out->arena, (bytes + 1) * sizeof *p.round.first),
        .square.first = arena_alloc(&out->arena, (bytes + 1) * sizeof *p.square.first),
    };
    enum status status = STATUS_OK;
    if (!p.parts || !p.text || !p.round.first || !p.square.first)
        status = fail_no_memory(err, "a prompt's parts", bytes * sizeof *p.parts);
    for (size_t at = 0; status == STATUS_OK && at < bytes;) at += take(&p, text + at, bytes - at);
    if (status == STATUS_OK) {
        for (size_t i = 0; i < p.round.open; i++) multiply_since(&p, p.round.first[i], round_factor);
        for (size_t i = 0; i < p.square.open; i++) multiply_since(&p, p.square.first[i], square_factor);
        if (p.count == 0) add_part(&p, "", 0, 1);
        join_equals(&p);
        status = check_weights(&p, err);
    }
    out->parts = p.parts;
    out->count = p.count;
    if (status != STATUS_OK) prompt_parts_clear(out);
    return status;
}

void prompt_parts_clear(struct prompt_parts *parts)
{
    arena_clear(&parts->arena);
    *parts = (struct prompt_parts){0};
}

static bool is_break(const struct prompt_part *part)
{
    return part->weight == -1 && part->bytes == BREAK_BYTES && memcmp(part->text, break_word, BREAK_BYTES) == 0;
}

/* The chunk being filled is the one behind the `count` finished ones. */
struct cutter {
    struct prompt_chunks *out;
    struct token_names names;
    int32_t pad;
    int room;  /* text tokens of a chunk */
    int fill;  /* text tokens in the chunk so far */
    int comma; /* where its last comma is, or -1 */
};

static enum status reserve_chunk(struct prompt_chunks *out, struct error *err)
{
    if (out->count > PROMPT_MAX_CHUNKS) /* one more is always there to begin */
        return fail(err, STATUS_ARGUMENT,
                    "the prompt needs more than %d chunks of %d tokens, which is the most allowed", PROMPT_MAX_CHUNKS,
                    out->length - 2);
    if (out->count < out->capacity) return STATUS_OK;
    const int capacity = out->capacity ? 2 * out->capacity : 1;
    const size_t places = (size_t)capacity * (size_t)out->length;
    int32_t *ids = memory_resize(out->ids, places * sizeof *ids);
    if (!ids) return fail_no_memory(err, "a prompt's tokens", places * sizeof *ids);
    out->ids = ids;
    float *weights = memory_resize(out->weights, places * sizeof *weights);
    if (!weights) return fail_no_memory(err, "a prompt's weights", places * sizeof *weights);
    out->weights = weights;
    out->capacity = capacity;
    return STATUS_OK;
}

/* Finishes the chunk with its first `keep` tokens; the others begin the next one. */
static enum status finish_chunk(struct cutter *c, int keep, struct error *err)
{
    struct prompt_chunks *out = c->out;
    out->count++;
    if (reserve_chunk(out, err) != STATUS_OK) return err->status;
    int32_t *ids = out->ids + (ptrdiff_t)(out->count - 1) * out->length;
    float *weights = out->weights + (ptrdiff_t)(out->count - 1) * out->length;
    memcpy(ids + out->length + 1, ids + 1 + keep, (size_t)(c->fill - keep) * sizeof *ids);
    memcpy(weights + out->length + 1, weights + 1 + keep, (size_t)(c->fill - keep) * sizeof *weights);
    ids[0] = c->names.start;
    weights[0] = 1;
    for (int i = 1 + keep; i < out->length; i++) {
        ids[i] = i == 1 + keep ? c->names.end : c->pad;
        weights[i] = 1;
    }
    /* A prompt may name the end token itself. If padding is another token, it begins behind the first of them. */
    for (int i = 1, ended = 0; i < out->length && c->pad != c->names.end; i++) {
        if (ended) ids[i] = c->pad;
        ended |= ids[i] == c->names.end;
    }
    c->fill -= keep;
    c->comma = -1;
    return STATUS_OK;
}

static enum status place_token(struct cutter *c, int32_t id, double weight, struct error *err)
{
    enum status status = STATUS_OK;
    if (id == c->names.comma)
        c->comma = c->fill;
    else if (c->fill == c->room && c->comma >= 0 && c->room - c->comma <= PROMPT_BACKTRACK)
        status = finish_chunk(c, c->comma + 1, err);
    if (status == STATUS_OK && c->fill == c->room) status = finish_chunk(c, c->room, err);
    if (status != STATUS_OK) return status;
    const ptrdiff_t at = (ptrdiff_t)c->out->count * c->out->length + 1 + c->fill++;
    c->out->ids[at] = id;
    c->out->weights[at] = (float)weight;
    c->out->tokens++;
    return STATUS_OK;
}

static enum status place_part(struct cutter *c, const struct tokenizer *tokenizer, const struct prompt_part *part,
                              struct tokens *tokens, struct error *err)
{
    tokens->count = 0;
    enum status status = tokenizer_encode(tokenizer, part->text, part->bytes, tokens, err);
    for (size_t i = 0; status == STATUS_OK && i < tokens->count; i++)
        status = place_token(c, tokens->ids[i], part->weight, err);
    return status;
}

enum status prompt_cut(struct prompt_chunks *out, const struct tokenizer *tokenizer, const char *text, size_t bytes,
                       const struct prompt_options *options, struct error *err)
{
    assert(options->length >= 3);
    *out = (struct prompt_chunks){.length = options->length};
    const struct token_names names = tokenizer_names(tokenizer);
    struct cutter c = {.out = out, .names = names, .pad = options->pad, .room = options->length - 2, .comma = -1};
    struct prompt_part whole = {.text = text, .bytes = bytes, .weight = 1};
    struct prompt_parts parsed = {0};
    struct tokens tokens = {0};
    enum status status = options->plain ? STATUS_OK : prompt_parse(&parsed, text, bytes, err);
    const struct prompt_part *parts = options->plain ? &whole : parsed.parts;
    const size_t count = options->plain ? 1 : parsed.count;
    if (status == STATUS_OK) status = reserve_chunk(out, err);
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        status =
            is_break(&parts[i]) ? finish_chunk(&c, c.fill, err) : place_part(&c, tokenizer, &parts[i], &tokens, err);
    if (status == STATUS_OK && (c.fill > 0 || out->count == 0)) status = finish_chunk(&c, c.fill, err);
    prompt_parts_clear(&parsed);
    tokens_clear(&tokens);
    if (status != STATUS_OK) prompt_chunks_clear(out);
    return status;
}

void prompt_chunks_clear(struct prompt_chunks *chunks)
{
    memory_free(chunks->ids);
    memory_free(chunks->weights);
    *chunks = (struct prompt_chunks){0};
}
