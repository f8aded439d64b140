/* SPDX-License-Identifier: MIT
 *
 * Gradients against PyTorch's (tests/golden/gradients): of single operations, of a small denoiser with residual blocks,
 * attention and GEGLU, of a gradient penalty; and twenty steps of training of the denoiser and of a DCGAN.
 */
#include "core/nn/batch_norm.h"
#include "core/nn/layers.h"
#include "core/nn/losses.h"
#include "core/nn/params.h"
#include "core/nn/trainer.h"
#include "core/tensor/gradient.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"
#include "tests/support/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_OPERANDS = 3, STEPS = 20 };

/* Twice: the reference kernels by one thread, and the best kernels by two. */
struct fixture {
    struct backend *backends[2];
};

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) fail_msg("%s", err->text);
}

static struct exec *make_exec(struct graph *g, struct backend *backend)
{
    struct exec *exec = NULL;
    struct error err = {0};
    must(exec_create(&exec, g, backend, 0, &err), &err);
    return exec;
}

static struct shape shape_of(const struct tensor *t)
{
    return shape_make(t->rank, t->dim);
}

static void write_values(struct exec *exec, const char *input, const void *values)
{
    struct error err = {0};
    must(exec_write(exec, input, values, &err), &err);
}

static void read_near(struct exec *exec, const struct checkpoint *golden, const char *output, const char *key,
                      double limit)
{
    struct error err = {0};
    const size_t n = (size_t)golden_tensor(golden, "%s", key)->count;
    float *want = golden_values(golden, "%s", key), *got = test_malloc(n * sizeof *got);
    must(exec_read(exec, output, got, &err), &err);
    golden_near(got, want, n, limit, "%s", key);
    test_free(got);
    memory_free(want);
}

/* ---- single operations ---- */

typedef struct node *builder(struct graph *g, struct node *const in[]);

static struct node *linear(struct graph *g, struct node *const in[])
{
    return graph_linear(g, in[0], in[1], in[2]);
}

static struct node *matmul(struct graph *g, struct node *const in[])
{
    return graph_matmul(g, in[0], in[1], false, false);
}

static struct node *conv2d(struct graph *g, struct node *const in[])
{
    return graph_conv2d(g, in[0], in[1], in[2], (struct conv){.stride = 1, .pad = PAD(1)});
}

static struct node *conv2d_stride(struct graph *g, struct node *const in[])
{
    return graph_conv2d(g, in[0], in[1], NULL, (struct conv){.stride = 2, .pad = {.bottom = 1, .right = 1}});
}

static struct node *conv2d_transpose(struct graph *g, struct node *const in[])
{
    return graph_conv2d_transpose(g, in[0], in[1], in[2], (struct conv){.stride = 2, .pad = PAD(1)});
}

static struct node *conv2d_transpose_added(struct graph *g, struct node *const in[])
{
    return graph_conv2d_transpose(g, in[0], in[1], NULL, (struct conv){.stride = 3, .pad = {1, 1, -1, -1}});
}

static struct node *group_norm(struct graph *g, struct node *const in[])
{
    return graph_group_norm(g, in[0], in[1], in[2], (struct norm){.groups = 3, .eps = 1e-5f});
}

static struct node *group_norm_silu(struct graph *g, struct node *const in[])
{
    return graph_group_norm(g, in[0], in[1], in[2], (struct norm){.groups = 2, .eps = 1e-5f, .act = UNARY_SILU});
}

static struct node *layer_norm(struct graph *g, struct node *const in[])
{
    return graph_layer_norm(g, in[0], in[1], in[2], 1e-5f);
}

/* Its operands stand for the parameters that nn_batch_norm_training would make. */
static struct node *batch_norm(struct graph *g, struct node *const in[])
{
    const int64_t C = shape_dim(in[0]->shape, -1);
    struct node *all = graph_reshape(g, in[0], SHAPE(1, shape_rows(in[0]->shape), C));
    all = graph_group_norm(g, all, in[1], in[2], (struct norm){.groups = (int)C, .eps = 1e-5f});
    return graph_reshape(g, all, in[0]->shape);
}

#define UNARY_CASE(name, kind)                                                                                         \
    static struct node *name(struct graph *g, struct node *const in[])                                                 \
    {                                                                                                                  \
        return graph_unary(g, in[0], kind);                                                                            \
    }
UNARY_CASE(silu, UNARY_SILU)
UNARY_CASE(gelu, UNARY_GELU)
UNARY_CASE(gelu_tanh, UNARY_GELU_TANH)
UNARY_CASE(quick_gelu, UNARY_QUICK_GELU)
UNARY_CASE(relu, UNARY_RELU)
UNARY_CASE(tanh_, UNARY_TANH)
UNARY_CASE(sigmoid, UNARY_SIGMOID)
UNARY_CASE(exp_, UNARY_EXP)
UNARY_CASE(softplus, UNARY_SOFTPLUS)

static struct node *leaky_relu(struct graph *g, struct node *const in[])
{
    return graph_leaky_relu(g, in[0], 0.2f);
}

static struct node *add(struct graph *g, struct node *const in[])
{
    return graph_add(g, in[0], in[1]);
}

static struct node *mul(struct graph *g, struct node *const in[])
{
    return graph_mul(g, in[0], in[1]);
}

static struct node *divide(struct graph *g, struct node *const in[])
{
    return graph_binary(g, BINARY_DIV, in[0], graph_scale(g, graph_unary(g, in[1], UNARY_TANH), 1, 2));
}

static struct node *geglu(struct graph *g, struct node *const in[])
{
    return graph_geglu(g, in[0]);
}

static struct node *softmax(struct graph *g, struct node *const in[])
{
    return graph_softmax(g, in[0], 2);
}

static struct node *self_attention(struct graph *g, struct node *const in[])
{
    return graph_attention(g, in[0], in[1], in[2], (struct attention){.heads = 2});
}

static struct node *cross_attention(struct graph *g, struct node *const in[])
{
    return graph_attention(g, in[0], in[1], in[2], (struct attention){.heads = 3});
}

static struct node *causal_attention(struct graph *g, struct node *const in[])
{
    return graph_attention(g, in[0], in[1], in[2], (struct attention){.heads = 1, .causal = true});
}

static struct node *embedding(struct graph *g, struct node *const in[])
{
    return graph_embedding(g, graph_input(g, "ids", DTYPE_I32, SHAPE(2, 3)), in[0]);
}

static struct node *upsample(struct graph *g, struct node *const in[])
{
    return graph_upsample(g, in[0], 2);
}

static struct node *average_pool(struct graph *g, struct node *const in[])
{
    return graph_average_pool(g, in[0], 3, 2);
}

static struct node *maximum(struct graph *g, struct node *const in[])
{
    return graph_reduce(g, REDUCE_MAX, in[0], 1u << 1 | 1u << 2);
}

static struct node *mean(struct graph *g, struct node *const in[])
{
    return graph_reduce(g, REDUCE_MEAN, in[0], 1u << 1);
}

static const struct {
    const char *name;
    builder *build;
} ops[] = {
    {"linear", linear},
    {"matmul", matmul},
    {"conv2d", conv2d},
    {"conv2d_stride", conv2d_stride},
    {"conv2d_transpose", conv2d_transpose},
    {"conv2d_transpose_added", conv2d_transpose_added},
    {"group_norm", group_norm},
    {"group_norm_silu", group_norm_silu},
    {"layer_norm", layer_norm},
    {"batch_norm", batch_norm},
    {"silu", silu},
    {"gelu", gelu},
    {"gelu_tanh", gelu_tanh},
    {"quick_gelu", quick_gelu},
    {"relu", relu},
    {"leaky_relu", leaky_relu},
    {"tanh", tanh_},
    {"sigmoid", sigmoid},
    {"exp", exp_},
    {"softplus", softplus},
    {"add", add},
    {"mul", mul},
    {"div", divide},
    {"geglu", geglu},
    {"softmax", softmax},
    {"self_attention", self_attention},
    {"cross_attention", cross_attention},
    {"causal_attention", causal_attention},
    {"embedding", embedding},
    {"upsample", upsample},
    {"average_pool", average_pool},
    {"max", maximum},
    {"mean", mean},
};

static void check_op(struct backend *backend, const struct checkpoint *golden, const char *name, builder *build)
{
    struct graph g = {0};
    struct node *in[MOST_OPERANDS] = {0}, *gradient[MOST_OPERANDS];
    char key[MOST_OPERANDS][64], output[64];
    int count = 0;
    for (; count < MOST_OPERANDS; count++) {
        snprintf(key[count], sizeof key[count], "%s.in%d", name, count);
        const struct tensor *t = checkpoint_find(golden, key[count]);
        if (!t) break;
        in[count] = graph_input(&g, key[count], DTYPE_F32, shape_of(t));
    }
    struct node *dy = graph_input(&g, "dy", DTYPE_F32, shape_of(golden_tensor(golden, "%s.dy", name)));
    struct node *loss = nn_mean(&g, graph_mul(&g, build(&g, in), dy));
    loss = graph_scale(&g, loss, (float)shape_count(dy->shape), 0);
    graph_grad(&g, loss, in, count, gradient);
    for (int i = 0; i < count; i++) {
        snprintf(output, sizeof output, "%s.d%d", name, i);
        graph_output(&g, output, gradient[i]);
    }
    struct exec *exec = make_exec(&g, backend);
    float *values = golden_values(golden, "%s.dy", name);
    write_values(exec, "dy", values);
    memory_free(values);
    for (int i = 0; i < count; i++) {
        values = golden_values(golden, "%s", key[i]);
        write_values(exec, key[i], values);
        memory_free(values);
    }
    if (build == embedding) write_values(exec, "ids", (int32_t[]){1, 4, 1, 0, 1, 6});
    struct error err = {0};
    must(exec_run(exec, &err), &err);
    for (int i = 0; i < count; i++) {
        snprintf(output, sizeof output, "%s.d%d", name, i);
        read_near(exec, golden, output, output, 2e-6);
    }
    exec_destroy(exec);
    graph_clear(&g);
}

static void test_ops(void **state)
{
    const struct fixture *f = *state;
    struct checkpoint *golden = golden_open("gradients/ops.safetensors");
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        for (int b = 0; b < 2; b++) check_op(f->backends[b], golden, ops[i].name, ops[i].build);
    checkpoint_close(golden);
}

/* ---- networks ---- */

/* A made-up array by the weight rule; 4-D ones are [B, C, H, W] there and come with channels last. */
static void ruled(float *out, const char *name, int rank, const int64_t *dim)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= dim[i];
    float *plain = test_malloc((size_t)n * sizeof *plain);
    weights_fill(plain, name, rank, dim, 0, n);
    const int64_t pixels = rank == 4 ? dim[2] * dim[3] : 1, channels = rank == 4 ? dim[1] : 1;
    for (int64_t i = 0; i < n; i++) {
        const int64_t b = i / (channels * pixels), c = i / pixels % channels, p = i % pixels;
        out[(b * pixels + p) * channels + c] = plain[i];
    }
    test_free(plain);
}

/* Writes input `name` with the made-up array `rule`. */
static void write_ruled(struct exec *exec, const struct graph *g, const char *name, const char *rule)
{
    const struct shape s = graph_find(g, name)->shape;
    const int64_t nchw[] = {s.dim[0], s.dim[3], s.dim[1], s.dim[2]};
    float *values = test_malloc((size_t)shape_count(s) * sizeof *values);
    ruled(values, rule, s.rank, s.rank == 4 ? nchw : s.dim);
    write_values(exec, name, values);
    test_free(values);
}

/* Gives all parameters of the graph, through a checkpoint, the values that the rule has for their names. */
static void start(struct trainer *const trainers[], int count, struct graph *g, struct backend *backend)
{
    struct scratch s;
    scratch_open(&s);
    struct error err = {0};
    const char *path = scratch_path(&s, "start.safetensors");
    must(weights_write_graphs(path, (struct graph *[]){g}, 1, DTYPE_F32, &err), &err);
    struct checkpoint *checkpoint = NULL;
    must(checkpoint_open(&checkpoint, path, &err), &err);
    struct params *params = NULL;
    must(params_create(&params, backend, &err), &err);
    must(params_load(params, g, checkpoint, &err), &err);
    for (int i = 0; i < count; i++) {
        must(trainer_adopt(trainers[i], g, &err), &err);
        must(trainer_publish(trainers[i], &err), &err);
        trainer_bind(trainers[i], g);
    }
    params_destroy(params);
    checkpoint_close(checkpoint);
    scratch_close(&s);
}

/* The trainer's values of a parameter against the golden tensor "WHEN NAME". */
static void check_parameter(struct trainer *t, const struct checkpoint *golden, const char *when, const char *name,
                            double limit)
{
    const size_t n = (size_t)golden_tensor(golden, "%s %s", when, name)->count;
    float *want = golden_values(golden, "%s %s", when, name);
    const float *got = trainer_find(t, name);
    if (!got) fail_msg("no parameter '%s'", name);
    golden_near(got, want, n, limit, "%s %s", when, name);
    memory_free(want);
}

static struct node *residual(struct graph *g, struct node *x, struct node *emb, int64_t out, const char *name)
{
    const struct conv same = {.stride = 1, .pad = PAD(1)};
    const struct norm norm = {.groups = 4, .eps = 1e-5f, .act = UNARY_SILU};
    struct node *h = nn_conv2d(g, nn_group_norm(g, x, norm, "%s.norm1", name), out, 3, same, "%s.conv1", name);
    struct node *e = nn_linear(g, graph_unary(g, emb, UNARY_SILU), out, "%s.emb", name);
    h = graph_add(g, h, graph_reshape(g, e, SHAPE(shape_dim(x->shape, 0), 1, 1, out)));
    h = nn_conv2d(g, nn_group_norm(g, h, norm, "%s.norm2", name), out, 3, same, "%s.conv2", name);
    return graph_add(g, nn_conv2d(g, x, out, 1, (struct conv){.stride = 1}, "%s.skip", name), h);
}

static struct node *attend(struct graph *g, struct node *x, struct node *source, const char *name)
{
    const int64_t C = shape_dim(x->shape, -1);
    struct node *q = nn_linear_no_bias(g, x, C, "%s.q", name), *k = nn_linear_no_bias(g, source, C, "%s.k", name);
    struct node *v = nn_linear_no_bias(g, source, C, "%s.v", name);
    return nn_linear(g, graph_attention(g, q, k, v, (struct attention){.heads = 2}), C, "%s.out", name);
}

static struct node *transformer(struct graph *g, struct node *x, struct node *context, const char *name)
{
    const int64_t C = shape_dim(x->shape, -1), B = shape_dim(x->shape, 0);
    struct node *t = nn_group_norm(g, x, (struct norm){.groups = 4, .eps = 1e-6f}, "%s.norm", name);
    t = nn_linear(g, graph_reshape(g, t, SHAPE(B, shape_rows(x->shape) / B, C)), C, "%s.inward", name);
    struct node *n = nn_layer_norm(g, t, 1e-5f, "%s.norm1", name);
    char part[64];
    snprintf(part, sizeof part, "%s.self_", name);
    t = graph_add(g, attend(g, n, n, part), t);
    snprintf(part, sizeof part, "%s.cross", name);
    t = graph_add(g, attend(g, nn_layer_norm(g, t, 1e-5f, "%s.norm2", name), context, part), t);
    n = graph_geglu(g, nn_linear(g, nn_layer_norm(g, t, 1e-5f, "%s.norm3", name), 8 * C, "%s.up", name));
    t = graph_add(g, nn_linear(g, n, C, "%s.down", name), t);
    return graph_add(g, graph_reshape(g, nn_linear(g, t, C, "%s.outward", name), x->shape), x);
}

static struct node *denoiser_loss(struct graph *g)
{
    const struct conv same = {.stride = 1, .pad = PAD(1)};
    struct node *x = graph_input(g, "x", DTYPE_F32, SHAPE(2, 6, 6, 3));
    struct node *emb = graph_input(g, "emb", DTYPE_F32, SHAPE(2, 10));
    struct node *context = graph_input(g, "context", DTYPE_F32, SHAPE(2, 5, 6));
    struct node *noise = graph_input(g, "noise", DTYPE_F32, x->shape);
    struct node *h = residual(g, nn_conv2d(g, x, 8, 3, same, "first"), emb, 12, "res");
    h = transformer(g, h, context, "attend");
    struct node *low = nn_conv2d(g, h, 12, 3, (struct conv){.stride = 2, .pad = PAD(1)}, "down");
    low = graph_upsample(g, residual(g, low, emb, 8, "res2"), 2);
    struct node *y = nn_conv2d(g, graph_concat(g, low, h, 3), 3, 3, same, "last");
    return nn_squared_error(g, y, noise, NULL);
}

static const struct optimiser_rule adamw = {OPTIMISER_ADAMW, 0.9f, 0.99f, 1e-8f, .decay = 0.02f, .clip = 0.5f};

struct denoiser {
    struct graph g;
    struct trainer *trainer;
    struct exec *exec;
};

static void denoiser_open(struct denoiser *d, struct backend *backend, int threads, int pieces)
{
    *d = (struct denoiser){0};
    struct error err = {0};
    struct node *loss = denoiser_loss(&d->g);
    must(
        trainer_create(&d->trainer, backend, &d->g, &(struct trainer_options){.rule = adamw, .threads = threads}, &err),
        &err);
    struct node *inputs[] = {graph_find(&d->g, "x"), graph_find(&d->g, "context")}, *gradient[2];
    graph_grad_in_pieces(&d->g, loss, pieces, inputs, 2, gradient);
    graph_output(&d->g, "d x", gradient[0]);
    graph_output(&d->g, "d context", gradient[1]);
    trainer_differentiate(d->trainer, &d->g, loss, pieces);
    graph_output(&d->g, "loss", loss);
    start(&d->trainer, 1, &d->g, backend);
    d->exec = make_exec(&d->g, backend);
}

static void denoiser_run(struct denoiser *d, int batch)
{
    static const char *const inputs[] = {"x", "emb", "context", "noise"};
    for (int i = 0; i < 4; i++) {
        char rule[32];
        snprintf(rule, sizeof rule, "%s.%d", inputs[i], batch);
        write_ruled(d->exec, &d->g, inputs[i], rule);
    }
    struct error err = {0};
    must(exec_run(d->exec, &err), &err);
}

static void denoiser_close(struct denoiser *d)
{
    exec_destroy(d->exec);
    graph_clear(&d->g);
    trainer_destroy(d->trainer);
}

/* With the forward pass kept, and computed again in 2 to 9 pieces. */
static void test_denoiser(void **state)
{
    const struct fixture *f = *state;
    struct checkpoint *golden = golden_open("gradients/denoiser.safetensors");
    for (int pieces = 1; pieces < 10; pieces++) {
        struct denoiser d;
        denoiser_open(&d, f->backends[pieces % 2], 1, pieces);
        denoiser_run(&d, 0);
        read_near(d.exec, golden, "loss", "loss", 1e-6);
        read_near(d.exec, golden, "d x", "d x", 2e-5);
        read_near(d.exec, golden, "d context", "d context", 2e-5);
        for (int i = 0; i < d.trainer->count; i++) {
            char key[128];
            snprintf(key, sizeof key, "d %s", d.trainer->parameters[i].weight.name);
            read_near(d.exec, golden, d.trainer->parameters[i].gradient, key, 2e-5);
        }
        denoiser_close(&d);
    }
    checkpoint_close(golden);
}

/* A deep chain of layers: in pieces it needs much less memory, and gives the same bits. */
static void test_pieces_save_memory(void **state)
{
    enum { LAYERS = 64, WIDTH = 8, ROWS = 4096 };
    const struct fixture *f = *state;
    size_t bytes[2];
    float *gradients[2];
    for (int k = 0; k < 2; k++) {
        struct graph g = {0};
        struct node *x = graph_input(&g, "x", DTYPE_F32, SHAPE(ROWS, WIDTH)), *y = x, *d = NULL;
        struct node *w = graph_input(&g, "w", DTYPE_F32, SHAPE(WIDTH, WIDTH));
        for (int i = 0; i < LAYERS; i++) y = graph_unary(&g, graph_linear(&g, y, w, NULL), UNARY_TANH);
        graph_grad_in_pieces(&g, nn_mean(&g, graph_mul(&g, y, y)), k ? 8 : 1, &w, 1, &d);
        graph_output(&g, "d", d);
        struct exec *exec = make_exec(&g, f->backends[1]);
        bytes[k] = exec_bytes(exec);
        gradients[k] = test_malloc(WIDTH * WIDTH * sizeof(float));
        float *values = test_malloc(ROWS * WIDTH * sizeof *values);
        for (int i = 0; i < ROWS * WIDTH; i++) values[i] = (float)(i % 17) / 8 - 1;
        write_values(exec, "x", values);
        for (int i = 0; i < WIDTH * WIDTH; i++) values[i] = (float)(i * 5 % 13) / 10 - 0.6f;
        write_values(exec, "w", values);
        test_free(values);
        struct error err = {0};
        must(exec_run(exec, &err), &err);
        must(exec_read(exec, "d", gradients[k], &err), &err);
        exec_destroy(exec);
        graph_clear(&g);
    }
    assert_true(gradients[0][5] != 0);
    assert_memory_equal(gradients[0], gradients[1], WIDTH * WIDTH * sizeof(float));
    if (bytes[1] > bytes[0] / 3) fail_msg("%zu bytes in pieces, %zu at once", bytes[1], bytes[0]);
    test_free(gradients[0]);
    test_free(gradients[1]);
}

/* Twenty steps of two batches each. `values` gets a copy of all parameters at the end, if it is not NULL. */
static void train_denoiser(struct backend *backend, int threads, const struct checkpoint *golden, float **values)
{
    const struct learning_rate rate = {LEARNING_RATE_COSINE, 4e-3f, 4e-4f, 5, STEPS};
    struct denoiser d;
    denoiser_open(&d, backend, threads, 1);
    float losses[STEPS], norms[STEPS];
    for (int step = 0; step < STEPS; step++) {
        struct error err = {0};
        losses[step] = 0;
        for (int part = 0; part < 2; part++) {
            float loss;
            denoiser_run(&d, 2 * step + part);
            must(exec_read(d.exec, "loss", &loss, &err), &err);
            must(trainer_collect(d.trainer, d.exec, 0.5f, &err), &err);
            losses[step] += loss / 2;
        }
        must(trainer_step(d.trainer, learning_rate_at(&rate, step), &norms[step], &err), &err);
    }
    float *want = golden_values(golden, "losses");
    golden_near(losses, want, STEPS, 1e-4, "losses of twenty steps");
    assert_true(want[STEPS - 1] < 0.8f * want[0]);
    memory_free(want);
    want = golden_values(golden, "norms");
    golden_near(norms, want, STEPS, 1e-3, "norms of twenty steps");
    memory_free(want);
    static const char *const names[] = {"first.weight", "res.emb.bias", "attend.self_.q.weight", "last.weight"};
    for (int i = 0; i < 4; i++) check_parameter(d.trainer, golden, "after", names[i], 2e-3);
    const size_t bytes = (size_t)d.trainer->optimiser->count * sizeof **values;
    if (values) {
        *values = test_malloc(bytes);
        memcpy(*values, d.trainer->optimiser->value, bytes);
    }
    denoiser_close(&d);
}

static void test_denoiser_training(void **state)
{
    const struct fixture *f = *state;
    struct checkpoint *golden = golden_open("gradients/denoiser.safetensors");
    for (int b = 0; b < 2; b++) train_denoiser(f->backends[b], 1, golden, NULL);
    checkpoint_close(golden);
}

/* The same bits whatever the number of threads, of the kernels and of the optimiser. */
static void test_threads(void **state)
{
    (void)state;
    struct checkpoint *golden = golden_open("gradients/denoiser.safetensors");
    float *first = NULL;
    for (int threads = 1; threads <= 5; threads += 2) {
        struct backend *backend = NULL;
        struct error err = {0};
        float *values = NULL;
        must(backend_open(&backend, "cpu", &(struct backend_options){.threads = threads}, &err), &err);
        train_denoiser(backend, 6 - threads, golden, &values);
        if (first) {
            struct graph g = {0};
            denoiser_loss(&g);
            int64_t n = 0;
            for (int i = 0; i < g.count; i++)
                if (g.nodes[i]->op == OP_PARAM) n += shape_count(g.nodes[i]->shape);
            assert_memory_equal(values, first, (size_t)n * sizeof *values);
            graph_clear(&g);
            test_free(values);
        } else {
            first = values;
        }
        backend->f->close(backend);
    }
    test_free(first);
    checkpoint_close(golden);
}

/* ---- DCGAN (Radford et al. 2015, arXiv 1511.06434) ---- */

static struct node *up(struct graph *g, struct node *x, int64_t out, struct conv conv, const char *name)
{
    const int64_t in = shape_dim(x->shape, -1);
    return graph_conv2d_transpose(g, x, graph_param(g, name, PARAM_CONV_TRANSPOSE, SHAPE(in, 4, 4, out)), NULL, conv);
}

static struct node *generator(struct graph *g, struct node *z, struct batch_statistics *statistics)
{
    const struct conv twice = {.stride = 2, .pad = PAD(1)};
    struct node *h = up(g, z, 16, (struct conv){.stride = 1}, "generator.0.weight");
    h = graph_unary(g, nn_batch_norm_training(g, h, 1e-5f, statistics, "generator.1"), UNARY_RELU);
    h = up(g, h, 8, twice, "generator.3.weight");
    h = graph_unary(g, nn_batch_norm_training(g, h, 1e-5f, NULL, "generator.4"), UNARY_RELU);
    return graph_unary(g, up(g, h, 3, twice, "generator.6.weight"), UNARY_TANH);
}

static struct node *down(struct graph *g, struct node *x, int64_t out, struct conv conv, const char *name)
{
    const int64_t in = shape_dim(x->shape, -1);
    return graph_conv2d(g, x, graph_param(g, name, PARAM_CONV, SHAPE(out, 4, 4, in)), NULL, conv);
}

static struct node *discriminator(struct graph *g, struct node *x)
{
    const struct conv half = {.stride = 2, .pad = PAD(1)};
    struct node *h = graph_leaky_relu(g, down(g, x, 8, half, "discriminator.0.weight"), 0.2f);
    h = nn_batch_norm_training(g, down(g, h, 16, half, "discriminator.2.weight"), 1e-5f, NULL, "discriminator.3");
    return down(g, graph_leaky_relu(g, h, 0.2f), 1, (struct conv){.stride = 1}, "discriminator.5.weight");
}

struct dcgan {
    struct graph d_graph, g_graph;
    struct trainer *d, *g;
    struct exec *d_exec, *g_exec;
};

static void dcgan_open(struct dcgan *net, struct backend *backend)
{
    *net = (struct dcgan){0};
    struct error err = {0};
    const struct shape noise = SHAPE(4, 1, 1, 8);
    struct node *made = generator(&net->d_graph, graph_input(&net->d_graph, "z", DTYPE_F32, noise), NULL);
    struct node *real = graph_input(&net->d_graph, "real", DTYPE_F32, made->shape);
    struct node *loss = nn_binary_cross_entropy(&net->d_graph, discriminator(&net->d_graph, real), 1);
    loss =
        graph_add(&net->d_graph, loss, nn_binary_cross_entropy(&net->d_graph, discriminator(&net->d_graph, made), 0));
    struct trainer_options options = {.prefix = "discriminator.", .rule = {OPTIMISER_ADAM, 0.5f, 0.999f, .eps = 1e-8f}};
    options.threads = 1;
    must(trainer_create(&net->d, backend, &net->d_graph, &options, &err), &err);
    options.prefix = "generator.";
    must(trainer_create(&net->g, backend, &net->d_graph, &options, &err), &err);
    trainer_differentiate(net->d, &net->d_graph, loss, 1);
    graph_output(&net->d_graph, "loss", loss);

    struct batch_statistics statistics;
    made = generator(&net->g_graph, graph_input(&net->g_graph, "z", DTYPE_F32, noise), &statistics);
    loss = nn_binary_cross_entropy(&net->g_graph, discriminator(&net->g_graph, made), 1);
    trainer_differentiate(net->g, &net->g_graph, loss, 1);
    graph_output(&net->g_graph, "loss", loss);
    graph_output(&net->g_graph, "mean", statistics.mean);
    graph_output(&net->g_graph, "variance", statistics.variance);
    struct trainer *const trainers[] = {net->d, net->g};
    start(trainers, 2, &net->d_graph, backend);
    trainer_bind(net->d, &net->g_graph);
    trainer_bind(net->g, &net->g_graph);
    net->d_exec = make_exec(&net->d_graph, backend);
    net->g_exec = make_exec(&net->g_graph, backend);
}

static void dcgan_close(struct dcgan *net)
{
    exec_destroy(net->d_exec);
    exec_destroy(net->g_exec);
    graph_clear(&net->d_graph);
    graph_clear(&net->g_graph);
    trainer_destroy(net->d);
    trainer_destroy(net->g);
}

/* After the first step: all parameters, one gradient, and where the running statistics of a norm, which have seen the
 * batch twice, have moved. */
static void check_first_step(struct dcgan *net, const struct checkpoint *golden)
{
    static const char *const gradients[] = {"generator.0.weight", "generator.1.weight"};
    struct trainer *const trainers[] = {net->d, net->g};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < trainers[k]->count; i++)
            check_parameter(trainers[k], golden, "first", trainers[k]->parameters[i].weight.name, 1e-4);
    for (int i = 0; i < 2; i++) {
        char output[96], key[96];
        snprintf(output, sizeof output, "gradient of rows 0.. of %s", gradients[i]);
        snprintf(key, sizeof key, "d %s", gradients[i]);
        read_near(net->g_exec, golden, output, key, 1e-4);
    }
    float mean_of[16], variance_of[16];
    struct error err = {0};
    must(exec_read(net->g_exec, "mean", mean_of, &err), &err);
    must(exec_read(net->g_exec, "variance", variance_of, &err), &err);
    for (int i = 0; i < 16; i++) {
        mean_of[i] *= 0.19f;
        variance_of[i] = 0.81f + 0.19f * variance_of[i];
    }
    float *want = golden_values(golden, "first mean");
    golden_near(mean_of, want, 16, 1e-5, "running mean");
    memory_free(want);
    want = golden_values(golden, "first variance");
    golden_near(variance_of, want, 16, 1e-5, "running variance");
    memory_free(want);
}

static void test_dcgan(void **state)
{
    const struct fixture *f = *state;
    struct checkpoint *golden = golden_open("gradients/dcgan.safetensors");
    for (int b = 0; b < 2; b++) {
        struct dcgan net;
        struct error err = {0};
        float d_losses[STEPS], g_losses[STEPS];
        dcgan_open(&net, f->backends[b]);
        for (int step = 0; step < STEPS; step++) {
            char rule[32];
            snprintf(rule, sizeof rule, "real.%d", step);
            write_ruled(net.d_exec, &net.d_graph, "real", rule);
            snprintf(rule, sizeof rule, "z.%d", step);
            write_ruled(net.d_exec, &net.d_graph, "z", rule);
            write_ruled(net.g_exec, &net.g_graph, "z", rule);
            must(exec_run(net.d_exec, &err), &err);
            must(exec_read(net.d_exec, "loss", &d_losses[step], &err), &err);
            must(trainer_collect(net.d, net.d_exec, 1, &err), &err);
            must(trainer_step(net.d, 2e-3f, NULL, &err), &err);
            must(exec_run(net.g_exec, &err), &err);
            must(exec_read(net.g_exec, "loss", &g_losses[step], &err), &err);
            must(trainer_collect(net.g, net.g_exec, 1, &err), &err);
            must(trainer_step(net.g, 2e-3f, NULL, &err), &err);
            if (step == 0) check_first_step(&net, golden);
        }
        float *want = golden_values(golden, "d losses");
        for (int i = 0; i < STEPS; i++) golden_near(&d_losses[i], &want[i], 1, 1e-3, "discriminator, step %d", i);
        memory_free(want);
        want = golden_values(golden, "g losses");
        for (int i = 0; i < STEPS; i++) golden_near(&g_losses[i], &want[i], 1, 1e-3, "generator, step %d", i);
        memory_free(want);
        check_parameter(net.g, golden, "after", "generator.6.weight", 1e-3);
        check_parameter(net.d, golden, "after", "discriminator.0.weight", 1e-3);
        dcgan_close(&net);
    }
    checkpoint_close(golden);
}

/* ---- gradient penalty ---- */

static void test_penalty(void **state)
{
    const struct fixture *f = *state;
    struct checkpoint *golden = golden_open("gradients/penalty.safetensors");
    for (int b = 0; b < 2; b++) {
        struct graph g = {0};
        struct error err = {0};
        struct node *x = graph_input(&g, "x", DTYPE_F32, SHAPE(3, 8, 8, 3));
        struct node *h = nn_conv2d(&g, x, 6, 4, (struct conv){.stride = 2, .pad = PAD(1)}, "conv1");
        h = nn_conv2d(&g, graph_leaky_relu(&g, h, 0.2f), 8, 3, (struct conv){.stride = 1, .pad = PAD(1)}, "conv2");
        h = nn_group_norm(&g, h, (struct norm){.groups = 2, .eps = 1e-5f, .act = UNARY_SILU}, "norm");
        h = graph_reshape(&g, graph_reduce(&g, REDUCE_MEAN, h, 1u << 1 | 1u << 2), SHAPE(3, 8));
        struct node *penalty = nn_gradient_penalty(&g, nn_linear(&g, h, 1, "out"), x);
        struct trainer *t = NULL;
        must(trainer_create(&t, f->backends[b], &g, &(struct trainer_options){.rule = adamw, .threads = 1}, &err),
             &err);
        trainer_differentiate(t, &g, penalty, 1);
        graph_output(&g, "penalty", penalty);
        start(&t, 1, &g, f->backends[b]);
        struct exec *exec = make_exec(&g, f->backends[b]);
        write_ruled(exec, &g, "x", "pictures");
        must(exec_run(exec, &err), &err);
        read_near(exec, golden, "penalty", "penalty", 1e-5);
        for (int i = 0; i < t->count; i++) {
            char key[64];
            snprintf(key, sizeof key, "d %s", t->parameters[i].weight.name);
            read_near(exec, golden, t->parameters[i].gradient, key, 5e-5);
        }
        exec_destroy(exec);
        graph_clear(&g);
        trainer_destroy(t);
    }
    checkpoint_close(golden);
}

static int set_up(void **state)
{
    static struct fixture fixture;
    struct error err = {0};
    const struct backend_options options[] = {{.threads = 1, .reference_only = true}, {.threads = 2}};
    for (int i = 0; i < 2; i++)
        if (backend_open(&fixture.backends[i], "cpu", &options[i], &err) != STATUS_OK) return -1;
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    const struct fixture *f = *state;
    for (int i = 0; i < 2; i++) f->backends[i]->f->close(f->backends[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ops),
        cmocka_unit_test(test_denoiser),
        cmocka_unit_test(test_pieces_save_memory),
        cmocka_unit_test(test_denoiser_training),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_dcgan),
        cmocka_unit_test(test_penalty),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
