/* SPDX-License-Identifier: MIT
 *
 * A graph run in double by the naive computations (tests/support/naive.h): no plan, no fusion, every value kept. What
 * gradients are measured against, by difference quotients.
 *
 *     double **values = interpret_create(&g);        by node index; constants are filled in, other leaves by the test
 *     interpret_run(&g, values, loss->index);
 *     interpret_destroy(&g, values);
 */
#ifndef SUPPORT_INTERPRET_H
#define SUPPORT_INTERPRET_H

#include "core/tensor/graph.h"

double **interpret_create(const struct graph *g);
void interpret_run(const struct graph *g, double **values, int last); /* all nodes up to that index */
void interpret_destroy(const struct graph *g, double **values);

/* d values[result][0] / d values[leaf][at], by a difference quotient of fourth order. */
double interpret_slope(const struct graph *g, double **values, const struct node *result, const struct node *leaf,
                       int64_t at);

#endif
