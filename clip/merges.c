/* SPDX-License-Identifier: MIT
 *
 * While a table is read, symbols are strings, and a line is understood by looking up how its two halves are spelled.
 * Afterwards only the ids are left: a hash table from two ids to the id of what they make. As every symbol is made by
 * one line, after both of its halves, a greater id is a later line, and ids serve as the ranks of the merges.
 */
#include "clip/merges.h"

#include "clip/published.h"
#include "core/base/memory.h"

#include <assert.h>
#include <string.h>
#define ZLIB_CONST /* inputs are const */
#include <zlib.h>

enum { BYTES = 256, BASE = 2 * BYTES, BASE_TEXT_BYTES = 4096 };

struct pair {
    uint32_t left, right;
    int32_t id; /* of what they make; 0: an empty slot */
};

struct merges {
    struct arena arena;
    struct pair *pairs; /* owned by the arena; open addressing */
    uint32_t mask;      /* slots - 1 */
    int32_t size;
};

/* What only reading needs: the spelling of each id, and a hash table from spellings to ids. */
struct speller {
    char *text; /* all spellings, one behind the other */
    size_t used;
    struct spelling {
        size_t start, length;
    } * spellings;
    int32_t *slots; /* id + 1; 0: an empty slot */
    uint32_t mask;
    int32_t count;
};

enum status tokens_reserve(struct tokens *tokens, size_t more, struct error *err)
{
    if (tokens->capacity - tokens->count >= more) return STATUS_OK;
    size_t capacity = 2 * tokens->capacity;
    if (capacity < tokens->count + more) capacity = tokens->count + more;
    int32_t *ids = memory_resize(tokens->ids, capacity * sizeof *ids);
    if (!ids) return fail_no_memory(err, "token ids", capacity * sizeof *ids);
    tokens->ids = ids;
    tokens->capacity = capacity;
    return STATUS_OK;
}

void tokens_clear(struct tokens *tokens)
{
    memory_free(tokens->ids);
    *tokens = (struct tokens){0};
}

/* GPT-2 writes a byte that prints as its own Latin-1 letter, and the other 68 as the letters from U+0100 on; ids follow
 * that order. The printing ones are 33..126, 161..172 and 174..255. */
int32_t merges_byte(unsigned char byte, bool last)
{
    int32_t id = 255; /* 173, the soft hyphen */
    if (byte <= 32)
        id = 188 + byte;
    else if (byte <= 126)
        id = byte - 33;
    else if (byte <= 160)
        id = 188 + 33 + byte - 127;
    else if (byte <= 172)
        id = 94 + byte - 161;
    else if (byte >= 174)
        id = 106 + byte - 174;
    return id + (last ? BYTES : 0);
}

void merges_spell_byte(int32_t id, char out[MERGES_LETTER_BYTES])
{
    const int order = id % BYTES;
    int letter = order < 94 ? 33 + order : order < 106 ? 161 + order - 94 : 174 + order - 106;
    if (order >= 188) letter = 256 + order - 188;
    size_t length = 0;
    if (letter >= 128) out[length++] = (char)(0xc0 | letter >> 6);
    out[length++] = (char)(letter < 128 ? letter : 0x80 | (letter & 0x3f));
    memcpy(out + length, id < BYTES ? "" : "</w>", id < BYTES ? 1 : sizeof "</w>");
}

static uint32_t hash_text(const char *text, size_t length)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash ^ hash >> 15;
}

/* The slot that holds this spelling, or the empty one where it belongs. */
static int32_t *spelling_slot(const struct speller *s, const char *text, size_t length)
{
    uint32_t at = hash_text(text, length) & s->mask;
    for (; s->slots[at]; at = (at + 1) & s->mask) {
        const struct spelling *found = &s->spellings[s->slots[at] - 1];
        if (found->length == length && memcmp(s->text + found->start, text, length) == 0) break;
    }
    return &s->slots[at];
}

/* Adds the symbol whose spelling is the concatenation of two texts; false if it is there already. */
static bool add_spelling(struct speller *s, const char *left, size_t left_length, const char *right,
                         size_t right_length)
{
    char *text = s->text + s->used;
    memcpy(text, left, left_length);
    memcpy(text + left_length, right, right_length);
    int32_t *slot = spelling_slot(s, text, left_length + right_length);
    if (*slot) return false;
    s->spellings[s->count] = (struct spelling){.start = s->used, .length = left_length + right_length};
    s->used += left_length + right_length;
    *slot = ++s->count;
    return true;
}

static uint32_t slots_for(size_t entries)
{
    uint32_t slots = 1024;
    while (slots < 2 * entries) slots *= 2;
    return slots;
}

static enum status init_speller(struct speller *s, struct arena *arena, size_t lines, size_t bytes, struct error *err)
{
    const uint32_t slots = slots_for(BASE + lines);
    s->mask = slots - 1;
    s->text = arena_alloc(arena, BASE_TEXT_BYTES + bytes);
    s->spellings = arena_alloc(arena, (BASE + lines) * sizeof *s->spellings);
    s->slots = arena_alloc(arena, slots * sizeof *s->slots);
    if (!s->text || !s->spellings || !s->slots) return fail_no_memory(err, "the table of merges", bytes);
    for (int id = 0; id < BASE; id++) {
        char letters[MERGES_LETTER_BYTES];
        merges_spell_byte(id, letters);
        const bool added = add_spelling(s, letters, strlen(letters), "", 0);
        assert(added);
        (void)added;
    }
    return STATUS_OK;
}

static struct pair *pair_slot(const struct merges *m, uint32_t left, uint32_t right)
{
    const uint64_t mixed = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u; /* Fibonacci hashing */
    uint32_t at = (uint32_t)(mixed >> 32) & m->mask;
    while (m->pairs[at].id && (m->pairs[at].left != left || m->pairs[at].right != right)) at = (at + 1) & m->mask;
    return &m->pairs[at];
}

static enum status add_line(struct merges *m, struct speller *s, const char *line, size_t length, size_t number,
                            struct error *err)
{
    const char *space = memchr(line, ' ', length);
    const size_t left = space ? (size_t)(space - line) : 0, right = left ? length - left - 1 : 0;
    if (left == 0 || right == 0 || memchr(space + 1, ' ', right))
        return fail(err, STATUS_FORMAT, "merges, line %zu: not two symbols with one space between them", number);
    const int32_t left_id = *spelling_slot(s, line, left) - 1, right_id = *spelling_slot(s, space + 1, right) - 1;
    if (left_id < 0 || right_id < 0)
        return fail(err, STATUS_FORMAT, "merges, line %zu: the %s symbol is neither a byte nor made by an earlier line",
                    number, left_id < 0 ? "first" : "second");
    if (!add_spelling(s, line, left, space + 1, right))
        return fail(err, STATUS_FORMAT, "merges, line %zu: makes a symbol that is there already", number);
    *pair_slot(m, (uint32_t)left_id, (uint32_t)right_id) =
        (struct pair){.left = (uint32_t)left_id, .right = (uint32_t)right_id, .id = s->count - 1};
    return STATUS_OK;
}

static enum status read_lines(struct merges *m, struct speller *s, const char *text, size_t bytes, struct error *err)
{
    size_t number = 0;
    for (size_t at = 0; at < bytes;) {
        const char *line = text + at, *newline = memchr(line, '\n', bytes - at);
        size_t length = newline ? (size_t)(newline - line) : bytes - at;
        at += length + 1;
        number++;
        if (length && line[length - 1] == '\r') length--;
        if (length == 0 || (number == 1 && length >= 8 && memcmp(line, "#version", 8) == 0)) continue;
        const enum status status = add_line(m, s, line, length, number, err);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

static enum status read_table(struct merges *m, const char *text, size_t bytes, struct arena *scratch,
                              struct error *err)
{
    if (bytes > MERGES_MAX_BYTES)
        return fail(err, STATUS_FORMAT, "merges: %zu bytes of text; at most %d are allowed", bytes, MERGES_MAX_BYTES);
    size_t lines = 1;
    for (size_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    if (lines > MERGES_MAX_COUNT)
        return fail(err, STATUS_FORMAT, "merges: %zu lines; at most %d are allowed", lines, MERGES_MAX_COUNT);
    struct speller speller = {0};
    if (init_speller(&speller, scratch, lines, bytes, err) != STATUS_OK) return err->status;
    const uint32_t slots = slots_for(lines);
    m->mask = slots - 1;
    m->pairs = arena_alloc(&m->arena, slots * sizeof *m->pairs);
    if (!m->pairs) return fail_no_memory(err, "the table of merges", slots * sizeof *m->pairs);
    const enum status status = read_lines(m, &speller, text, bytes, err);
    m->size = speller.count;
    return status;
}

static enum status unpack_published(const char **text, size_t *bytes, struct arena *arena, struct error *err)
{
    const unsigned char *tail = clip_published_merges + clip_published_merges_bytes - 4; /* gzip: the size, unpacked */
    *bytes = (size_t)tail[0] | (size_t)tail[1] << 8 | (size_t)tail[2] << 16 | (size_t)tail[3] << 24;
    unsigned char *out = arena_alloc(arena, *bytes);
    if (!out) return fail_no_memory(err, "CLIP's table of merges", *bytes);
    z_stream z = {.next_in = clip_published_merges,
                  .avail_in = (uInt)clip_published_merges_bytes,
                  .next_out = out,
                  .avail_out = (uInt)*bytes};
    int result = inflateInit2(&z, 16 + MAX_WBITS);
    if (result == Z_OK) result = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    if (result == Z_MEM_ERROR) return fail_no_memory(err, "unpacking CLIP's table of merges", *bytes);
    assert(result == Z_STREAM_END);
    *text = (const char *)out;
    return STATUS_OK;
}

enum status merges_create(struct merges **out, const char *text, size_t bytes, struct error *err)
{
    *out = NULL;
    struct arena scratch = {0};
    enum status status = STATUS_OK;
    struct merges *m = memory_alloc(sizeof *m);
    if (!m) return fail_no_memory(err, "a tokenizer", sizeof *m);
    if (!text) status = unpack_published(&text, &bytes, &scratch, err);
    if (status == STATUS_OK) status = read_table(m, text, bytes, &scratch, err);
    arena_clear(&scratch);
    if (status == STATUS_OK)
        *out = m;
    else
        merges_destroy(m);
    return status;
}

void merges_destroy(struct merges *merges)
{
    if (!merges) return;
    arena_clear(&merges->arena);
    memory_free(merges);
}

int32_t merges_size(const struct merges *merges)
{
    return merges->size;
}

/* The merging of one word. Symbols form a list; those to its right that a symbol has swallowed leave it. A candidate is
 * a pair of neighbours with the id that they would make, packed as id << 32 | position of the left one, so that the
 * smallest is the best line of the table, leftmost first. A candidate is stale when its pair has changed meanwhile. */
struct merging {
    const struct merges *merges;
    int32_t *symbols;  /* by position; -1: swallowed */
    int32_t *next;     /* position, or count for none */
    int32_t *previous; /* position, or -1 */
    uint64_t *heap;    /* candidates: a binary heap */
    int32_t count;
    int32_t candidates;
};

static void push_candidate(struct merging *w, int32_t left)
{
    if (left < 0 || w->next[left] >= w->count) return;
    const int32_t id = pair_slot(w->merges, (uint32_t)w->symbols[left], (uint32_t)w->symbols[w->next[left]])->id;
    if (!id) return;
    const uint64_t candidate = (uint64_t)id << 32 | (uint32_t)left;
    int32_t at = w->candidates++;
    for (; at > 0 && w->heap[(at - 1) / 2] > candidate; at = (at - 1) / 2) w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = candidate;
}

static uint64_t pop_candidate(struct merging *w)
{
    const uint64_t best = w->heap[0], last = w->heap[--w->candidates];
    int32_t at = 0;
    for (int32_t child; (child = 2 * at + 1) < w->candidates; at = child) {
        if (child + 1 < w->candidates && w->heap[child + 1] < w->heap[child]) child++;
        if (w->heap[child] >= last) break;
        w->heap[at] = w->heap[child];
    }
    w->heap[at] = last;
    return best;
}

static void merge_all(struct merging *w)
{
    for (int32_t i = 0; i < w->count; i++) push_candidate(w, i);
    while (w->candidates) {
        const uint64_t best = pop_candidate(w);
        const int32_t id = (int32_t)(best >> 32), left = (int32_t)(best & UINT32_MAX), right = w->next[left];
        if (w->symbols[left] < 0 || right >= w->count) continue;
        if (pair_slot(w->merges, (uint32_t)w->symbols[left], (uint32_t)w->symbols[right])->id != id) continue;
        w->symbols[left] = id;
        w->symbols[right] = -1;
        w->next[left] = w->next[right];
        if (w->next[right] < w->count) w->previous[w->next[right]] = left;
        push_candidate(w, left);
        push_candidate(w, w->previous[left]);
    }
}

enum status merges_apply(const struct merges *merges, const unsigned char *word, size_t bytes, struct tokens *out,
                         struct error *err)
{
    assert(bytes > 0 && bytes < INT32_MAX / 4);
    if (tokens_reserve(out, bytes, err) != STATUS_OK) return err->status;
    if (bytes == 1) {
        out->ids[out->count++] = merges_byte(word[0], true);
        return STATUS_OK;
    }
    struct merging w = {.merges = merges, .count = (int32_t)bytes};
    /* Each of the bytes - 1 merges adds at most two candidates to the first bytes - 1. */
    const size_t scratch_bytes = bytes * (3 * sizeof *w.heap + 3 * sizeof *w.symbols);
    w.heap = memory_alloc_raw(scratch_bytes);
    if (!w.heap) return fail_no_memory(err, "splitting a word into tokens", scratch_bytes);
    w.symbols = (int32_t *)(w.heap + 3 * bytes);
    w.next = w.symbols + bytes;
    w.previous = w.next + bytes;
    for (int32_t i = 0; i < w.count; i++) {
        w.symbols[i] = merges_byte(word[i], i == w.count - 1);
        w.next[i] = i + 1;
        w.previous[i] = i - 1;
    }
    merge_all(&w);
    for (int32_t i = 0; i < w.count; i = w.next[i]) out->ids[out->count++] = w.symbols[i];
    memory_free(w.heap);
    return STATUS_OK;
}
