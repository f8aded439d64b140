/* SPDX-License-Identifier: MIT
 *
 * Sources of the rules:
 *   PyTorch      torch.nn.Linear, Conv2d: weight and bias even in +-1/sqrt(fan in), which is what kaiming_uniform_ with
 *                a = sqrt(5) comes to (He et al. 2015, arXiv 1502.01852); norms 1 and 0
 *   guided-diffusion (Dhariwal and Nichol 2021, arXiv 2105.05233) and latent-diffusion: the last convolution of a
 *                residual block, of a transformer and of the whole U-Net begins at 0, so that each block begins as the
 *                identity
 *   CLIP         (Radford et al. 2021, arXiv 2103.00020, and its published program, initialize_parameters)
 *   DCGAN        weights N(0, 0.02), batch norm's N(1, 0.02), no bias
 */
#include "core/nn/initialise.h"

#include "core/base/hash.h"
#include "core/base/random.h"
#include "core/io/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum how {
    EVEN,   /* +- 1 / sqrt(fan in) */
    NORMAL, /* deviation `number` */
    WIDTH,  /* deviation `number` / sqrt(last dimension) */
    FIXED,  /* `number` */
    NEAR,   /* 1, with deviation `number` */
};

struct rule {
    const char *within, *ending; /* of names; "" is any */
    enum how how;
    double number;
};

/* The first that fits. CLIP's deviations for the ends of residual branches are 1 / sqrt(2 layers) times smaller; the
 * layers are counted in depth_of. */
static const struct rule published[] = {
    {"model.diffusion_model.", ".out_layers.3.weight", FIXED, 0},
    {"model.diffusion_model.", ".out_layers.3.bias", FIXED, 0},
    {"model.diffusion_model.", ".proj_out.weight", FIXED, 0},
    {"model.diffusion_model.", ".proj_out.bias", FIXED, 0},
    {"model.diffusion_model.out.2.", ".weight", FIXED, 0},
    {"model.diffusion_model.out.2.", ".bias", FIXED, 0},
    {"", "token_embedding.weight", NORMAL, 0.02},
    {"text_model", "position_embedding.weight", NORMAL, 0.01},
    {"", "vision_model.embeddings.position_embedding.weight", WIDTH, 1},
    {"visual.", "positional_embedding", WIDTH, 1},
    {"", "positional_embedding", NORMAL, 0.01},
    {"", "class_embedding", WIDTH, 1},
    {"", "logit_scale", FIXED, 2.6592600369327783}, /* ln(1 / 0.07) */
    {"", "text_projection.weight", WIDTH, 1},
    {"", "visual_projection.weight", WIDTH, 1},
    {"", "text_projection", NORMAL, 0.02},
    {"", "visual.proj", NORMAL, 0.02},
    {"_model.encoder.layers.", "proj.weight", WIDTH, 1}, /* self_attn.{q,k,v,out}_proj */
    {"_model.encoder.layers.", "fc1.weight", WIDTH, 0.70710678118654752},
    {"_model.encoder.layers.", "fc2.weight", WIDTH, 2}, /* its rows are 4 widths long */
    {"_model.encoder.layers.", "proj.bias", FIXED, 0},
    {"transformer.resblocks.", "in_proj_weight", WIDTH, 1},
    {"transformer.resblocks.", "in_proj_bias", FIXED, 0},
    {"transformer.resblocks.", "out_proj.weight", WIDTH, 1},
    {"transformer.resblocks.", "out_proj.bias", FIXED, 0},
    {"transformer.resblocks.", "c_fc.weight", WIDTH, 0.70710678118654752},
    {"transformer.resblocks.", "c_proj.weight", WIDTH, 2},
};

static bool ends_with(const char *name, const char *ending)
{
    const size_t length = strlen(name), wanted = strlen(ending);
    return length >= wanted && strcmp(name + length - wanted, ending) == 0;
}

uint64_t initialise_key(uint64_t seed, uint64_t a, uint64_t b)
{
    /* splitmix64's finisher (Steele et al. 2014) after each word. */
    const uint64_t word[] = {seed, a, b};
    uint64_t key = 0;
    for (int i = 0; i < 3; i++) {
        key += word[i] + 0x9e3779b97f4a7c15u;
        key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
        key = (key ^ key >> 27) * 0x94d049bb133111ebu;
        key ^= key >> 31;
    }
    return key;
}

/* How many elements of the operand one result is made of. A weight's are its row; a bias has those of its weight. */
static int64_t fan_in(const struct trainer *t, const struct trainer_parameter *p)
{
    const struct shape shape = p->weight.shape;
    if (shape.rank > 1) return shape_count(shape) / shape.dim[0];
    char name[CHECKPOINT_NAME_BYTES];
    const size_t stem = strlen(p->weight.name) - strlen("bias");
    if (!ends_with(p->weight.name, ".bias") || stem + strlen("weight") >= sizeof name) return 0;
    snprintf(name, sizeof name, "%.*sweight", (int)stem, p->weight.name);
    for (int i = 0; i < t->count; i++) {
        const struct shape weight = t->parameters[i].weight.shape;
        if (weight.rank > 1 && strcmp(t->parameters[i].weight.name, name) == 0)
            return shape_count(weight) / weight.dim[0];
    }
    return 0; /* a norm's */
}

/* The number of layers of the tower that the parameter is in, from the highest block number beside it. */
static int depth_of(const struct trainer *t, const char *name, const char *within)
{
    const char *at = strstr(name, within);
    const size_t stem = at ? (size_t)(at - name) + strlen(within) : 0;
    int depth = 1;
    for (int i = 0; i < t->count && at; i++) {
        int block = 0;
        if (strncmp(t->parameters[i].weight.name, name, stem) == 0 &&
            sscanf(t->parameters[i].weight.name + stem, "%d", &block) == 1 && block >= depth)
            depth = block + 1;
    }
    return depth;
}

/* torch's defaults: of a norm if the parameter stands alone, else of a linear layer or convolution. */
static struct rule torch_rule(const struct trainer *t, const struct trainer_parameter *p)
{
    if (fan_in(t, p) > 0) return (struct rule){.how = EVEN};
    return (struct rule){.how = FIXED, .number = ends_with(p->weight.name, "weight") ? 1 : 0};
}

static struct rule dcgan_rule(const struct trainer_parameter *p)
{
    if (p->weight.shape.rank > 1) return (struct rule){.how = NORMAL, .number = 0.02};
    if (ends_with(p->weight.name, "weight")) return (struct rule){.how = NEAR, .number = 0.02};
    return (struct rule){.how = FIXED, .number = 0};
}

static struct rule published_rule(const struct trainer *t, const struct trainer_parameter *p)
{
    const char *name = p->weight.name;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        struct rule rule = published[i];
        if (!strstr(name, rule.within) || !ends_with(name, rule.ending)) continue;
        const bool last =
            ends_with(name, "out_proj.weight") || ends_with(name, "fc2.weight") || ends_with(name, "c_proj.weight");
        if (last) rule.number /= sqrt(2.0 * depth_of(t, name, rule.within));
        return rule;
    }
    return torch_rule(t, p);
}

static void fill(float *values, size_t n, const struct rule *rule, double width, double fan, struct rng *rng)
{
    const double bound = fan > 0 ? 1 / sqrt(fan) : 0;
    const double deviation = rule->how == WIDTH ? rule->number / sqrt(width) : rule->number;
    const double mean = rule->how == NEAR ? 1 : 0;
    if (rule->how == FIXED) {
        for (size_t i = 0; i < n; i++) values[i] = (float)rule->number;
    } else if (rule->how == EVEN) {
        for (size_t i = 0; i < n; i++) values[i] = (float)(bound * (rng_bits(rng) * 0x1p-31 - 1));
    } else {
        rng_normal(rng, values, n);
        for (size_t i = 0; i < n; i++) values[i] = (float)(mean + deviation * (double)values[i]);
    }
}

void initialise(struct trainer *t, enum initialise_kind kind, uint64_t seed)
{
    for (int i = 0; i < t->count; i++) {
        const struct trainer_parameter *p = &t->parameters[i];
        const struct rule rule = kind == INITIALISE_DCGAN ? dcgan_rule(p) : published_rule(t, p);
        struct rng rng;
        rng_init(&rng, RNG_PHILOX, initialise_key(seed, hash_text(HASH_START, p->weight.name), (uint64_t)p->first_row));
        fill(t->optimiser->value + p->weight.offset / sizeof(float), (size_t)shape_count(p->weight.shape), &rule,
             (double)shape_dim(p->weight.shape, -1), (double)fan_in(t, p), &rng);
    }
}
