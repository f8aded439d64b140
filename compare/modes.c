/* SPDX-License-Identifier: MIT */
#include "compare/modes.h"

#include "compare/distances.h"

#include <math.h>

struct search {
    struct modes *modes;
    const int32_t *prompt_of;
    const double *picture_lengths, *prompt_lengths;
};

static void lengths_of(const struct features *f, double *out)
{
    for (int64_t i = 0; i < f->count; i++) {
        double sum = 0;
        for (int64_t j = 0; j < f->width; j++) {
            const double x = (double)f->values[i * f->width + j];
            sum += x * x;
        }
        out[i] = sum > 0 ? sqrt(sum) : 1;
    }
}

static void search_block(void *context, const struct rows_block *block)
{
    const struct search *s = context;
    for (int64_t i = 0; i < block->count; i++) {
        const double *row = block->table + i * block->columns;
        const int64_t picture = block->first + i;
        int64_t best = 0;
        for (int64_t j = 1; j < block->columns; j++)
            if (row[j] / s->prompt_lengths[j] > row[best] / s->prompt_lengths[best]) best = j;
        s->modes->best[picture] = (int32_t)best;
        s->modes->hits[best]++;
        if (!s->modes->score) continue;
        const int32_t own = s->prompt_of[picture];
        const double cosine = row[own] / (s->prompt_lengths[own] * s->picture_lengths[picture]);
        s->modes->score[picture] = cosine > 0 ? 100 * cosine : 0;
    }
}

static void summarise_hits(struct modes *m, int64_t n, int64_t prompts, const int64_t *asked)
{
    for (int64_t j = 0; j < prompts; j++) {
        m->asked += asked && asked[j] > 0;
        if (m->hits[j] == 0) continue;
        const double p = (double)m->hits[j] / (double)n;
        const double q = asked ? (double)asked[j] / (double)n : 1 / (double)prompts;
        m->covered++;
        m->entropy -= p * log(p);
        m->divergence += q > 0 ? p * log(p / q) : INFINITY;
    }
}

static void summarise_scores(struct modes *m, int64_t n, const int32_t *prompt_of)
{
    double sum = 0, squares = 0;
    int64_t own = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += m->score[i];
        own += m->best[i] == prompt_of[i];
    }
    m->mean_score = sum / (double)n;
    m->own_first = (double)own / (double)n;
    for (int64_t i = 0; i < n; i++) squares += (m->score[i] - m->mean_score) * (m->score[i] - m->mean_score);
    if (n > 1) m->score_error = sqrt(squares / ((double)(n - 1) * (double)n));
}

static enum status check_asked(const int32_t *prompt_of, int64_t n, int64_t prompts, struct error *err)
{
    for (int64_t i = 0; i < n && prompt_of; i++)
        if (prompt_of[i] < 0 || prompt_of[i] >= prompts)
            return fail(err, STATUS_ARGUMENT, "picture %lld is said to be of prompt %d; there are %lld, counted from 0",
                        (long long)(i + 1), prompt_of[i], (long long)prompts);
    return STATUS_OK;
}

enum status modes_measure(struct modes *out, const struct features *pictures, const struct features *prompts,
                          const int32_t *prompt_of, struct arena *memory, struct error *err)
{
    *out = (struct modes){.mean_score = NAN, .score_error = NAN, .own_first = NAN};
    enum status status = features_check_pair(pictures, prompts, 1, err);
    const int64_t n = pictures->count, k = prompts->count;
    if (status == STATUS_OK) status = check_asked(prompt_of, n, k, err);
    if (status != STATUS_OK) return status;
    const size_t pictures_bytes = (size_t)n * sizeof(double), prompts_bytes = (size_t)k * sizeof(double);
    out->best = arena_alloc(memory, (size_t)n * sizeof *out->best);
    out->hits = arena_alloc(memory, (size_t)k * sizeof *out->hits);
    int64_t *asked = arena_alloc(memory, (size_t)k * sizeof *asked);
    double *lengths = arena_alloc(memory, pictures_bytes + prompts_bytes);
    if (prompt_of) out->score = arena_alloc(memory, pictures_bytes);
    if (!out->best || !out->hits || !asked || !lengths || (prompt_of && !out->score))
        return fail_no_memory(err, "pictures and prompts", 3 * pictures_bytes + 3 * prompts_bytes);
    lengths_of(pictures, lengths);
    lengths_of(prompts, lengths + n);
    const struct rows a = rows_of_features(pictures), b = rows_of_features(prompts);
    struct search search = {out, prompt_of, lengths, lengths + n};
    status = rows_walk(&a, &b, &(struct rows_visit){.block = search_block, .context = &search, .products = true}, err);
    if (status != STATUS_OK) return status;
    for (int64_t i = 0; i < n && prompt_of; i++) asked[prompt_of[i]]++;
    summarise_hits(out, n, k, prompt_of ? asked : NULL);
    if (prompt_of) summarise_scores(out, n, prompt_of);
    return STATUS_OK;
}
