/* SPDX-License-Identifier: MIT
 *
 * Two libraries know Unicode for us, and both are kept from deciding too much: utf8proc composes (NFC) and gives the
 * lower case of single letters, PCRE2 knows letters and numbers. White space is the property White_Space, as in
 * Hugging Face's, not PCRE2's \s; it becomes a plain space before the pattern sees it.
 */
#include "clip/tokenizer.h"

#include "clip/text.h"
#include "core/base/memory.h"

#include <assert.h>
#include <string.h>
#include <utf8proc.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct tokenizer {
    struct merges *merges;       /* owned */
    pcre2_general_context *pcre; /* owned; lets PCRE2 use our memory */
    pcre2_code *words;           /* owned */
    struct token_names names;
};

/* The pattern of CLIP's simple_tokenizer.py without the special tokens, which are cut out before. */
static const char word_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d|\\p{L}++|\\p{N}|[^ \\p{L}\\p{N}]++";
static const char start_text[] = "<|startoftext|>", end_text[] = "<|endoftext|>";

static void *pcre_alloc(size_t bytes, void *context)
{
    (void)context;
    return memory_alloc_raw(bytes);
}

static void pcre_free(void *block, void *context)
{
    (void)context;
    memory_free(block);
}

static enum status compile_pattern(struct tokenizer *t, struct error *err)
{
    t->pcre = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    pcre2_compile_context *context = t->pcre ? pcre2_compile_context_create(t->pcre) : NULL;
    int code = PCRE2_ERROR_HEAP_FAILED;
    size_t at = 0;
    if (context)
        t->words = pcre2_compile((PCRE2_SPTR)word_pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &at, context);
    pcre2_compile_context_free(context);
    if (t->words) return STATUS_OK;
    if (code == PCRE2_ERROR_HEAP_FAILED) return fail_no_memory(err, "the tokenizer's pattern", sizeof word_pattern);
    return fail(err, STATUS_UNSUPPORTED,
                "this PCRE2 cannot compile the tokenizer's pattern (error %d); "
                "it must be built with Unicode support",
                code);
}

enum status tokenizer_create(struct tokenizer **out, const char *merges, struct error *err)
{
    *out = NULL;
    struct tokenizer *t = memory_alloc(sizeof *t);
    if (!t) return fail_no_memory(err, "a tokenizer", sizeof *t);
    enum status status = merges_create(&t->merges, merges, merges ? strlen(merges) : 0, err);
    if (status == STATUS_OK) status = compile_pattern(t, err);
    if (status != STATUS_OK) {
        tokenizer_destroy(t);
        return status;
    }
    const int32_t size = merges_size(t->merges);
    t->names = (struct token_names){.start = size, .end = size + 1, .comma = merges_byte(',', true), .size = size + 2};
    *out = t;
    return STATUS_OK;
}

void tokenizer_destroy(struct tokenizer *tokenizer)
{
    if (!tokenizer) return;
    pcre2_code_free(tokenizer->words);
    pcre2_general_context_free(tokenizer->pcre);
    merges_destroy(tokenizer->merges);
    memory_free(tokenizer);
}

struct token_names tokenizer_names(const struct tokenizer *tokenizer)
{
    return tokenizer->names;
}

/* One letter, spaces and lower case applied, as UTF-8 at out; returns its length. The capital I with a dot is the one
 * letter whose lower case, without a look at its neighbours, is two: an i and U+0307. */
static size_t put_letter(int32_t letter, uint8_t *out)
{
    if (text_is_space(letter)) letter = ' ';
    if (letter != 0x130) return (size_t)utf8proc_encode_char(utf8proc_tolower(letter), out);
    memcpy(out, "i\xcc\x87", 3);
    return 3;
}

/* Sets *out to the normalised text, freed by the caller. */
static enum status normalise(const char *text, size_t bytes, char **out, size_t *out_bytes, struct error *err)
{
    const utf8proc_option_t nfc = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    const uint8_t *utf8 = (const uint8_t *)text;
    const utf8proc_ssize_t most = utf8proc_decompose(utf8, (utf8proc_ssize_t)bytes, NULL, 0, nfc);
    assert(most >= 0); /* text_check has seen the text */
    /* A letter takes at most 4 bytes of UTF-8, also in lower case. They are written over the letters already read. */
    int32_t *letters = memory_alloc_raw((size_t)most * sizeof *letters);
    if (!letters) return fail_no_memory(err, "a prompt", (size_t)most * sizeof *letters);
    utf8proc_ssize_t count = utf8proc_decompose(utf8, (utf8proc_ssize_t)bytes, letters, most, nfc);
    count = utf8proc_normalize_utf32(letters, count, nfc);
    assert(count >= 0 && count <= most);
    uint8_t *to = (uint8_t *)letters;
    for (utf8proc_ssize_t i = 0; i < count; i++) {
        uint8_t utf8_letter[4];
        const size_t length = put_letter(letters[i], utf8_letter);
        memcpy(to, utf8_letter, length);
        to += length;
    }
    *out = (char *)letters;
    *out_bytes = (size_t)(to - (uint8_t *)letters);
    return STATUS_OK;
}

/* Appends the tokens of text[at..end), which holds no special token. */
static enum status encode_words(const struct tokenizer *t, const char *text, size_t at, size_t end,
                                pcre2_match_data *match, struct tokens *out, struct error *err)
{
    while (at < end) {
        const int found = pcre2_match(t->words, (PCRE2_SPTR)text, end, at, PCRE2_NO_UTF_CHECK, match, NULL);
        if (found == PCRE2_ERROR_NOMATCH) return STATUS_OK;
        if (found == PCRE2_ERROR_NOMEMORY) return fail_no_memory(err, "splitting a prompt into words", end);
        assert(found == 1);
        const size_t *ends = pcre2_get_ovector_pointer(match);
        const enum status status =
            merges_apply(t->merges, (const unsigned char *)text + ends[0], ends[1] - ends[0], out, err);
        if (status != STATUS_OK) return status;
        at = ends[1];
    }
    return STATUS_OK;
}

/* The length of the special token at text, or 0. */
static size_t special_length(const struct tokenizer *t, const char *text, size_t bytes, int32_t *id)
{
    *id = t->names.start;
    if (bytes >= sizeof start_text - 1 && memcmp(text, start_text, sizeof start_text - 1) == 0)
        return sizeof start_text - 1;
    *id = t->names.end;
    if (bytes >= sizeof end_text - 1 && memcmp(text, end_text, sizeof end_text - 1) == 0) return sizeof end_text - 1;
    return 0;
}

static enum status encode_normalised(const struct tokenizer *t, const char *text, size_t bytes, pcre2_match_data *match,
                                     struct tokens *out, struct error *err)
{
    size_t done = 0;
    for (size_t at = 0; at < bytes;) {
        int32_t id;
        const size_t length = special_length(t, text + at, bytes - at, &id);
        if (length == 0) {
            at++;
            continue;
        }
        if (encode_words(t, text, done, at, match, out, err) != STATUS_OK) return err->status;
        if (tokens_reserve(out, 1, err) != STATUS_OK) return err->status;
        out->ids[out->count++] = id;
        at += length;
        done = at;
    }
    return encode_words(t, text, done, bytes, match, out, err);
}

enum status tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t bytes, struct tokens *out,
                             struct error *err)
{
    enum status status = text_check(text, bytes, "the prompt", err);
    char *normal = NULL;
    size_t normal_bytes = 0;
    if (status == STATUS_OK) status = normalise(text, bytes, &normal, &normal_bytes, err);
    if (status != STATUS_OK) return status;
    pcre2_match_data *match = pcre2_match_data_create(1, tokenizer->pcre);
    if (match)
        status = encode_normalised(tokenizer, normal, normal_bytes, match, out, err);
    else
        status = fail_no_memory(err, "splitting a prompt into words", sizeof(size_t));
    pcre2_match_data_free(match);
    memory_free(normal);
    return status;
}

enum status tokenizer_fill(const struct tokenizer *tokenizer, const char *text, int32_t *ids, int length, int32_t *end,
                           size_t *left_out, struct error *err)
{
    assert(length >= 3);
    const struct token_names names = tokenizer->names;
    const size_t room = (size_t)length - 2;
    struct tokens tokens = {0};
    const enum status status = tokenizer_encode(tokenizer, text, strlen(text), &tokens, err);
    const size_t count = tokens.count < room ? tokens.count : room;
    if (status == STATUS_OK) {
        for (size_t i = 0; i < (size_t)length; i++)
            ids[i] = i == 0 ? names.start : i <= count ? tokens.ids[i - 1] : names.end;
        *end = 1;
        while (ids[*end] != names.end) ++*end;
        if (left_out) *left_out = tokens.count - count;
    }
    tokens_clear(&tokens);
    return status;
}
