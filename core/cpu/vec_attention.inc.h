/* SPDX-License-Identifier: MIT
 *
 * Attention in vectors, softmax(q k^T scale) v for each head, without the T x S matrix (Dao et al. 2022, arXiv
 * 2205.14135, with the running maximum of Milakov and Gimelshein 2018, arXiv 1805.02867).
 *
 * Everything is turned so that queries lie along the vector. Then the tile of vec_product.inc.h makes both products,
 * the softmax needs no sums across lanes, and its result is already packed as the second product wants to see it:
 *
 *     scores^T [keys, 32 queries] = K [keys, d]     Q^T [d, 32 queries]
 *     output^T [d, 32 queries]   += V^T [d, keys]   weights^T [keys, 32 queries]
 *
 * So head sizes need to be multiples of TILE_ROWS only, not of a vector: 40 of Stable Diffusion 1 wastes nothing.
 *
 * A task is a block of queries of one head of one picture. Its strips of 32 queries see one block of keys after the
 * other; a block is copied (K) and transposed (V) into the thread's scratch once and serves all strips of the task.
 */

/* Blocks, chosen so that K, V and the outputs of a block stay in a second-level cache of a megabyte. */
enum {
    ATTENTION_KEYS = 128,
    ATTENTION_KEY_ROWS = (ATTENTION_KEYS + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS, /* whole tiles */
    ATTENTION_QUERY_FLOATS = 40 * 1024,
    ATTENTION_MOST_STRIPS = 32,
};

struct attention_run {
    const struct cpu_call *call;
    int64_t T, S, width, d; /* queries, keys, floats in a token, floats in a head of it */
    int64_t padded_d;       /* rounded up to TILE_ROWS */
    int64_t strips;         /* of queries, in a task */
    int64_t tasks_per_head;
    int64_t own; /* floats of scratch for a thread */
};

/* One thread's scratch. */
struct attention_scratch {
    float *k;      /* [ATTENTION_KEY_ROWS, d] */
    float *v;      /* [padded_d, ATTENTION_KEYS], transposed */
    float *q;      /* [strip][d, TILE_COLUMNS], scaled */
    float *out;    /* [strip][padded_d, TILE_COLUMNS] */
    float *most;   /* [strip][TILE_COLUMNS]: the greatest score so far */
    float *sum;    /* [strip][TILE_COLUMNS]: of 2^(score - most) */
    float *scores; /* [ATTENTION_KEY_ROWS, TILE_COLUMNS] of the strip at hand */
};

static struct attention_run describe_attention(const struct node *node)
{
    struct attention_run a = {.T = node->shape.dim[1], .S = node->input[1]->shape.dim[1], .width = node->shape.dim[2]};
    a.d = a.width / node->as.attention.heads;
    a.padded_d = (a.d + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    const int64_t all = (a.T + TILE_COLUMNS - 1) / TILE_COLUMNS;
    a.strips = ATTENTION_QUERY_FLOATS / TILE_COLUMNS / a.d;
    a.strips = a.strips < 1 ? 1 : a.strips > ATTENTION_MOST_STRIPS ? ATTENTION_MOST_STRIPS : a.strips;
    if (a.strips > all) a.strips = all;
    a.tasks_per_head = (all + a.strips - 1) / a.strips;
    const int64_t strip = (a.d + a.padded_d + 2) * TILE_COLUMNS;
    a.own =
        ATTENTION_KEY_ROWS * a.d + a.padded_d * ATTENTION_KEYS + a.strips * strip + ATTENTION_KEY_ROWS * TILE_COLUMNS;
    a.own = (a.own + 15) / 16 * 16;
    return a;
}

static struct attention_scratch lay_out(const struct attention_run *a, int worker)
{
    struct attention_scratch s = {.k = (float *)a->call->work + worker * a->own};
    s.v = s.k + ATTENTION_KEY_ROWS * a->d;
    s.q = s.v + a->padded_d * ATTENTION_KEYS;
    s.out = s.q + a->strips * a->d * TILE_COLUMNS;
    s.most = s.out + a->strips * a->padded_d * TILE_COLUMNS;
    s.sum = s.most + a->strips * TILE_COLUMNS;
    s.scores = s.sum + a->strips * TILE_COLUMNS;
    return s;
}

static size_t attention_scratch(const struct node *node, int threads)
{
    return (size_t)(describe_attention(node).own * threads) * sizeof(float);
}

/* to [columns, to_pitch] = from [rows, from_pitch]^T times `factor`, by squares. Rows up to the next multiple of
 * VEC_LANES are written: zeros. */
static void transpose(float *to, int64_t to_pitch, const float *from, int64_t from_pitch, int64_t rows, int64_t columns,
                      float factor)
{
    for (int64_t r = 0; r < rows; r += VEC_LANES)
        for (int64_t c = 0; c < columns; c += VEC_LANES) {
            const int there = (int)(columns - c < VEC_LANES ? columns - c : VEC_LANES);
            vec square[VEC_LANES];
            for (int i = 0; i < VEC_LANES; i++)
                square[i] = r + i < rows ? vec_load_part(from + (r + i) * from_pitch + c, there) : vec_set(0.0f);
            vec_transpose(square);
            for (int i = 0; i < there; i++) vec_store(to + (c + i) * to_pitch + r, vec_mul(square[i], vec_set(factor)));
        }
}

/* Queries first.. of the task into strips, times the scale of the scores; outputs and sums begin at nothing. */
static void start_queries(const struct attention_run *a, const struct attention_scratch *s, const float *q, int64_t n)
{
    const float scale = a->call->node->as.attention.scale * 1.44269504f; /* log2(e): e^x = 2^(x log2(e)) */
    for (int64_t at = 0; at < n; at += TILE_COLUMNS) {
        const int64_t there = n - at < TILE_COLUMNS ? n - at : TILE_COLUMNS;
        float *strip = s->q + at * a->d;
        if (there < TILE_COLUMNS) memset(strip, 0, (size_t)(a->d * TILE_COLUMNS) * sizeof *strip);
        transpose(strip, TILE_COLUMNS, q + at * a->width, a->width, there, a->d, scale);
        memset(s->out + at * a->padded_d, 0, (size_t)(a->padded_d * TILE_COLUMNS) * sizeof *s->out);
        for (int i = 0; i < TILE_COLUMNS; i++) {
            s->most[at + i] = -INFINITY;
            s->sum[at + i] = 0;
        }
    }
}

/* n keys and values into the scratch; rows that fill the last tile are zeros. */
static void load_keys(const struct attention_run *a, const struct attention_scratch *s, const float *k, const float *v,
                      int64_t n)
{
    const int64_t padded = (n + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    for (int64_t i = 0; i < n; i++) memcpy(s->k + i * a->d, k + i * a->width, (size_t)a->d * sizeof *k);
    memset(s->k + n * a->d, 0, (size_t)((padded - n) * a->d) * sizeof *k);
    transpose(s->v, ATTENTION_KEYS, v, a->width, n, a->d, 1);
    memset(s->v + a->d * ATTENTION_KEYS, 0, (size_t)((a->padded_d - a->d) * ATTENTION_KEYS) * sizeof *v);
}

/* Scores of queries that come before their key become minus infinity. */
static void hide_future(float *scores, int64_t keys, int64_t first_key, int64_t first_query)
{
    for (int64_t i = 0; i < keys; i++)
        for (int j = 0; j < TILE_COLUMNS; j += VEC_LANES) {
            const vec query = vec_add(vec_count(), vec_set((float)(first_query - first_key - i + j)));
            float *at = scores + i * TILE_COLUMNS + j;
            vec_store(at, vec_select(vec_less(query, vec_set(0.0f)), vec_set(-INFINITY), vec_load(at)));
        }
}

/* scores, in powers of two, become 2^(score - most), where `most` may grow; what older blocks added to the sum and to
 * the output, they added relative to the old maximum, so it shrinks. */
static void soften(const struct attention_run *a, float *scores, float *most, float *sum, float *out, int64_t keys)
{
    vec before[TILE_VECS], greatest[TILE_VECS], total[TILE_VECS], shrink[TILE_VECS];
    for (int j = 0; j < TILE_VECS; j++) {
        before[j] = greatest[j] = vec_load(most + j * VEC_LANES);
        total[j] = vec_set(0.0f);
    }
    for (int64_t i = 0; i < keys; i++)
        for (int j = 0; j < TILE_VECS; j++)
            greatest[j] = vec_max(vec_load(scores + i * TILE_COLUMNS + j * VEC_LANES), greatest[j]);
    for (int64_t i = 0; i < keys; i++)
        for (int j = 0; j < TILE_VECS; j++) {
            float *at = scores + i * TILE_COLUMNS + j * VEC_LANES;
            const vec weight = vec_exp2_below(vec_sub(vec_load(at), greatest[j]));
            vec_store(at, weight);
            total[j] = vec_add(total[j], weight);
        }
    for (int j = 0; j < TILE_VECS; j++) {
        shrink[j] = vec_exp2_below(vec_sub(before[j], greatest[j]));
        vec_store(most + j * VEC_LANES, greatest[j]);
        vec_store(sum + j * VEC_LANES, vec_fma(vec_load(sum + j * VEC_LANES), shrink[j], total[j]));
    }
    for (int64_t i = 0; i < a->d; i++)
        for (int j = 0; j < TILE_VECS; j++) {
            float *at = out + i * TILE_COLUMNS + j * VEC_LANES;
            vec_store(at, vec_mul(vec_load(at), shrink[j]));
        }
}

/* One strip of queries against the keys in the scratch. */
static void attend(const struct attention_run *a, const struct attention_scratch *s, int64_t at, int64_t first_query,
                   int64_t first_key, int64_t keys)
{
    const float *q = s->q + at * a->d;
    float *out = s->out + at * a->padded_d;
    for (int64_t i = 0; i < keys; i += TILE_ROWS)
        tile_apart(s->scores + i * TILE_COLUMNS, TILE_COLUMNS, s->k + i * a->d, a->d, q, a->d, false, TILE_VECS);
    if (a->call->node->as.attention.causal && first_key + keys > first_query + 1)
        hide_future(s->scores, keys, first_key, first_query);
    soften(a, s->scores, s->most + at, s->sum + at, out, keys);
    for (int64_t i = 0; i < a->padded_d; i += TILE_ROWS)
        tile_apart(out + i * TILE_COLUMNS, TILE_COLUMNS, s->v + i * ATTENTION_KEYS, ATTENTION_KEYS, s->scores, keys,
                   true, TILE_VECS);
}

/* y [n, d] = (output / sum)^T */
static void store_queries(const struct attention_run *a, const struct attention_scratch *s, float *y, int64_t n)
{
    for (int64_t at = 0; at < n; at += VEC_LANES) {
        const int64_t strip = at / TILE_COLUMNS * TILE_COLUMNS, lane = at % TILE_COLUMNS;
        const float *out = s->out + strip * a->padded_d + lane;
        const vec factor = vec_div(vec_set(1.0f), vec_load(s->sum + at));
        for (int64_t c = 0; c < a->d; c += VEC_LANES) {
            const int there = (int)(a->d - c < VEC_LANES ? a->d - c : VEC_LANES);
            vec square[VEC_LANES];
            for (int i = 0; i < VEC_LANES; i++)
                square[i] = i < there ? vec_mul(vec_load(out + (c + i) * TILE_COLUMNS), factor) : vec_set(0.0f);
            vec_transpose(square);
            for (int i = 0; i < VEC_LANES && at + i < n; i++)
                vec_store_part(y + (at + i) * a->width + c, square[i], there);
        }
    }
}

static void attention_task(void *context, int64_t task, int worker)
{
    const struct attention_run *a = context;
    const struct cpu_call *call = a->call;
    const int64_t heads = a->width / a->d, head = task / a->tasks_per_head % heads;
    const int64_t image = task / a->tasks_per_head / heads;
    const int64_t first = task % a->tasks_per_head * a->strips * TILE_COLUMNS;
    const int64_t n = a->T - first < a->strips * TILE_COLUMNS ? a->T - first : a->strips * TILE_COLUMNS;
    const int64_t seen = call->node->as.attention.causal && first + n < a->S ? first + n : a->S;
    const struct attention_scratch s = lay_out(a, worker);
    const int64_t query = (image * a->T + first) * a->width + head * a->d;
    start_queries(a, &s, (const float *)call->in[0] + query, n);
    for (int64_t key = 0; key < seen; key += ATTENTION_KEYS) {
        const int64_t keys = seen - key < ATTENTION_KEYS ? seen - key : ATTENTION_KEYS;
        const int64_t from = (image * a->S + key) * a->width + head * a->d;
        load_keys(a, &s, (const float *)call->in[1] + from, (const float *)call->in[2] + from, keys);
        for (int64_t at = 0; at < n; at += TILE_COLUMNS) {
            if (call->node->as.attention.causal && key > first + at + TILE_COLUMNS - 1) continue;
            attend(a, &s, at, first + at, key, keys);
        }
    }
    store_queries(a, &s, (float *)call->out + query, n);
}

static void attention(const struct cpu_call *call)
{
    struct attention_run a = describe_attention(call->node);
    a.call = call;
    pool_run(call->pool, attention_task, &a,
             call->node->shape.dim[0] * call->node->as.attention.heads * a.tasks_per_head);
}
