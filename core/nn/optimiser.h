/* SPDX-License-Identifier: MIT
 *
 * Optimisers: from gradients to new parameters. All parameters of a training lie in one flat array, their gradients and
 * the optimiser's own state in others of the same layout:
 *
 *     value     [ conv.weight ......|bias|.. next ............ ]
 *     gradient  [ ..................|....|.................... ]     likewise first, second and average
 *
 * so that a step, a norm, an exchange between machines or a checkpoint is one pass over one array, whatever the
 * network.
 *
 *     optimiser_create(&o, &rule, count, threads, &err);
 *     ... o->value is filled, o->gradient is summed up ...
 *     optimiser_step(o, learning_rate_at(&rate, o->steps), &norm, &err);      and the gradient is zero again
 *
 * Why on the host, and not as nodes of a graph: a step reads and writes every number once, so it is bound by memory;
 * as ten operations of the closed set it would be ten passes. On the CPU the arrays are where the kernels are. For a
 * device they are copied each way once a step (core/nn/trainer.h), which costs little beside the step itself; should
 * that change, the update formulas below are element by element and can be written as one kernel over the same flat
 * buffers. Sums are cut by place, never by thread: results are the same at any number of threads.
 */
#ifndef NN_OPTIMISER_H
#define NN_OPTIMISER_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* ADAM and SGD add decay * value to the gradient, as torch.optim's do; ADAMW shrinks the value itself (Loshchilov and
 * Hutter 2019, arXiv 1711.05101). MUON steps along a matrix's momentum with all its singular values made about one
 * (Keller Jordan and others 2024, https://kellerjordan.github.io/posts/muon; core/nn/muon.h), so that rare directions,
 * such as what one caption asks for, are learnt as fast as common ones; what is no matrix follows AdamW's rule. */
enum optimiser_kind { OPTIMISER_ADAMW, OPTIMISER_ADAM, OPTIMISER_SGD, OPTIMISER_MUON };

struct optimiser_rule {
    enum optimiser_kind kind;
    float beta1, beta2, eps; /* Adam's (Kingma and Ba 2015, arXiv 1412.6980); SGD's momentum is beta1 */
    float decay;             /* weight decay; 0: none */
    float clip;              /* largest norm of all gradients together; they are scaled down to it. 0: any. Muon's
                                matrices, whose length does not matter, are neither counted nor scaled */
    float average;           /* of the running average of the values: average = a average + (1 - a) value. 0: none */
    bool average_warms;      /* a young average forgets faster: its factor is at most (1 + steps) / (10 + steps) */
    float matrix_momentum;   /* Muon: m = momentum m + (1 - momentum) g, and one look ahead */
    float matrix_rate;       /* Muon: a matrix's rate as a multiple of the others' */
};

/* Muon: turns the directions of all matrices, in an array laid out as the values, into those to step along. Set by who
 * knows the matrices' shapes (core/nn/trainer.h). */
struct optimiser_directions {
    enum status (*turn)(void *context, float *direction, struct error *err);
    void *context; /* borrowed */
};

struct optimiser {
    struct optimiser_rule rule;
    int64_t count;           /* elements of each array */
    float *value, *gradient; /* owned */
    float *first, *second;   /* owned; moments, or momentum; NULL where the rule has none */
    float *average;          /* owned; NULL without */
    unsigned char *decays;   /* owned; by blocks of OPTIMISER_BLOCK elements: whether decay applies; all 1 at first */
    unsigned char *matrices; /* owned; likewise: whether the element is a matrix's; all 0 at first. NULL unless Muon */
    struct optimiser_directions directions;
    int64_t steps;                     /* done so far */
    struct optimiser_workers *workers; /* owned */
};

enum { OPTIMISER_BLOCK = 16 }; /* parameters begin at multiples of it */

/* Arrays are zero. threads: as pool_create's. */
MUST_CHECK enum status optimiser_create(struct optimiser **out, const struct optimiser_rule *rule, int64_t count,
                                        int threads, struct error *err);
void optimiser_destroy(struct optimiser *o);

/* Sets the average to the values, as it should be before the first step. */
void optimiser_start_average(struct optimiser *o);

/* One step; the gradient is zero afterwards. *norm, if asked for, is what it was before clipping. Gradients that are
 * infinite or not numbers are an error, and nothing is changed. */
MUST_CHECK enum status optimiser_step(struct optimiser *o, float rate, float *norm, struct error *err);

/* ---- learning rates ---- */

enum learning_rate_kind { LEARNING_RATE_CONSTANT, LEARNING_RATE_COSINE };

struct learning_rate {
    enum learning_rate_kind kind;
    float peak, floor;      /* cosine: from the peak down to the floor (Loshchilov and Hutter 2017, arXiv 1608.03983) */
    int64_t warm_up, steps; /* steps of linear growth, and steps in all (cosine only) */
};

float learning_rate_at(const struct learning_rate *rate, int64_t step); /* step 0 is the first */

#endif
