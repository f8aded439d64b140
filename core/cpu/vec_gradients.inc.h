/* SPDX-License-Identifier: MIT
 *
 * What gradients are made of, in vectors: slopes of activations, the gradient of norms, sums over dimensions.
 * Included after vec_elements.inc.h and vec_norms.inc.h, whose cuts and sums it shares.
 */

/* The slope of an activation. `kind` should be a constant where this is called. */
static inline vec vec_slope(vec a, enum unary kind, float alpha)
{
    const vec zero = vec_set(0.0f), one = vec_set(1.0f);
    const vec s = vec_sigmoid(kind == UNARY_QUICK_GELU ? vec_mul(a, vec_set(1.702f)) : a), bell = vec_sub(one, s);
    switch (kind) {
    case UNARY_NONE: return one;
    case UNARY_SILU: return vec_mul(s, vec_fma(a, bell, one));
    case UNARY_GELU: {
        const vec density = vec_exp(vec_mul(vec_mul(a, a), vec_set(-0.5f)));
        return vec_fma(vec_mul(a, vec_set(0.398942280f)), density, vec_normal(a));
    }
    case UNARY_GELU_TANH: {
        /* With q = sigmoid(2u): q + 2 a q (1 - q) u'. */
        const vec square = vec_mul(a, a), rest = vec_fma(square, vec_set(0.134145f), one);
        const vec u = vec_mul(a, vec_fma(square, vec_set(0.0713548163f), vec_set(1.59576912f)));
        const vec q = vec_sigmoid(u), curve = vec_mul(vec_mul(q, vec_sub(one, q)), vec_set(1.59576912f));
        return vec_fma(vec_mul(a, curve), rest, q);
    }
    case UNARY_QUICK_GELU: return vec_mul(s, vec_fma(vec_mul(a, vec_set(1.702f)), bell, one));
    case UNARY_RELU: return vec_select(vec_less(zero, a), one, zero);
    case UNARY_LEAKY_RELU: return vec_select(vec_less(zero, a), one, vec_set(alpha));
    case UNARY_TANH: {
        const vec t = vec_tanh(a);
        return vec_sub(one, vec_mul(t, t));
    }
    case UNARY_SIGMOID: return vec_mul(s, bell);
    case UNARY_EXP: return vec_exp(a);
    case UNARY_LOG: return vec_div(one, a);
    case UNARY_SQRT: return vec_div(vec_set(0.5f), vec_sqrt(a));
    case UNARY_SOFTPLUS: return s;
    case UNARY_STEP:
    case UNARY_COUNT: break;
    }
    return zero;
}

__attribute__((always_inline)) static inline void unary_gradient_as(const struct cpu_call *call, int64_t from,
                                                                    int64_t end, enum unary kind)
{
    const float *x = call->in[0], *dy = call->in[1];
    float *dx = call->out;
    for (int64_t i = from; i < end; i += VEC_LANES) {
        const int there = lanes_to(i, end);
        const vec slope = vec_slope(vec_load_part(x + i, there), kind, call->node->as.unary.alpha);
        vec_store_part(dx + i, vec_mul(vec_load_part(dy + i, there), slope), there);
    }
}

static void unary_gradient_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const int64_t from = task * ELEMENTS_OF_TASK, end = element_end(task, shape_count(call->node->shape));
    switch (call->node->as.unary.kind) {
#define X(name, text)                                                                                                  \
    case UNARY_##name: unary_gradient_as(call, from, end, UNARY_##name); break;
        UNARY_MAP(X)
#undef X
    case UNARY_COUNT: break;
    }
}

static void unary_gradient(const struct cpu_call *call)
{
    pool_run(call->pool, unary_gradient_task, (void *)call, element_tasks(shape_count(call->node->shape)));
}

/* ---- norms ---- */

/* dx = (dy - mean(dy) - u mean(dy u)) / s with u = (x - mean) / s: group norm's two walks for mean and s, a third that
 * sums dy and dy u by blocks, and a fourth that writes.
 *
 *     work   group norm's, whose moments then hold the third walk's sums   means [image]{dy, dy u}[C]
 */
struct norm_gradient_run {
    struct group_norm_run norm;
    const float *dy;
    float *means;
};

/* Layer norm's: a picture of one pixel and one group, a row that needs no scratch. */
static bool is_row_norm(const struct node *node)
{
    return node->as.norm.groups == 1 && shape_rows(node->shape) == node->shape.dim[0];
}

static size_t norm_gradient_scratch(const struct node *node, int threads)
{
    if (is_row_norm(node)) return 0;
    return group_norm_scratch(node, threads) +
           (size_t)(2 * node->shape.dim[0] * shape_dim(node->shape, -1)) * sizeof(float);
}

static void norm_sums_task(void *context, int64_t task, int worker)
{
    const struct norm_gradient_run *run = context;
    const struct group_norm_run *g = &run->norm;
    const int64_t image = task / g->blocks, block = task % g->blocks, width = g->C / g->groups;
    const int64_t at = (image * g->pixels + block * g->block_pixels) * g->C, pixels = pixels_of(g, block);
    const struct norm_channels n = channels_of(g, image);
    float *sum = g->own + worker * 3 * g->C, *along = sum + g->C;
    for (int64_t c = 0; c < g->C; c += VEC_LANES) {
        const int there = lanes_to(c, g->C);
        const vec mean = vec_load_part(n.mean + c, there), factor = vec_load_part(n.factor + c, there);
        const vec offset = vec_load_part(n.offset + c, there);
        vec s = vec_set(0.0f), p = s;
        const float *x = (const float *)g->call->in[0] + at + c, *dy = run->dy + at + c;
        for (int64_t r = 0; r < pixels; r++, x += g->C, dy += g->C) {
            const vec d = vec_load_part(dy, there);
            s = vec_add(s, d);
            p = vec_fma(d, vec_fma(vec_sub(vec_load_part(x, there), mean), factor, offset), p);
        }
        vec_store_part(sum + c, s, there);
        vec_store_part(along + c, p, there);
    }
    for (int64_t i = 0; i < g->groups; i++) {
        struct moments *sums = &g->moments[task * g->groups + i];
        *sums = (struct moments){0};
        for (int64_t c = i * width; c < (i + 1) * width; c++) {
            sums->mean += (double)sum[c];
            sums->squares += (double)along[c];
        }
    }
}

static void join_norm_sums(const struct norm_gradient_run *run, int64_t image)
{
    const struct group_norm_run *g = &run->norm;
    const struct moments *sums = g->moments + image * g->blocks * g->groups;
    const int64_t width = g->C / g->groups;
    const double count = (double)(g->pixels * width);
    float *means = run->means + image * 2 * g->C;
    for (int64_t i = 0; i < g->groups; i++) {
        double sum = 0, along = 0;
        for (int64_t b = 0; b < g->blocks; b++) {
            sum += sums[b * g->groups + i].mean;
            along += sums[b * g->groups + i].squares;
        }
        for (int64_t c = i * width; c < (i + 1) * width; c++) {
            means[c] = (float)(sum / count);
            means[g->C + c] = (float)(along / count);
        }
    }
}

static void norm_gradient_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct norm_gradient_run *run = context;
    const struct group_norm_run *g = &run->norm;
    const int64_t image = task / g->blocks, block = task % g->blocks;
    const int64_t at = (image * g->pixels + block * g->block_pixels) * g->C;
    const struct norm_channels n = channels_of(g, image);
    const float *x = (const float *)g->call->in[0] + at, *dy = run->dy + at;
    const float *mean_dy = run->means + image * 2 * g->C, *mean_along = mean_dy + g->C;
    float *dx = (float *)g->call->out + at;
    for (int64_t r = 0; r < pixels_of(g, block); r++, x += g->C, dy += g->C, dx += g->C)
        for (int64_t c = 0; c < g->C; c += VEC_LANES) {
            const int there = lanes_to(c, g->C);
            const vec factor = vec_load_part(n.factor + c, there);
            const vec apart = vec_sub(vec_load_part(x + c, there), vec_load_part(n.mean + c, there));
            const vec u = vec_fma(apart, factor, vec_load_part(n.offset + c, there));
            const vec centred = vec_sub(vec_load_part(dy + c, there), vec_load_part(mean_dy + c, there));
            const vec rest = vec_sub(centred, vec_mul(u, vec_load_part(mean_along + c, there)));
            vec_store_part(dx + c, vec_mul(rest, factor), there);
        }
}

static void norm_gradient_row(float *dx, const float *x, const float *dy, int64_t C, double eps)
{
    const double count = (double)C;
    double sum, square;
    sum_row(x, C, 0, &sum, &square);
    const float mean = (float)(sum / count);
    sum_row(x, C, (double)mean, &sum, &square);
    const double off = sum / count, inverse = 1 / sqrt(square / count - off * off + eps);
    const vec m = vec_set(mean), factor = vec_set((float)inverse), rest = vec_set((float)(-off * inverse));
    vec total = vec_set(0.0f), along = total;
    for (int64_t c = 0; c < C; c += VEC_LANES) {
        const int there = lanes_to(c, C);
        const vec d = vec_load_part(dy + c, there);
        total = vec_add(total, d);
        along = vec_fma(d, vec_fma(vec_sub(vec_load_part(x + c, there), m), factor, rest), along);
    }
    const vec mean_dy = vec_set((float)((double)vec_sum(total) / count));
    const vec mean_along = vec_set((float)((double)vec_sum(along) / count));
    for (int64_t c = 0; c < C; c += VEC_LANES) {
        const int there = lanes_to(c, C);
        const vec u = vec_fma(vec_sub(vec_load_part(x + c, there), m), factor, rest);
        const vec centred = vec_sub(vec_load_part(dy + c, there), mean_dy);
        vec_store_part(dx + c, vec_mul(vec_sub(centred, vec_mul(u, mean_along)), factor), there);
    }
}

static void norm_gradient_rows_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const int64_t C = shape_dim(call->node->shape, -1), rows = shape_rows(call->node->shape);
    const int64_t block = layer_norm_rows(call->node), first = task * block;
    for (int64_t r = first; r < first + block && r < rows; r++)
        norm_gradient_row((float *)call->out + r * C, (const float *)call->in[0] + r * C,
                          (const float *)call->in[1] + r * C, C, (double)call->node->as.norm.eps);
}

static void norm_gradient(const struct cpu_call *call)
{
    if (is_row_norm(call->node)) {
        const int64_t block = layer_norm_rows(call->node), rows = shape_rows(call->node->shape);
        pool_run(call->pool, norm_gradient_rows_task, (void *)call, (rows + block - 1) / block);
        return;
    }
    struct cpu_call plain = *call; /* a norm without weight and bias */
    plain.in[1] = NULL;
    struct norm_gradient_run run = {.norm = describe_group_norm(call->node), .dy = call->in[1]};
    struct group_norm_run *g = &run.norm;
    g->call = &plain;
    g->moments = call->work;
    g->channels = (float *)(g->moments + g->images * g->blocks * g->groups);
    run.means = g->channels + 3 * g->C * g->images;
    g->own = run.means + 2 * g->C * g->images;
    pool_run(call->pool, moments_task, g, g->images * g->blocks);
    for (int64_t i = 0; i < g->images; i++) join_moments(g, i);
    pool_run(call->pool, norm_sums_task, &run, g->images * g->blocks);
    for (int64_t i = 0; i < g->images; i++) join_norm_sums(&run, i);
    pool_run(call->pool, norm_gradient_task, &run, g->images * g->blocks);
}

/* ---- sums ---- */

/* [outer, R, inner] -> [outer, 1, inner], if the reduced dimensions lie together; R is cut into runs. */
struct sum_run {
    const struct cpu_call *call;
    int64_t outer, R, inner, rows, runs; /* rows of a run */
    float *partial;                      /* [outer][run][inner] */
};

enum { SUM_RUN_FLOATS = 16 * 1024, SUM_MOST_ROWS = 256 };

static struct sum_run describe_sum(const struct node *node)
{
    const struct shape shape = node->input[0]->shape;
    struct sum_run s = {.outer = 1, .R = 1, .inner = 1};
    for (int i = 0; i < shape.rank; i++) {
        if (shape.dim[i] == 1) continue;
        const bool reduced = node->as.reduce.axes >> i & 1u;
        if (!reduced && s.R == 1)
            s.outer *= shape.dim[i];
        else if (!reduced)
            s.inner *= shape.dim[i];
        else if (s.inner == 1)
            s.R *= shape.dim[i];
        else
            return (struct sum_run){0}; /* in two places */
    }
    /* Long rows are summed by vectors, so a run of them may be longer. */
    const int64_t most = s.inner == 1 ? SUM_RUN_FLOATS : SUM_MOST_ROWS;
    s.rows = SUM_RUN_FLOATS / s.inner;
    if (s.rows < 16) s.rows = 16;
    if (s.rows > most) s.rows = most;
    s.runs = (s.R + s.rows - 1) / s.rows;
    return s;
}

static size_t reduce_scratch(const struct node *node, int threads)
{
    (void)threads;
    const struct sum_run s = describe_sum(node);
    return (size_t)(s.outer * s.runs * s.inner) * sizeof(float);
}

/* In four chains, so that one addition need not wait for the other. */
static float sum_of(const float *x, int64_t n)
{
    vec chain[4] = {vec_set(0.0f), vec_set(0.0f), vec_set(0.0f), vec_set(0.0f)};
    int64_t i = 0;
    for (; i + 4 * VEC_LANES <= n; i += 4 * VEC_LANES)
        for (int j = 0; j < 4; j++) chain[j] = vec_add(chain[j], vec_load(x + i + j * VEC_LANES));
    for (; i < n; i += VEC_LANES) chain[0] = vec_add(chain[0], vec_load_part(x + i, lanes_to(i, n)));
    return vec_sum(vec_add(vec_add(chain[0], chain[1]), vec_add(chain[2], chain[3])));
}

/* Run number `task`, that is outer place by outer place. */
static void sum_one_run(const struct sum_run *s, int64_t task)
{
    const int64_t first = task % s->runs * s->rows, left = s->R - first, rows = left < s->rows ? left : s->rows;
    const float *x = (const float *)s->call->in[0] + (task / s->runs * s->R + first) * s->inner;
    float *to = s->partial + task * s->inner;
    if (s->inner == 1) {
        *to = sum_of(x, rows);
        return;
    }
    for (int64_t c = 0; c < s->inner; c += NORM_UNROLL * VEC_LANES) {
        vec sum[NORM_UNROLL];
        int there[NORM_UNROLL];
        for (int j = 0; j < NORM_UNROLL; j++) {
            const int64_t from = c + j * VEC_LANES;
            there[j] = from < s->inner ? lanes_to(from, s->inner) : 0;
            sum[j] = vec_set(0.0f);
        }
        for (int64_t r = 0; r < rows; r++)
            for (int j = 0; j < NORM_UNROLL; j++)
                if (there[j]) sum[j] = vec_add(sum[j], vec_load_part(x + r * s->inner + c + j * VEC_LANES, there[j]));
        for (int j = 0; j < NORM_UNROLL; j++)
            if (there[j]) vec_store_part(to + c + j * VEC_LANES, sum[j], there[j]);
    }
}

/* A task is as many runs as make enough work. */
static int64_t runs_of_task(const struct sum_run *s)
{
    const int64_t floats = (s->R < s->rows ? s->R : s->rows) * s->inner;
    return floats >= SUM_RUN_FLOATS ? 1 : SUM_RUN_FLOATS / floats;
}

static void sum_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct sum_run *s = context;
    const int64_t each = runs_of_task(s);
    for (int64_t i = task * each; i < (task + 1) * each && i < s->outer * s->runs; i++) sum_one_run(s, i);
}

static void join_sums_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct sum_run *s = context;
    const double share = s->call->node->as.reduce.kind == REDUCE_MEAN ? 1 / (double)s->R : 1;
    const int64_t end = element_end(task, s->outer * s->inner);
    for (int64_t at = task * ELEMENTS_OF_TASK; at < end; at++) {
        const float *from = s->partial + at / s->inner * s->runs * s->inner + at % s->inner;
        double sum = 0;
        for (int64_t run = 0; run < s->runs; run++) sum += (double)from[run * s->inner];
        ((float *)s->call->out)[at] = (float)(sum * share);
    }
}

static void reduce(const struct cpu_call *call)
{
    struct sum_run s = describe_sum(call->node);
    if (s.outer == 0 || call->node->as.reduce.kind == REDUCE_MAX) {
        reference_reduce(call);
        return;
    }
    s.call = call;
    s.partial = call->work;
    const int64_t each = runs_of_task(&s);
    pool_run(call->pool, sum_task, &s, (s.outer * s.runs + each - 1) / each);
    pool_run(call->pool, join_sums_task, &s, element_tasks(s.outer * s.inner));
}
