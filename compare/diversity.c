/* SPDX-License-Identifier: MIT */
#include "compare/diversity.h"

#include "compare/distances.h"
#include "core/base/memory.h"

#include <math.h>

struct spread {
    const int32_t *group;
    double *rows; /* each picture's distances to the others, added up */
    double within;
    int64_t within_pairs;
};

static void add_block(void *context, const struct rows_block *block)
{
    struct spread *s = context;
    for (int64_t i = 0; i < block->count; i++) {
        const int64_t at = block->first + i;
        for (int64_t j = at + 1; j < block->columns; j++) {
            const double distance = sqrt(block->table[i * block->columns + j]);
            s->rows[at] += distance;
            s->rows[j] += distance;
            if (s->group && s->group[at] == s->group[j]) {
                s->within += distance;
                s->within_pairs++;
            }
        }
    }
}

enum status diversity_distance(struct mean_distance *out, const struct features *pictures, const int32_t *group,
                               const struct measures_watch *watch, struct error *err)
{
    *out = (struct mean_distance){.error = NAN, .within = NAN};
    enum status status = features_check(pictures, 2, err);
    if (status != STATUS_OK) return status;
    const struct rows rows = rows_of_features(pictures);
    const double n = (double)rows.count;
    const size_t bytes = (size_t)rows.count * sizeof(double);
    struct spread s = {.group = group, .rows = memory_alloc(bytes)};
    if (!s.rows) return fail_no_memory(err, "distances of pictures", bytes);
    const struct rows_visit visit = {
        .block = add_block, .context = &s, .watch = watch, .what = "diversity", .upper = true};
    status = rows_walk(&rows, &rows, &visit, err);
    double total = 0, squares = 0;
    for (int64_t i = 0; i < rows.count; i++) total += s.rows[i];
    out->value = total / (n * (n - 1));
    /* The mean of what is left when one picture goes: the mean of these is the value itself. */
    for (int64_t i = 0; i < rows.count && rows.count > 2; i++) {
        const double left = (total - 2 * s.rows[i]) / ((n - 1) * (n - 2));
        squares += (left - out->value) * (left - out->value);
    }
    if (rows.count > 2) out->error = sqrt(squares * (n - 1) / n);
    if (s.within_pairs > 0) out->within = s.within / (double)s.within_pairs;
    out->within_pairs = s.within_pairs;
    memory_free(s.rows);
    return status;
}
