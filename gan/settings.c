/* SPDX-License-Identifier: MIT
 *
 * The usual layouts. Where published copies of one shape differ in their strides, the one of PyTorch's example or the
 * commonest course is taken, and the JSON file says otherwise.
 */
#include "gan/settings.h"

#include "core/base/memory.h"
#include "core/io/file.h"
#include "core/io/quote.h"
#include "gan/detect.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST_STRIDE = 16, MOST_CROP = 64, PATH_BYTES = 4096, EXAMPLE_BYTES = 400 };

/* ---- the usual layouts ---- */

/* Kernels, strides and paddings of all layers in turn, a digit each. */
struct layout {
    enum gan_role role;
    const char *kernels, *strides, *paddings;
    int side;
    bool grey; /* only for pictures of one channel */
};

static const struct layout layouts[] = {
    {GAN_GENERATOR, "3434", "2122", "0000", 28, false}, /* 1, 3, 6, 13, 28: the GAN Specialization's course */
    {GAN_GENERATOR, "744", "122", "011", 28, false},    /* 1, 7, 14, 28 */
    {GAN_GENERATOR, "4344", "1222", "0111", 28, false}, /* 1, 4, 7, 14, 28 */
    {GAN_DISCRIMINATOR, "444", "222", "000", 28, true}, /* 28, 13, 5, 1: that course's */
    {GAN_DISCRIMINATOR, "447", "221", "110", 28, false}, {GAN_DISCRIMINATOR, "4434", "2221", "1110", 28, false},
};

static bool matches(const struct layout *layout, const struct gan_config *config)
{
    if (layout->role != config->role || strlen(layout->kernels) != (size_t)config->count) return false;
    if (layout->grey && config->channels != 1) return false;
    const enum gan_operation usual = config->role == GAN_GENERATOR ? GAN_CONV_TRANSPOSE : GAN_CONV;
    for (int i = 0; i < config->count; i++)
        if (config->layers[i].operation != usual || config->layers[i].kernel != layout->kernels[i] - '0') return false;
    return true;
}

/* The example's stacks: 4x4 kernels that double or halve, but for the one between the pictures' end and 1x1. Between
 * them may stand 3x3 convolutions that change nothing (the "extra layers" of the first DCGAN programs). */
static bool take_stack(struct gan_config *config)
{
    const bool generator = config->role == GAN_GENERATOR;
    int doublings = 0, start = 4;
    for (int i = 0; i < config->count; i++) {
        struct gan_layer *layer = &config->layers[i];
        const bool far_end = generator ? i == 0 : i == config->count - 1;
        const bool extra = layer->kernel == 3 && layer->in == layer->out && layer->operation == GAN_CONV;
        if (layer->operation == GAN_LINEAR) {
            if (!far_end) return false;
            start = generator ? layer->side : (int)lround(sqrt((double)layer->in / (double)config->layers[i - 1].out));
        } else if (extra && !far_end) {
            layer->padding = 1;
        } else if (layer->kernel == 4) {
            if (layer->operation == (generator ? GAN_CONV : GAN_CONV_TRANSPOSE)) return false;
            layer->stride = far_end ? 1 : 2;
            layer->padding = far_end ? 0 : 1;
            doublings += !far_end;
        } else {
            return false;
        }
    }
    if (doublings == 0 || doublings > 8 || (start << doublings) > GAN_MAX_SIDE) return false;
    config->side = start << doublings;
    return true;
}

static bool take_layout(struct gan_config *config)
{
    for (size_t k = 0; k < sizeof layouts / sizeof *layouts; k++) {
        if (!matches(&layouts[k], config)) continue;
        for (int i = 0; i < config->count; i++) {
            config->layers[i].stride = layouts[k].strides[i] - '0';
            config->layers[i].padding = layouts[k].paddings[i] - '0';
        }
        config->side = layouts[k].side;
        return true;
    }
    return take_stack(config);
}

bool gan_settings_usual(const struct gan_config *config)
{
    struct gan_config copy = *config;
    return take_layout(&copy);
}

static void take_activations(struct gan_config *config)
{
    const bool generator = config->role == GAN_GENERATOR;
    for (int i = 0; i < config->count; i++) {
        struct gan_layer *layer = &config->layers[i];
        const bool last = i == config->count - 1;
        layer->eps = 1e-5f;
        layer->slope = 0.2f;
        if (generator)
            layer->activation = last ? UNARY_TANH : UNARY_RELU;
        else
            layer->activation = last ? UNARY_NONE : UNARY_LEAKY_RELU;
    }
}

/* ---- JSON ---- */

static const char *const operation_names[] = {
    [GAN_CONV_TRANSPOSE] = "conv_transpose", [GAN_CONV] = "conv", [GAN_LINEAR] = "linear"};

static const enum unary activations[] = {UNARY_NONE, UNARY_RELU,    UNARY_LEAKY_RELU,
                                         UNARY_TANH, UNARY_SIGMOID, UNARY_SILU};
enum { ACTIVATIONS = sizeof activations / sizeof *activations };

/* What JSON says of how the layers stand. With both, no layout has to be known. */
struct said {
    bool stride, padding;
};

struct reading {
    struct gan_config *config;
    const json_t *json;
    const char *name; /* of the file, for sentences */
    struct error *err;
};

/* The value of a key for layer i: the whole, or the i-th of an array. NULL if the key is not there. */
static const json_t *value_of(const struct reading *r, const char *key, int i)
{
    const json_t *value = json_object_get(r->json, key);
    return json_is_array(value) ? json_array_get(value, (size_t)i) : value;
}

static enum status check_length(const struct reading *r, const char *key)
{
    const json_t *value = json_object_get(r->json, key);
    if (!json_is_array(value) || json_array_size(value) == (size_t)r->config->count) return STATUS_OK;
    return fail(r->err, STATUS_FORMAT, "%s: '%s' has %zu entries; the network has %d layers", r->name, key,
                json_array_size(value), r->config->count);
}

static enum status read_whole(const struct reading *r, const char *key, int i, int low, int high, int *out)
{
    const json_t *value = value_of(r, key, i);
    if (!value) return STATUS_OK;
    const json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < low || number > high)
        return fail(r->err, STATUS_FORMAT, "%s: '%s' of layer %d must be a whole number from %d to %d", r->name, key,
                    i + 1, low, high);
    *out = (int)number;
    return STATUS_OK;
}

static enum status read_real(const struct reading *r, const char *key, int i, double low, double high, float *out)
{
    const json_t *value = value_of(r, key, i);
    if (!value) return STATUS_OK;
    if (!json_is_number(value) || json_number_value(value) < low || json_number_value(value) > high)
        return fail(r->err, STATUS_FORMAT, "%s: '%s' of layer %d must be a number from %g to %g", r->name, key, i + 1,
                    low, high);
    *out = (float)json_number_value(value);
    return STATUS_OK;
}

static enum status read_activation(const struct reading *r, const char *key, int i, enum unary *out)
{
    const json_t *value = value_of(r, key, i);
    const char *name = json_string_value(value);
    if (!value) return STATUS_OK;
    for (int k = 0; name && k < ACTIVATIONS; k++) {
        if (strcmp(name, unary_name(activations[k])) != 0) continue;
        *out = activations[k];
        return STATUS_OK;
    }
    return fail(r->err, STATUS_FORMAT, "%s: '%s' of layer %d must be none, relu, leaky_relu, tanh, sigmoid or silu",
                r->name, key, i + 1);
}

/* Only for weights of as many inputs as outputs, which can be read both ways. */
static enum status read_operation(const struct reading *r, int i)
{
    struct gan_layer *layer = &r->config->layers[i];
    const json_t *value = value_of(r, "operation", i);
    const char *name = json_string_value(value);
    if (!value || (name && strcmp(name, operation_names[layer->operation]) == 0)) return STATUS_OK;
    for (enum gan_operation k = GAN_CONV_TRANSPOSE; name && k <= GAN_CONV; k++) {
        if (strcmp(name, operation_names[k]) != 0 || layer->operation == GAN_LINEAR || layer->in != layer->out)
            continue;
        layer->operation = k;
        return STATUS_OK;
    }
    return fail(r->err, STATUS_FORMAT, "%s: 'operation' of layer %d cannot be '%s': by its shape it is %s", r->name,
                i + 1, name ? quote(name).text : "?", operation_names[layer->operation]);
}

static enum status read_layer(const struct reading *r, int i)
{
    struct gan_layer *layer = &r->config->layers[i];
    const bool last = i == r->config->count - 1;
    const bool linear = layer->operation == GAN_LINEAR; /* one value for all layers may be meant for the others */
    enum status status = read_operation(r, i);
    /* A transposed convolution's takes away from its edges, and may be more than they are (PyTorch allows any). */
    const int most_padding = layer->operation == GAN_CONV_TRANSPOSE ? MOST_CROP : layer->kernel;
    if (status == STATUS_OK && !linear) status = read_whole(r, "stride", i, 1, MOST_STRIDE, &layer->stride);
    if (status == STATUS_OK && !linear) status = read_whole(r, "padding", i, 0, most_padding, &layer->padding);
    if (status == STATUS_OK && layer->operation == GAN_CONV_TRANSPOSE)
        status = read_whole(r, "output_padding", i, 0, layer->stride - 1, &layer->output_padding);
    if (status == STATUS_OK && !linear) status = read_whole(r, "upsample", i, 1, MOST_STRIDE, &layer->upsample);
    if (status == STATUS_OK) status = read_real(r, "eps", i, 1e-12, 1, &layer->eps);
    if (status == STATUS_OK) status = read_real(r, "slope", i, 0, 1, &layer->slope);
    const bool listed = json_is_array(json_object_get(r->json, "activation"));
    if (status == STATUS_OK && (listed || !last)) status = read_activation(r, "activation", i, &layer->activation);
    if (status == STATUS_OK && last) status = read_activation(r, "output", i, &layer->activation);
    return status;
}

static const char *const known_keys[] = {"operation", "stride",     "padding", "output_padding", "upsample",
                                         "eps",       "activation", "slope",   "output",         "size"};
enum { KNOWN_KEYS = sizeof known_keys / sizeof *known_keys };

static enum status read_json(struct reading *r, struct said *said)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)r->json, key, value) {
        bool known = json_is_object(value) && (strcmp(key, "generator") == 0 || strcmp(key, "discriminator") == 0);
        for (int k = 0; k < KNOWN_KEYS; k++) known = known || strcmp(key, known_keys[k]) == 0;
        if (!known)
            return fail(r->err, STATUS_FORMAT,
                        "%s: '%s' is no key that describes a network; there are operation, stride, padding, "
                        "output_padding, upsample, eps, activation, slope, output and size",
                        r->name, quote(key).text);
        const enum status status = check_length(r, key);
        if (status != STATUS_OK) return status;
    }
    for (int i = 0; i < r->config->count; i++) {
        const enum status status = read_layer(r, i);
        if (status != STATUS_OK) return status;
    }
    said->stride = said->stride || json_object_get(r->json, "stride");
    said->padding = said->padding || json_object_get(r->json, "padding");
    return read_whole(r, "size", 0, 1, GAN_MAX_SIDE, &r->config->side);
}

/* Files beside checkpoints may be of many kinds. */
static bool describes_networks(const json_t *json)
{
    for (int k = 0; k < KNOWN_KEYS; k++)
        if (json_object_get(json, known_keys[k])) return true;
    const json_t *networks[] = {json_object_get(json, "generator"), json_object_get(json, "discriminator")};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < KNOWN_KEYS; k++)
            if (json_object_get(networks[i], known_keys[k])) return true;
    return false;
}

/* text: the whole JSON; the network's own object in it comes over what stands around it. */
static enum status apply(struct gan_config *config, const char *text, size_t size, const char *name, struct said *said,
                         struct error *err)
{
    json_error_t where;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(json)) {
        json_decref(json);
        return fail(err, STATUS_FORMAT, "%s: is not a JSON object (line %d)", name, json ? 1 : where.line);
    }
    struct reading r = {.config = config, .json = json, .name = name, .err = err};
    const json_t *const networks[] = {json_object_get(json, "generator"), json_object_get(json, "discriminator")};
    for (int i = 0; i < 2; i++) {
        if (!json_is_number(networks[i]) && !json_is_array(networks[i])) continue;
        json_decref(json);
        return fail(err, STATUS_FORMAT, "%s: '%s' must be an object", name, i ? "discriminator" : "generator");
    }
    if (!describes_networks(json)) {
        json_decref(json);
        return STATUS_OK;
    }
    enum status status = read_json(&r, said);
    r.json = json_object_get(json, config->role == GAN_GENERATOR ? "generator" : "discriminator");
    if (status == STATUS_OK && r.json) status = read_json(&r, said);
    json_decref(json);
    return status;
}

/* "models/mnist.json" for "models/mnist.pth"; false if the name is too long. */
static bool json_path(char out[PATH_BYTES], const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    const int stem = dot && dot > (slash ? slash + 1 : path) ? (int)(dot - path) : (int)strlen(path);
    return snprintf(out, PATH_BYTES, "%.*s.json", stem, path) < PATH_BYTES;
}

static enum status apply_file(struct gan_config *config, const char *path, struct said *said, struct error *err)
{
    char beside[PATH_BYTES];
    struct mapped_file file = {0};
    if (!json_path(beside, path) || strcmp(beside, path) == 0 || access(beside, F_OK) != 0) return STATUS_OK;
    enum status status = file_map(&file, beside, err);
    if (status == STATUS_OK) status = apply(config, (const char *)file.bytes, file.size, beside, said, err);
    file_unmap(&file);
    return status;
}

/* ---- what to ask for ---- */

/* "[1, 2, 2]" */
static void append_list(char *text, const char *key, const struct gan_config *config,
                        int (*value)(const struct gan_config *, int))
{
    size_t at = strlen(text);
    at += (size_t)snprintf(text + at, EXAMPLE_BYTES - at, "%s\"%s\": [", text[1] ? ", " : "", key);
    for (int i = 0; i < config->count && at < EXAMPLE_BYTES; i++)
        at += (size_t)snprintf(text + at, EXAMPLE_BYTES - at, "%s%d", i ? ", " : "", value(config, i));
    if (at < EXAMPLE_BYTES) snprintf(text + at, EXAMPLE_BYTES - at, "]");
}

static bool at_far_end(const struct gan_config *config, int i)
{
    return i == (config->role == GAN_GENERATOR ? 0 : config->count - 1);
}

static int guess_stride(const struct gan_config *config, int i)
{
    const struct gan_layer *layer = &config->layers[i];
    const bool upsampled = config->role == GAN_GENERATOR && layer->operation == GAN_CONV;
    return at_far_end(config, i) || layer->operation == GAN_LINEAR || upsampled ? 1 : 2;
}

static int guess_padding(const struct gan_config *config, int i)
{
    return at_far_end(config, i) ? 0 : (config->layers[i].kernel - 1) / 2;
}

static int guess_output_padding(const struct gan_config *config, int i)
{
    const struct gan_layer *layer = &config->layers[i];
    return layer->operation == GAN_CONV_TRANSPOSE && !at_far_end(config, i) && layer->kernel % 2 == 1;
}

static int guess_upsample(const struct gan_config *config, int i)
{
    return config->layers[i].operation == GAN_CONV ? 2 : 1;
}

static enum status ask(const struct gan_config *config, const struct checkpoint *checkpoint, const char *path,
                       const char *lacking, struct error *err)
{
    const bool generator = config->role == GAN_GENERATOR;
    const char *const network = generator ? "generator" : "discriminator";
    struct gan_config other;
    const bool both = gan_find(&other, generator ? GAN_DISCRIMINATOR : GAN_GENERATOR, checkpoint);
    char beside[PATH_BYTES], kernels[128] = "", example[EXAMPLE_BYTES] = "{";
    bool transposes = false, convolutions = false;
    for (int i = 0; i < config->count; i++) {
        const size_t at = strlen(kernels);
        transposes = transposes || config->layers[i].operation == GAN_CONV_TRANSPOSE;
        convolutions = convolutions || config->layers[i].operation == GAN_CONV;
        snprintf(kernels + at, sizeof kernels - at, "%s%d", i ? "-" : "", config->layers[i].kernel);
    }
    append_list(example, "stride", config, guess_stride);
    append_list(example, "padding", config, guess_padding);
    if (transposes) append_list(example, "output_padding", config, guess_output_padding);
    if (generator && convolutions) append_list(example, "upsample", config, guess_upsample);
    const size_t at = strlen(example);
    snprintf(example + at, EXAMPLE_BYTES - at, ", \"activation\": \"%s\", \"output\": \"%s\"}",
             generator ? "relu" : "leaky_relu", generator ? "tanh" : "none");
    if (!json_path(beside, path)) snprintf(beside, sizeof beside, "a JSON file beside it");
    return fail(err, STATUS_UNSUPPORTED,
                "%s: a GAN's %s of %d layers with kernels %s, whose strides no checkpoint holds and no usual layout "
                "tells; %s%s%swrite %s with the right numbers in place of these: %s%s%s%s%s",
                path, network, config->count, kernels, lacking ? "'" : "", lacking ? lacking : "",
                lacking ? "' is missing there; " : "", beside, both ? "{\"" : "", both ? network : "",
                both ? "\": " : "", example, both ? "}" : "");
}

/* A discriminator that does not say its pictures' side: the usual side that it brings to one score. */
static void guess_side(struct gan_config *config)
{
    static const int sides[] = {64, 32, 28, 128, 16, 256, 48, 96};
    for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        int64_t side = config->side = sides[k];
        struct error ignored = {0};
        if (gan_config_measure(config, "", &ignored) != STATUS_OK) continue;
        for (int i = 0; i < config->count; i++) side = gan_layer_side(&config->layers[i], side);
        if (side == 1) return;
    }
    config->side = 64;
}

enum status gan_settings_read(struct gan_config *config, const struct checkpoint *checkpoint, const char *path,
                              struct error *err)
{
    const char *own = checkpoint_metadata(checkpoint, "limn.gan");
    enum status status = STATUS_OK;
    take_activations(config);
    struct said said = {0};
    const bool known = take_layout(config);
    const int side = config->side;
    config->side = 0;
    if (own) status = apply(config, own, strlen(own), path, &said, err);
    if (!own) status = apply_file(config, path, &said, err);
    if (status != STATUS_OK) return status;
    if (!known && !(said.stride && said.padding))
        return ask(config, checkpoint, path, said.stride ? "padding" : said.padding ? "stride" : NULL, err);
    if (config->role == GAN_DISCRIMINATOR && config->side == 0) {
        struct gan_config usual = *config;
        usual.side = side;
        const bool fits = side > 0 && gan_config_measure(&usual, path, &(struct error){0}) == STATUS_OK;
        config->side = side;
        if (!fits) guess_side(config);
    }
    return STATUS_OK;
}

/* ---- writing ---- */

static json_t *describe(const struct gan_config *config)
{
    json_t *object = json_object();
    static const char *const keys[] = {"operation",  "stride", "padding", "output_padding",
                                       "activation", "slope",  "eps"};
    enum { KEYS = sizeof keys / sizeof *keys };
    for (int k = 0; k < KEYS; k++) json_object_set_new(object, keys[k], json_array());
    for (int i = 0; i < config->count; i++) {
        const struct gan_layer *layer = &config->layers[i];
        json_t *const values[KEYS] = {json_string(operation_names[layer->operation]),
                                      json_integer(layer->stride),
                                      json_integer(layer->padding),
                                      json_integer(layer->output_padding),
                                      json_string(unary_name(layer->activation)),
                                      json_real(round((double)layer->slope * 1e6) / 1e6),
                                      json_real((double)layer->eps)};
        for (int k = 0; k < KEYS; k++) json_array_append_new(json_object_get(object, keys[k]), values[k]);
    }
    json_object_set_new(object, "size", json_integer(config->side));
    return object;
}

enum status gan_config_text(char **out, const struct gan_config *generator, const struct gan_config *discriminator,
                            struct error *err)
{
    json_t *json = json_object();
    json_object_set_new(json, "generator", describe(generator));
    if (discriminator) json_object_set_new(json, "discriminator", describe(discriminator));
    const size_t size = json_dumpb(json, NULL, 0, JSON_COMPACT | JSON_REAL_PRECISION(7));
    *out = size ? memory_alloc(size + 1) : NULL;
    if (*out) (void)json_dumpb(json, *out, size, JSON_COMPACT | JSON_REAL_PRECISION(7));
    json_decref(json);
    return *out ? STATUS_OK : fail_no_memory(err, "a GAN's description", size);
}
