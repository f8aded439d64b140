/* SPDX-License-Identifier: MIT
 *
 * Group and layer norm in vectors: y = act((x - mean) / sqrt(variance + eps) * weight + bias).
 *
 * Sums are taken in f32 over short runs and joined in double. The variance is the mean of squares of x - mean, never a
 * difference of two large sums; as the first mean is rounded, the mean of x - mean corrects both (Chan, Golub and
 * LeVeque 1983).
 */

enum { NORM_BLOCK_FLOATS = 16 * 1024, NORM_MOST_PIXELS = 256, NORM_UNROLL = 4 };

/* What becomes of channel c: (x - mean[c]) * factor[c] + offset[c]. The offset takes in what rounding took off the
 * mean, which matters where the mean is much larger than the deviation. */
struct norm_channels {
    float *mean, *factor, *offset;
};

static void set_channel(const struct norm_channels *to, int64_t c, double mean, double variance, double eps,
                        const float *weight, const float *bias)
{
    const double factor = (weight ? (double)weight[c] : 1) / sqrt(variance + eps);
    to->mean[c] = (float)mean;
    to->factor[c] = (float)factor;
    to->offset[c] = (float)((bias ? (double)bias[c] : 0) - (mean - (double)to->mean[c]) * factor);
}

__attribute__((always_inline)) static inline void normalise_as(float *y, const float *x, const struct norm_channels *n,
                                                               int64_t rows, int64_t C, enum unary act)
{
    for (int64_t r = 0; r < rows; r++, x += C, y += C)
        for (int64_t c = 0; c < C; c += VEC_LANES) {
            const int there = (int)(C - c < VEC_LANES ? C - c : VEC_LANES);
            const vec apart = vec_sub(vec_load_part(x + c, there), vec_load_part(n->mean + c, there));
            const vec unit = vec_fma(apart, vec_load_part(n->factor + c, there), vec_load_part(n->offset + c, there));
            vec_store_part(y + c, vec_unary(unit, act, 0), there);
        }
}

static void normalise(float *y, const float *x, const struct norm_channels *n, int64_t rows, int64_t C, enum unary act)
{
    if (act == UNARY_SILU)
        normalise_as(y, x, n, rows, C, UNARY_SILU);
    else
        normalise_as(y, x, n, rows, C, UNARY_NONE);
}

/* sum[c] and square[c] = sums over rows of x - mean[c] and of its square, for all channels c; a few vectors of channels
 * at a time, so that their sums stay in registers. */
static void sum_rows(float *sum, float *square, const float *x, const float *mean, int64_t rows, int64_t C)
{
    for (int64_t c = 0; c < C; c += NORM_UNROLL * VEC_LANES) {
        vec s[NORM_UNROLL], q[NORM_UNROLL], m[NORM_UNROLL];
        int there[NORM_UNROLL];
        for (int j = 0; j < NORM_UNROLL; j++) {
            const int64_t left = C - c - j * VEC_LANES;
            there[j] = (int)(left < 0 ? 0 : left < VEC_LANES ? left : VEC_LANES);
            m[j] = there[j] ? vec_load_part(mean + c + j * VEC_LANES, there[j]) : vec_set(0.0f);
            s[j] = q[j] = vec_set(0.0f);
        }
        for (int64_t r = 0; r < rows; r++)
            for (int j = 0; j < NORM_UNROLL; j++) {
                if (!there[j]) continue;
                const vec apart = vec_sub(vec_load_part(x + r * C + c + j * VEC_LANES, there[j]), m[j]);
                s[j] = vec_add(s[j], apart);
                q[j] = vec_fma(apart, apart, q[j]);
            }
        for (int j = 0; j < NORM_UNROLL; j++) {
            if (!there[j]) continue;
            vec_store_part(sum + c + j * VEC_LANES, s[j], there[j]);
            vec_store_part(square + c + j * VEC_LANES, q[j], there[j]);
        }
    }
}

/* Group norm: statistics of blocks of pixels, joined for each picture, and a second walk over the blocks that writes.
 *
 *     work   moments [image][block][group]   channels [image]{mean, factor, offset}[C]   own [worker]{3}[C]
 */
struct moments {
    double mean, squares; /* of one group in one block; sum of squares of x - mean */
};

struct group_norm_run {
    const struct cpu_call *call;
    int64_t images, pixels, C, groups, block_pixels, blocks;
    struct moments *moments;
    float *channels, *own;
};

static struct group_norm_run describe_group_norm(const struct node *node)
{
    struct group_norm_run g = {.images = node->shape.dim[0], .C = shape_dim(node->shape, -1)};
    g.pixels = shape_rows(node->shape) / g.images;
    g.groups = node->as.norm.groups;
    g.block_pixels = NORM_BLOCK_FLOATS / g.C;
    if (g.block_pixels > NORM_MOST_PIXELS) g.block_pixels = NORM_MOST_PIXELS;
    if (g.block_pixels < 1) g.block_pixels = 1;
    g.blocks = (g.pixels + g.block_pixels - 1) / g.block_pixels;
    return g;
}

static size_t group_norm_scratch(const struct node *node, int threads)
{
    const struct group_norm_run g = describe_group_norm(node);
    return (size_t)(g.images * g.blocks * g.groups) * sizeof(struct moments) +
           (size_t)(3 * g.C * (g.images + threads)) * sizeof(float);
}

static struct norm_channels channels_of(const struct group_norm_run *g, int64_t image)
{
    float *mean = g->channels + image * 3 * g->C;
    return (struct norm_channels){mean, mean + g->C, mean + 2 * g->C};
}

static int64_t pixels_of(const struct group_norm_run *g, int64_t block)
{
    const int64_t left = g->pixels - block * g->block_pixels;
    return left < g->block_pixels ? left : g->block_pixels;
}

static void moments_task(void *context, int64_t task, int worker)
{
    const struct group_norm_run *g = context;
    const int64_t image = task / g->blocks, block = task % g->blocks, width = g->C / g->groups;
    const int64_t pixels = pixels_of(g, block);
    const float *x = (const float *)g->call->in[0] + (image * g->pixels + block * g->block_pixels) * g->C;
    float *mean = g->own + worker * 3 * g->C, *sum = mean + g->C, *square = sum + g->C;
    struct moments *moments = g->moments + task * g->groups;
    const double count = (double)(pixels * width);
    for (int64_t c = 0; c < g->C; c++) mean[c] = 0;
    sum_rows(sum, square, x, mean, pixels, g->C);
    for (int64_t i = 0; i < g->groups; i++) {
        double total = 0;
        for (int64_t c = i * width; c < (i + 1) * width; c++) total += (double)sum[c];
        for (int64_t c = i * width; c < (i + 1) * width; c++) mean[c] = (float)(total / count);
    }
    sum_rows(sum, square, x, mean, pixels, g->C);
    for (int64_t i = 0; i < g->groups; i++) {
        double off = 0, squares = 0;
        for (int64_t c = i * width; c < (i + 1) * width; c++) {
            off += (double)sum[c];
            squares += (double)square[c];
        }
        moments[i] = (struct moments){(double)mean[i * width] + off / count, squares - off * off / count};
    }
}

static void join_moments(const struct group_norm_run *g, int64_t image)
{
    const struct norm_channels channels = channels_of(g, image);
    const struct moments *moments = g->moments + image * g->blocks * g->groups;
    const int64_t width = g->C / g->groups;
    const double count = (double)(g->pixels * width);
    for (int64_t i = 0; i < g->groups; i++) {
        double mean = 0, squares = 0;
        for (int64_t b = 0; b < g->blocks; b++)
            mean += moments[b * g->groups + i].mean * (double)(pixels_of(g, b) * width) / count;
        for (int64_t b = 0; b < g->blocks; b++) {
            const double apart = moments[b * g->groups + i].mean - mean;
            squares += moments[b * g->groups + i].squares + apart * apart * (double)(pixels_of(g, b) * width);
        }
        for (int64_t c = i * width; c < (i + 1) * width; c++)
            set_channel(&channels, c, mean, squares / count, (double)g->call->node->as.norm.eps, g->call->in[1],
                        g->call->in[2]);
    }
}

static void group_norm_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct group_norm_run *g = context;
    const int64_t image = task / g->blocks, block = task % g->blocks;
    const int64_t at = (image * g->pixels + block * g->block_pixels) * g->C;
    const struct norm_channels channels = channels_of(g, image);
    normalise((float *)g->call->out + at, (const float *)g->call->in[0] + at, &channels, pixels_of(g, block), g->C,
              g->call->node->as.norm.act);
}

static void group_norm(const struct cpu_call *call)
{
    struct group_norm_run g = describe_group_norm(call->node);
    g.call = call;
    g.moments = call->work;
    g.channels = (float *)(g.moments + g.images * g.blocks * g.groups);
    g.own = g.channels + 3 * g.C * g.images;
    pool_run(call->pool, moments_task, &g, g.images * g.blocks);
    for (int64_t i = 0; i < g.images; i++) join_moments(&g, i);
    pool_run(call->pool, group_norm_task, &g, g.images * g.blocks);
}

/* Layer norm: each row for itself. A task is a block of rows. Sums run in sixteen lanes at any width, so that the bytes
 * do not depend on the processor. */
enum { SUM_VECS = 16 / VEC_LANES };

static float add_up(const vec sum[SUM_VECS])
{
    vec total = sum[0];
    for (int j = 1; j < SUM_VECS; j++) total = vec_add(total, sum[j]);
    return vec_sum(total);
}

static void sum_row(const float *x, int64_t n, double mean, double *sum, double *square)
{
    vec total[SUM_VECS], squares[SUM_VECS];
    const vec m = vec_set((float)mean);
    for (int j = 0; j < SUM_VECS; j++) total[j] = squares[j] = vec_set(0.0f);
    for (int64_t i = 0; i < n; i += SUM_VECS * VEC_LANES)
        for (int j = 0; j < SUM_VECS; j++) {
            const int64_t left = n - i - j * VEC_LANES;
            const int there = (int)(left < 0 ? 0 : left < VEC_LANES ? left : VEC_LANES);
            if (!there) break;
            vec apart = vec_sub(vec_load_part(x + i + j * VEC_LANES, there), m);
            if (there < VEC_LANES)
                apart = vec_select(vec_less(vec_count(), vec_set((float)there)), apart, vec_set(0.0f));
            total[j] = vec_add(total[j], apart);
            squares[j] = vec_fma(apart, apart, squares[j]);
        }
    *sum = (double)add_up(total);
    *square = (double)add_up(squares);
}

static void layer_norm_row(float *y, const float *x, int64_t C, double eps, const float *weight, const float *bias)
{
    const double count = (double)C;
    double sum, square;
    sum_row(x, C, 0, &sum, &square);
    const float mean = (float)(sum / count);
    sum_row(x, C, (double)mean, &sum, &square);
    const double off = sum / count, inverse = 1 / sqrt(square / count - off * off + eps);
    const vec m = vec_set(mean), factor = vec_set((float)inverse), rest = vec_set((float)(-off * inverse));
    for (int64_t c = 0; c < C; c += VEC_LANES) {
        const int there = (int)(C - c < VEC_LANES ? C - c : VEC_LANES);
        vec unit = vec_fma(vec_sub(vec_load_part(x + c, there), m), factor, rest);
        if (weight) unit = vec_mul(unit, vec_load_part(weight + c, there));
        if (bias) unit = vec_add(unit, vec_load_part(bias + c, there));
        vec_store_part(y + c, unit, there);
    }
}

static int64_t layer_norm_rows(const struct node *node)
{
    const int64_t rows = NORM_BLOCK_FLOATS / shape_dim(node->shape, -1);
    return rows < 1 ? 1 : rows;
}

static void layer_norm_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const int64_t C = shape_dim(call->node->shape, -1), rows = shape_rows(call->node->shape);
    const int64_t block = layer_norm_rows(call->node), first = task * block;
    for (int64_t r = first; r < first + block && r < rows; r++)
        layer_norm_row((float *)call->out + r * C, (const float *)call->in[0] + r * C, C,
                       (double)call->node->as.norm.eps, call->in[1], call->in[2]);
}

static void layer_norm(const struct cpu_call *call)
{
    const int64_t block = layer_norm_rows(call->node);
    pool_run(call->pool, layer_norm_task, (void *)call, (shape_rows(call->node->shape) + block - 1) / block);
}
