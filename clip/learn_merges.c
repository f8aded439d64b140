/* SPDX-License-Identifier: MIT
 *
 * A tokenizer without merges gives every byte of a word as a symbol, and the last byte as one of its own kind: so it
 * is that tokenizer which splits texts, and all that is learnt here is learnt about numbers.
 *
 *     words      t o w n</w>  |  t o n</w>  | ...        symbols, one word behind the other; -1: swallowed
 *     pairs      (t, o): in 7 texts' words, (o, w): ...  a hash table, kept up to date with each merge
 */
#include "clip/learn_merges.h"

#include "clip/tokenizer.h"
#include "core/base/memory.h"

#include <assert.h>
#include <string.h>

enum { LAST_BYTES = 256, BASE = 512, FIRST_SLOTS = 1 << 10 };

struct word {
    size_t start;
    int length; /* symbols before any merge */
    int64_t count;
};

struct pair {
    int32_t left, right;
    int64_t count;
    bool used; /* the slot is taken; counts may fall to 0 again */
};

struct merges_learner {
    struct tokenizer *plain; /* owned, like all below */
    struct tokens text;      /* of the text that is being counted */
    struct tokens symbols;   /* of all words */
    struct word *words;
    size_t word_count, word_capacity;
    size_t *slots; /* hash table of words: place + 1; 0: an empty slot */
    size_t slot_count;
};

void merges_learner_destroy(struct merges_learner *learner)
{
    if (!learner) return;
    tokenizer_destroy(learner->plain);
    tokens_clear(&learner->text);
    tokens_clear(&learner->symbols);
    memory_free(learner->words);
    memory_free(learner->slots);
    memory_free(learner);
}

enum status merges_learner_create(struct merges_learner **out, struct error *err)
{
    *out = NULL;
    struct merges_learner *learner = memory_alloc(sizeof *learner);
    if (!learner) return fail_no_memory(err, "learning merges", sizeof *learner);
    const enum status status = tokenizer_create(&learner->plain, "", err);
    if (status == STATUS_OK)
        *out = learner;
    else
        merges_learner_destroy(learner);
    return status;
}

/* ---- counting words ---- */

static uint64_t hash_symbols(const int32_t *symbols, int length)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (int i = 0; i < length; i++) hash = (hash ^ (uint64_t)symbols[i]) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

/* The slot that holds this word, or the empty one where it belongs. */
static size_t *word_slot(const struct merges_learner *learner, const int32_t *symbols, int length)
{
    const size_t mask = learner->slot_count - 1;
    size_t at = hash_symbols(symbols, length) & mask;
    for (; learner->slots[at]; at = (at + 1) & mask) {
        const struct word *word = &learner->words[learner->slots[at] - 1];
        if (word->length == length &&
            memcmp(learner->symbols.ids + word->start, symbols, (size_t)length * sizeof *symbols) == 0)
            break;
    }
    return &learner->slots[at];
}

/* Room for one more word: the list, and a table that stays at most half full. */
static enum status reserve_word(struct merges_learner *learner, struct error *err)
{
    if (learner->word_count < learner->word_capacity) return STATUS_OK;
    const size_t capacity = learner->word_capacity ? 2 * learner->word_capacity : FIRST_SLOTS / 2;
    struct word *words = memory_resize(learner->words, capacity * sizeof *words);
    if (!words) return fail_no_memory(err, "learning merges", capacity * sizeof *words);
    learner->words = words;
    size_t *slots = memory_alloc(2 * capacity * sizeof *slots);
    if (!slots) return fail_no_memory(err, "learning merges", 2 * capacity * sizeof *slots);
    memory_free(learner->slots);
    learner->slots = slots;
    learner->slot_count = 2 * capacity;
    learner->word_capacity = capacity;
    for (size_t i = 0; i < learner->word_count; i++)
        *word_slot(learner, learner->symbols.ids + words[i].start, words[i].length) = i + 1;
    return STATUS_OK;
}

static enum status add_word(struct merges_learner *learner, const int32_t *symbols, int length, struct error *err)
{
    if (reserve_word(learner, err) != STATUS_OK) return err->status;
    if (tokens_reserve(&learner->symbols, (size_t)length, err) != STATUS_OK) return err->status;
    size_t *slot = word_slot(learner, symbols, length);
    if (*slot == 0) {
        const size_t start = learner->symbols.count;
        memcpy(learner->symbols.ids + start, symbols, (size_t)length * sizeof *symbols);
        learner->symbols.count += (size_t)length;
        learner->words[learner->word_count++] = (struct word){.start = start, .length = length};
        *slot = learner->word_count;
    }
    learner->words[*slot - 1].count++;
    return STATUS_OK;
}

enum status merges_learner_add(struct merges_learner *learner, const char *text, struct error *err)
{
    learner->text.count = 0;
    enum status status = tokenizer_encode(learner->plain, text, strlen(text), &learner->text, err);
    const int32_t *ids = learner->text.ids;
    size_t start = 0;
    for (size_t i = 0; i < learner->text.count && status == STATUS_OK; i++) {
        const bool special = ids[i] >= BASE;
        if (ids[i] >= LAST_BYTES && !special) status = add_word(learner, ids + start, (int)(i + 1 - start), err);
        if (ids[i] >= LAST_BYTES) start = i + 1;
    }
    return status;
}

/* ---- learning ---- */

struct learning {
    struct merges_learner *learner;
    int32_t *symbols; /* borrowed: all words', merged in place */
    struct pair *pairs;
    size_t pair_slots, pair_count;
    char **spellings; /* of symbols */
    int32_t count;    /* of symbols */
    struct arena arena;
};

static struct pair *pair_slot(const struct learning *l, int32_t left, int32_t right)
{
    const uint64_t mixed =
        ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u; /* Fibonacci hashing */
    size_t at = (size_t)(mixed >> 24) & (l->pair_slots - 1);
    while (l->pairs[at].used && (l->pairs[at].left != left || l->pairs[at].right != right))
        at = (at + 1) & (l->pair_slots - 1);
    return &l->pairs[at];
}

static enum status grow_pairs(struct learning *l, struct error *err)
{
    struct pair *old = l->pairs;
    const size_t old_slots = l->pair_slots, slots = old ? 2 * old_slots : FIRST_SLOTS;
    struct pair *pairs = memory_alloc(slots * sizeof *pairs);
    if (!pairs) return fail_no_memory(err, "learning merges", slots * sizeof *pairs);
    l->pairs = pairs;
    l->pair_slots = slots;
    for (size_t i = 0; i < old_slots; i++)
        if (old[i].used) *pair_slot(l, old[i].left, old[i].right) = old[i];
    memory_free(old);
    return STATUS_OK;
}

static enum status count_pair(struct learning *l, int32_t left, int32_t right, int64_t count, struct error *err)
{
    if (2 * (l->pair_count + 1) > l->pair_slots && grow_pairs(l, err) != STATUS_OK) return err->status;
    struct pair *pair = pair_slot(l, left, right);
    if (!pair->used) {
        *pair = (struct pair){.left = left, .right = right, .used = true};
        l->pair_count++;
    }
    pair->count += count;
    return STATUS_OK;
}

/* The next symbol of a word behind place i, or its length. */
static int next_symbol(const int32_t *symbols, int length, int i)
{
    do i++;
    while (i < length && symbols[i] < 0);
    return i;
}

/* Counts every pair of a word `times` the word's own count. */
static enum status count_word(struct learning *l, const struct word *word, int64_t times, struct error *err)
{
    const int32_t *symbols = l->symbols + word->start;
    enum status status = STATUS_OK;
    for (int i = 0, next; (next = next_symbol(symbols, word->length, i)) < word->length && status == STATUS_OK;
         i = next)
        status = count_pair(l, symbols[i], symbols[next], times * word->count, err);
    return status;
}

static bool holds_pair(const struct learning *l, const struct word *word, int32_t left, int32_t right)
{
    const int32_t *symbols = l->symbols + word->start;
    for (int i = 0, next; (next = next_symbol(symbols, word->length, i)) < word->length; i = next)
        if (symbols[i] == left && symbols[next] == right) return true;
    return false;
}

/* In all words, left and right become `made`. */
static enum status merge_pair(struct learning *l, int32_t left, int32_t right, int32_t made, struct error *err)
{
    for (size_t w = 0; w < l->learner->word_count; w++) {
        const struct word *word = &l->learner->words[w];
        if (!holds_pair(l, word, left, right)) continue;
        if (count_word(l, word, -1, err) != STATUS_OK) return err->status;
        int32_t *symbols = l->symbols + word->start;
        for (int i = 0, next; (next = next_symbol(symbols, word->length, i)) < word->length;) {
            if (symbols[i] == left && symbols[next] == right) {
                symbols[i] = made;
                symbols[next] = -1;
            }
            i = next_symbol(symbols, word->length, i);
        }
        if (count_word(l, word, 1, err) != STATUS_OK) return err->status;
    }
    return STATUS_OK;
}

/* Of equals, the one whose symbols are older: so the order in which words were counted does not matter. */
static bool is_better(const struct pair *a, const struct pair *b)
{
    if (a->count != b->count) return a->count > b->count;
    return a->left != b->left ? a->left < b->left : a->right < b->right;
}

static struct pair *best_pair(const struct learning *l)
{
    struct pair *best = NULL;
    for (size_t i = 0; i < l->pair_slots; i++)
        if (l->pairs[i].count >= 2 && (!best || is_better(&l->pairs[i], best))) best = &l->pairs[i];
    return best;
}

/* Two pairs may spell the same, "a" "bc" and "ab" "c"; a table names each symbol once. */
static bool is_spelled(const struct learning *l, const char *spelling)
{
    for (int32_t i = 0; i < l->count; i++)
        if (strcmp(l->spellings[i], spelling) == 0) return true;
    return false;
}

static enum status prepare(struct learning *l, int most, struct error *err)
{
    l->spellings = arena_alloc(&l->arena, (size_t)(BASE + most) * sizeof *l->spellings);
    if (!l->spellings) return fail_no_memory(err, "learning merges", (unsigned)most);
    for (l->count = 0; l->count < BASE; l->count++) {
        char letters[MERGES_LETTER_BYTES];
        merges_spell_byte(l->count, letters);
        l->spellings[l->count] = arena_strdup(&l->arena, letters);
        if (!l->spellings[l->count]) return fail_no_memory(err, "learning merges", sizeof letters);
    }
    enum status status = grow_pairs(l, err);
    for (size_t w = 0; w < l->learner->word_count && status == STATUS_OK; w++)
        status = count_word(l, &l->learner->words[w], 1, err);
    return status;
}

/* One line more; *done when no pair is left. */
static enum status learn_line(struct learning *l, char **table, size_t *used, bool *done, struct error *err)
{
    struct pair *best;
    char *spelling;
    for (;;) {
        best = best_pair(l);
        *done = best == NULL;
        if (*done) return STATUS_OK;
        spelling = arena_printf(&l->arena, "%s%s", l->spellings[best->left], l->spellings[best->right]);
        if (!spelling) return fail_no_memory(err, "learning merges", sizeof *best);
        if (!is_spelled(l, spelling)) break;
        best->count = INT64_MIN / 2; /* never again */
    }
    const size_t more = strlen(spelling) + 2; /* a space and a line feed */
    char *longer = memory_resize(*table, *used + more + 1);
    if (!longer) return fail_no_memory(err, "learning merges", *used + more + 1);
    *table = longer;
    memcpy(longer + *used, l->spellings[best->left], strlen(l->spellings[best->left]));
    char *to = longer + *used + strlen(l->spellings[best->left]);
    *to++ = ' ';
    memcpy(to, l->spellings[best->right], strlen(l->spellings[best->right]));
    *used += more;
    memcpy(longer + *used - 1, "\n", 2);
    l->spellings[l->count] = spelling;
    return merge_pair(l, best->left, best->right, l->count++, err);
}

char *merges_learner_finish(struct merges_learner *learner, int most, struct error *err)
{
    assert(most >= 0 && most < MERGES_MAX_COUNT);
    struct learning l = {.learner = learner, .symbols = learner->symbols.ids};
    char *table = memory_alloc(1);
    size_t used = 0;
    bool done = most == 0;
    enum status status = table ? prepare(&l, most, err) : fail_no_memory(err, "learning merges", 1);
    while (status == STATUS_OK && !done && l.count < BASE + most) status = learn_line(&l, &table, &used, &done, err);
    memory_free(l.pairs);
    arena_clear(&l.arena);
    if (status == STATUS_OK) return table;
    memory_free(table);
    return NULL;
}
