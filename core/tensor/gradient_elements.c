/* SPDX-License-Identifier: MIT
 *
 * Gradients of what works element by element.
 */
#include "core/tensor/gradient_rules.h"

void gradient_unary(struct chain *c, struct node *y, struct node *dy)
{
    const enum unary kind = y->as.unary.kind;
    if (kind == UNARY_STEP) return;
    struct node *x = y->input[0];
    chain_give(c, x, kind == UNARY_NONE ? dy : graph_unary_gradient(c->g, x, dy, kind, y->as.unary.alpha));
}

static struct node *square(struct graph *g, struct node *x)
{
    return graph_mul(g, x, x);
}

/* (s x sigmoid(s x) / s)'' = s q (1 - q) (2 + s x (1 - 2 q)) with q = sigmoid(s x). */
static struct node *second_of_silu(struct graph *g, struct node *x, float s)
{
    struct node *scaled = graph_scale(g, x, s, 0), *q = graph_unary(g, scaled, UNARY_SIGMOID);
    struct node *bell = graph_scale(g, graph_mul(g, q, graph_scale(g, q, -1, 1)), s, 0);
    struct node *bend = graph_mul(g, scaled, graph_scale(g, q, -2, 1));
    return graph_mul(g, bell, graph_scale(g, bend, 1, 2));
}

/* (x Phi(x))'' = phi(x) (2 - x^2), with phi the normal density. */
static struct node *second_of_gelu(struct graph *g, struct node *x)
{
    struct node *x2 = square(g, x), *bell = graph_unary(g, graph_scale(g, x2, -0.5f, 0), UNARY_EXP);
    return graph_mul(g, bell, graph_scale(g, x2, -0.39894228f, 0.79788456f));
}

/* x (1 + t) / 2 with t = tanh u: its second derivative is (1 - t^2) (u' + x (u'' / 2 - t u'^2)). */
static struct node *second_of_gelu_tanh(struct graph *g, struct node *x)
{
    const float a = 0.79788456f, b = 3 * 0.044715f;
    struct node *x2 = square(g, x);
    struct node *u = graph_mul(g, x, graph_scale(g, x2, a * 0.044715f, a));
    struct node *u1 = graph_scale(g, x2, a * b, a), *half_u2 = graph_scale(g, x, a * b, 0);
    struct node *t = graph_unary(g, u, UNARY_TANH), *bell = graph_scale(g, square(g, t), -1, 1);
    struct node *inner = graph_binary(g, BINARY_SUB, half_u2, graph_mul(g, t, square(g, u1)));
    return graph_mul(g, bell, graph_add(g, u1, graph_mul(g, x, inner)));
}

/* f''(x), or NULL where that is 0. */
static struct node *second_derivative(struct graph *g, struct node *x, enum unary kind)
{
    struct node *f = graph_unary(g, x, kind == UNARY_SOFTPLUS ? UNARY_SIGMOID : kind);
    switch (kind) {
    case UNARY_NONE:
    case UNARY_RELU:
    case UNARY_LEAKY_RELU:
    case UNARY_STEP:
    case UNARY_COUNT: return NULL;
    case UNARY_SILU: return second_of_silu(g, x, 1);
    case UNARY_QUICK_GELU: return second_of_silu(g, x, 1.702f);
    case UNARY_GELU: return second_of_gelu(g, x);
    case UNARY_GELU_TANH: return second_of_gelu_tanh(g, x);
    case UNARY_TANH: return graph_mul(g, graph_scale(g, f, -2, 0), graph_scale(g, square(g, f), -1, 1));
    case UNARY_SIGMOID: return graph_mul(g, graph_mul(g, f, graph_scale(g, f, -1, 1)), graph_scale(g, f, -2, 1));
    case UNARY_EXP: return f;
    case UNARY_LOG: {
        const float minus = -1;
        const struct shape one = {.rank = x->shape.rank, .dim = {1, 1, 1, 1}};
        return graph_binary(g, BINARY_DIV, graph_constant(g, one, &minus), square(g, x));
    }
    case UNARY_SQRT: return graph_binary(g, BINARY_DIV, graph_scale(g, f, -0.25f, 0), square(g, x));
    case UNARY_SOFTPLUS: return graph_mul(g, f, graph_scale(g, f, -1, 1));
    }
    return NULL;
}

/* y = d f'(x): its gradients are dy f'(x) for d, and dy d f''(x) for x. */
void gradient_unary_gradient(struct chain *c, struct node *y, struct node *dy)
{
    struct node *x = y->input[0], *d = y->input[1];
    chain_give(c, d, graph_unary_gradient(c->g, x, dy, y->as.unary.kind, y->as.unary.alpha));
    if (!chain_wanted(c, x)) return;
    struct node *second = second_derivative(c->g, x, y->as.unary.kind);
    if (second) chain_give(c, x, graph_mul(c->g, graph_mul(c->g, dy, d), second));
}

/* An operand that was repeated gets the sum over the repetitions. */
void gradient_binary(struct chain *c, struct node *y, struct node *dy)
{
    struct graph *g = c->g;
    struct node *a = y->input[0], *b = y->input[1], *da = dy, *db = dy;
    switch (y->as.binary) {
    case BINARY_ADD: break;
    case BINARY_SUB: db = graph_scale(g, dy, -1, 0); break;
    case BINARY_MUL:
        da = graph_mul(g, dy, b);
        db = graph_mul(g, dy, a);
        break;
    case BINARY_DIV:
        da = graph_binary(g, BINARY_DIV, dy, b);
        db = graph_scale(g, graph_mul(g, da, y), -1, 0);
        break;
    }
    chain_give(c, a, gradient_sum_to(g, da, a->shape));
    chain_give(c, b, gradient_sum_to(g, db, b->shape));
}

void gradient_scale(struct chain *c, struct node *y, struct node *dy)
{
    chain_give(c, y->input[0], graph_scale(c->g, dy, y->as.scale.factor, 0));
}

/* y = a gelu(b), where x is a and b side by side. */
void gradient_geglu(struct chain *c, struct node *y, struct node *dy)
{
    struct graph *g = c->g;
    const int last = y->shape.rank - 1;
    const int64_t width = y->shape.dim[last];
    struct node *a = graph_slice(g, y->input[0], last, 0, width), *b = graph_slice(g, y->input[0], last, width, width);
    struct node *da = graph_mul(g, dy, graph_unary(g, b, UNARY_GELU));
    struct node *db = graph_unary_gradient(g, b, graph_mul(g, dy, a), UNARY_GELU, 0);
    chain_give(c, y->input[0], graph_concat(g, da, db, last));
}
