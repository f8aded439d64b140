/* SPDX-License-Identifier: MIT
 *
 * A trainer owns the parameters that are trained: in full precision on the host (its optimiser's flat arrays), and in
 * the backend's memory, where graphs read them. It is made from a graph, and then serves any number of graphs that have
 * parameters of those names: the steps of a discriminator and of a generator, a graph that samples.
 *
 *     struct trainer_options o = {.prefix = "discriminator.", .rule = {...}};
 *     trainer_create(&t, backend, &g, &o, &err);           which parameters there are
 *     trainer_differentiate(t, &g, loss, 1);               before planning: gradients become outputs of the graph
 *     trainer_bind(t, &g);                                 then exec_create(&exec, &g, ...)
 *     ... t->optimiser->value is filled: trainer_adopt, or by hand through trainer_find ...
 *     trainer_publish(t, &err);
 *
 *     for each step: for each part of the batch: exec_write, exec_run, trainer_collect(t, exec, 1.0f / parts, &err);
 *                    trainer_step(t, rate, &norm, &err);
 *
 * Parameters that no trainer owns are bound as ever (core/nn/params.h).
 */
#ifndef NN_TRAINER_H
#define NN_TRAINER_H

#include "core/nn/optimiser.h"
#include "core/tensor/exec.h"

struct trainer_parameter {
    struct weight weight; /* as bound to graphs; its offset, in floats, is also that in the optimiser's arrays */
    enum param_layout layout;
    int64_t first_row, total_rows; /* as in the node */
    const char *gradient;          /* the name of its gradient's output */
};

struct trainer {
    struct optimiser *optimiser;          /* owned */
    struct trainer_parameter *parameters; /* owned */
    int count;
    struct backend *backend; /* borrowed */
    struct buffer *buffer;   /* owned; the optimiser's values on the backend */
    struct arena arena;      /* names */
    float *received;         /* owned; one gradient as it comes from the backend */
    struct muon *muon;       /* owned; NULL unless the rule is Muon's */
};

struct trainer_options {
    const char *prefix; /* only parameters whose name begins so; NULL: all */
    struct optimiser_rule rule;
    int threads; /* as pool_create's */
    /* For Muon: every parameter of more than one dimension is a matrix, except those in whose name one of these occurs:
     * tables of embeddings, first and last layers. NULL, or a list that ends with NULL. */
    const char *const *no_matrices;
    size_t limit;        /* for Muon: most bytes that its runs may take; 0: no limit; more is STATUS_LIMIT */
    size_t *muon_needed; /* becomes what they take, as muon_create has it; NULL: nobody asks */
};

/* Weight decay applies to parameters of more than one dimension: neither to biases nor to norms. */
MUST_CHECK enum status trainer_create(struct trainer **out, struct backend *backend, const struct graph *graph,
                                      const struct trainer_options *options, struct error *err);
void trainer_destroy(struct trainer *t); /* after all graphs that are bound to it */

/* The place of a parameter's values in the optimiser's value array, in limn's layout; NULL if there is none. */
float *trainer_find(struct trainer *t, const char *name);

/* Takes over the values of those parameters of the graph that are bound elsewhere, say by params_load, of any type. */
MUST_CHECK enum status trainer_adopt(struct trainer *t, const struct graph *graph, struct error *err);

/* Adds to the graph the gradients of the loss with respect to all of the trainer's parameters that it has, as outputs.
 * pieces: 1, or more to save memory (graph_grad_in_pieces). Errors stick in the graph. */
void trainer_differentiate(struct trainer *t, struct graph *graph, struct node *loss, int pieces);

/* The same for several trainers whose parameters are all in the graph, in one pass backwards instead of one each. */
void trainer_differentiate_all(struct trainer *const *trainers, int count, struct graph *graph, struct node *loss,
                               int pieces);

void trainer_bind(struct trainer *t, struct graph *graph);

/* Adds `share` times the gradients of the last run. */
MUST_CHECK enum status trainer_collect(struct trainer *t, struct exec *exec, float share, struct error *err);

/* The optimiser's step, then trainer_publish. */
MUST_CHECK enum status trainer_step(struct trainer *t, float rate, float *norm, struct error *err);

/* Sends the values to the backend, for all bound graphs to see. */
MUST_CHECK enum status trainer_publish(struct trainer *t, struct error *err);

/* Sends the running average instead, to see what it paints; trainer_publish puts the values back. The rule must have
 * one. */
MUST_CHECK enum status trainer_publish_average(struct trainer *t, struct error *err);

#endif
