/* SPDX-License-Identifier: MIT
 *
 * What works element by element, in vectors. A task is a run of elements or of rows, short enough for the first-level
 * cache and long enough to be worth handing out.
 */

enum { ELEMENTS_OF_TASK = 16 * 1024 };

static int64_t element_tasks(int64_t elements)
{
    return (elements + ELEMENTS_OF_TASK - 1) / ELEMENTS_OF_TASK;
}

static int64_t element_end(int64_t task, int64_t elements)
{
    return (task + 1) * ELEMENTS_OF_TASK < elements ? (task + 1) * ELEMENTS_OF_TASK : elements;
}

/* Lanes from element i on, of which the run ends at `end`. */
static int lanes_to(int64_t i, int64_t end)
{
    return (int)(end - i < VEC_LANES ? end - i : VEC_LANES);
}

__attribute__((always_inline)) static inline void unary_as(float *y, const float *x, int64_t from, int64_t end,
                                                           enum unary kind, float alpha)
{
    for (int64_t i = from; i < end; i += VEC_LANES) {
        const int there = lanes_to(i, end);
        vec_store_part(y + i, vec_unary(vec_load_part(x + i, there), kind, alpha), there);
    }
}

static void unary_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const int64_t from = task * ELEMENTS_OF_TASK, end = element_end(task, shape_count(call->node->shape));
    const float alpha = call->node->as.unary.alpha;
    switch (call->node->as.unary.kind) {
#define X(name, text)                                                                                                  \
    case UNARY_##name: unary_as(call->out, call->in[0], from, end, UNARY_##name, alpha); break;
        UNARY_MAP(X)
#undef X
    case UNARY_COUNT: break;
    }
}

static void unary(const struct cpu_call *call)
{
    pool_run(call->pool, unary_task, (void *)call, element_tasks(shape_count(call->node->shape)));
}

/* y = factor x + offset, rounded twice as the reference rounds it. */
static void scale_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const int64_t end = element_end(task, shape_count(call->node->shape));
    const vec factor = vec_set(call->node->as.scale.factor), offset = vec_set(call->node->as.scale.offset);
    const float *x = call->in[0];
    float *y = call->out;
    for (int64_t i = task * ELEMENTS_OF_TASK; i < end; i += VEC_LANES) {
        const int there = lanes_to(i, end);
        vec_store_part(y + i, vec_add(vec_mul(vec_load_part(x + i, there), factor), offset), there);
    }
}

static void scale(const struct cpu_call *call)
{
    pool_run(call->pool, scale_task, (void *)call, element_tasks(shape_count(call->node->shape)));
}

static inline vec combine(enum binary kind, vec a, vec b)
{
    switch (kind) {
    case BINARY_ADD: return vec_add(a, b);
    case BINARY_SUB: return vec_sub(a, b);
    case BINARY_MUL: return vec_mul(a, b);
    case BINARY_DIV: return vec_div(a, b);
    }
    return a;
}

/* n elements; an operand whose step is 0 is one number for all. */
__attribute__((always_inline)) static inline void binary_as(float *y, const float *a, int a_step, const float *b,
                                                            int b_step, int64_t n, enum binary kind)
{
    for (int64_t i = 0; i < n; i += VEC_LANES) {
        const int there = lanes_to(i, n);
        const vec left = a_step ? vec_load_part(a + i, there) : vec_set(*a);
        const vec right = b_step ? vec_load_part(b + i, there) : vec_set(*b);
        vec_store_part(y + i, combine(kind, left, right), there);
    }
}

static void binary_run(enum binary kind, float *y, const float *a, int a_step, const float *b, int b_step, int64_t n)
{
    switch (kind) {
    case BINARY_ADD: binary_as(y, a, a_step, b, b_step, n, BINARY_ADD); break;
    case BINARY_SUB: binary_as(y, a, a_step, b, b_step, n, BINARY_SUB); break;
    case BINARY_MUL: binary_as(y, a, a_step, b, b_step, n, BINARY_MUL); break;
    case BINARY_DIV: binary_as(y, a, a_step, b, b_step, n, BINARY_DIV); break;
    }
}

/* Operands of one shape: no rows to tell apart. */
static void binary_flat_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const int64_t from = task * ELEMENTS_OF_TASK, end = element_end(task, shape_count(call->node->shape));
    binary_run(call->node->as.binary, (float *)call->out + from, (const float *)call->in[0] + from, 1,
               (const float *)call->in[1] + from, 1, end - from);
}

static int64_t rows_of_task(const struct node *node)
{
    const int64_t rows = ELEMENTS_OF_TASK / shape_dim(node->shape, -1);
    return rows < 1 ? 1 : rows;
}

static void binary_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const struct shape a = node->input[0]->shape, b = node->input[1]->shape;
    const int64_t n = shape_dim(node->shape, -1), rows = shape_rows(node->shape), block = rows_of_task(node);
    for (int64_t r = task * block; r < (task + 1) * block && r < rows; r++)
        binary_run(node->as.binary, (float *)call->out + r * n, reference_broadcast(node->shape, a, call->in[0], r),
                   shape_dim(a, -1) != 1, reference_broadcast(node->shape, b, call->in[1], r), shape_dim(b, -1) != 1,
                   n);
}

static void binary(const struct cpu_call *call)
{
    const struct node *node = call->node;
    if (shape_equal(node->input[0]->shape, node->input[1]->shape)) {
        pool_run(call->pool, binary_flat_task, (void *)call, element_tasks(shape_count(node->shape)));
        return;
    }
    const int64_t block = rows_of_task(node);
    pool_run(call->pool, binary_task, (void *)call, (shape_rows(node->shape) + block - 1) / block);
}

/* y = x[0..D) * gelu(x[D..2D)) for each row. */
static void geglu_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const int64_t D = shape_dim(call->node->shape, -1), rows = shape_rows(call->node->shape);
    const int64_t block = rows_of_task(call->node);
    for (int64_t r = task * block; r < (task + 1) * block && r < rows; r++) {
        const float *x = (const float *)call->in[0] + r * 2 * D;
        float *y = (float *)call->out + r * D;
        for (int64_t i = 0; i < D; i += VEC_LANES) {
            const int there = lanes_to(i, D);
            const vec gate = vec_gelu(vec_load_part(x + D + i, there));
            vec_store_part(y + i, vec_mul(vec_load_part(x + i, there), gate), there);
        }
    }
}

static void geglu(const struct cpu_call *call)
{
    const int64_t block = rows_of_task(call->node);
    pool_run(call->pool, geglu_task, (void *)call, (shape_rows(call->node->shape) + block - 1) / block);
}
