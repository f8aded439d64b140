/* SPDX-License-Identifier: MIT
 *
 * The web UI (modules/rng.py) interpolates tensors of three dimensions with a formula made for batches of vectors, so
 * that "the vector" is a column of pixels. Its pictures depend on that, and so do ours. Shoemake 1985, "Animating
 * rotation with quaternion curves", has the formula.
 */
#include "diffusion/noise.h"

#include "core/base/memory.h"

#include <math.h>

static size_t values_of(struct latent_shape shape)
{
    return (size_t)shape.height * (size_t)shape.width * (size_t)shape.channels;
}

/* [C, H, W] -> [H, W, C]. */
static void channels_last(struct latent_shape shape, const float *planes, float *out)
{
    const size_t pixels = (size_t)shape.height * (size_t)shape.width, channels = (size_t)shape.channels;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < pixels; i++) out[i * channels + c] = planes[c * pixels + i];
}

enum status noise_draw(struct rng *rng, struct latent_shape shape, float *out, struct error *err)
{
    const size_t bytes = values_of(shape) * sizeof(float);
    float *planes = memory_alloc_raw(bytes);
    if (planes == NULL) return fail_no_memory(err, "noise", bytes);
    rng_normal(rng, planes, values_of(shape));
    channels_last(shape, planes, out);
    memory_free(planes);
    return STATUS_OK;
}

/* Cosine of the angle between two columns of `n` values that lie `stride` apart. */
static double cosine(const float *a, const float *b, size_t n, size_t stride)
{
    double aa = 0, bb = 0, ab = 0;
    for (size_t i = 0; i < n * stride; i += stride) {
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
        ab += (double)a[i] * (double)b[i];
    }
    const double length = sqrt(aa) * sqrt(bb);
    return length > 0 ? fmin(fmax(ab / length, -1), 1) : 1;
}

static void blend(float *low, const float *high, size_t n, size_t stride, double low_part, double high_part)
{
    for (size_t i = 0; i < n * stride; i += stride)
        low[i] = (float)(low_part * (double)low[i] + high_part * (double)high[i]);
}

void noise_slerp(double strength, struct latent_shape shape, float *low, const float *high)
{
    const size_t rows = (size_t)shape.height, columns = (size_t)shape.width, plane = rows * columns;
    const size_t all = (size_t)shape.channels * columns;
    double mean = 0;
    for (size_t k = 0; k < all; k++) {
        const size_t at = k / columns * plane + k % columns;
        mean += cosine(low + at, high + at, rows, columns) / (double)all;
    }
    for (size_t k = 0; k < all; k++) {
        const size_t at = k / columns * plane + k % columns;
        const double angle = acos(cosine(low + at, high + at, rows, columns)), sine = sin(angle);
        double low_part = 1 - strength, high_part = strength;
        if (mean > 0.9995) { /* Nearly one tensor. The web UI has the two parts the other way round here. */
            low_part = strength;
            high_part = 1 - strength;
        } else if (sine > 1e-6) { /* Parallel columns, where the web UI would divide by zero, stay linear. */
            low_part = sin((1 - strength) * angle) / sine;
            high_part = sin(strength * angle) / sine;
        }
        blend(low + at, high + at, rows, columns, low_part, high_part);
    }
}

enum status noise_varied(struct rng *rng, const struct noise_seed *seed, struct latent_shape shape, float *out,
                         struct error *err)
{
    if (seed->subseed_strength == 0) return noise_draw(rng, shape, out, err);
    const size_t values = values_of(shape), bytes = 2 * values * sizeof(float);
    float *low = memory_alloc_raw(bytes);
    if (low == NULL) return fail_no_memory(err, "noise of two seeds", bytes);
    float *high = low + values;
    struct rng other;
    rng_init(&other, seed->kind, seed->subseed);
    rng_normal(rng, low, values);
    rng_normal(&other, high, values);
    noise_slerp(seed->subseed_strength, shape, low, high);
    channels_last(shape, low, out);
    memory_free(low);
    return STATUS_OK;
}

enum status noise_first(struct rng *rng, const struct noise_seed *seed, struct latent_shape shape, float *out,
                        struct error *err)
{
    rng_init(rng, seed->kind, seed->seed);
    return noise_varied(rng, seed, shape, out, err);
}
