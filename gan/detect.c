/* SPDX-License-Identifier: MIT
 *
 * The modules of a file, in their natural order (main.3 before main.10), are cut into products and norms:
 *
 *     main.0  [100, 512, 4, 4]     product        a transposed convolution's weight is [in, out, kh, kw],
 *     main.1  [512]                norm           a convolution's [out, in, kh, kw]
 *     main.3  [512, 256, 4, 4]     product
 *
 * Then they have to make a chain in which each takes the channels that the one before gives. That also tells
 * transposed convolutions from plain ones: read the wrong way round, the chain does not hold.
 */
#include "gan/detect.h"

#include "core/io/quote.h"
#include "gan/settings.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_MODULES = 4 * GAN_MAX_LAYERS,
    MOST_TENSORS = 2048 /* no GAN has as many, not even with a text tower beside it */
};

struct module {
    char name[GAN_NAME_BYTES];
    const struct tensor *weight;
    bool norm, bias;
};

struct modules {
    struct module list[MAX_MODULES];
    int count;
    struct module text; /* of a conditional network; no weight: none */
};

/* ---- names ---- */

/* As strcmp, but runs of digits compare as numbers. */
static int compare_natural(const char *a, const char *b)
{
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            a += strspn(a, "0");
            b += strspn(b, "0");
            const size_t n = strspn(a, "0123456789"), m = strspn(b, "0123456789");
            if (n != m) return n < m ? -1 : 1;
            const int order = strncmp(a, b, n);
            if (order != 0) return order;
            a += n;
            b += n;
        } else if (*a != *b) {
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        } else {
            a++;
            b++;
        }
    }
    return (unsigned char)*a - (unsigned char)*b;
}

static int compare_modules(const void *a, const void *b)
{
    return compare_natural(((const struct module *)a)->name, ((const struct module *)b)->name);
}

static const struct tensor *find_beside(const struct checkpoint *c, const char *module, const char *what)
{
    char name[GAN_NAME_BYTES + 32];
    snprintf(name, sizeof name, "%s.%s", module, what);
    return checkpoint_find(c, name);
}

static bool ends_with(const char *name, size_t size, const char *ending)
{
    const size_t tail = strlen(ending);
    return size > tail && strcmp(name + size - tail, ending) == 0;
}

/* Length of a name's first part, the "module." of DataParallel included: "module.main" of "module.main.0.weight". */
static size_t first_part(const char *name)
{
    static const char wrapper[] = "module.";
    const size_t skipped = strncmp(name, wrapper, sizeof wrapper - 1) == 0 ? sizeof wrapper - 1 : 0;
    return skipped + strcspn(name + skipped, ".");
}

static bool is_text_layer(const char *module)
{
    const char *dot = strrchr(module, '.');
    return dot && strcmp(dot, ".text") == 0;
}

/* True for a bias or a norm's statistics without their weight: whatever makes them, the network is more than it seems.
 */
static bool lacks_weight(const struct checkpoint *c, const char *name)
{
    static const char *const endings[] = {".bias", ".running_mean"};
    char module[GAN_NAME_BYTES];
    const size_t size = strlen(name);
    for (int k = 0; k < 2; k++) {
        if (size >= GAN_NAME_BYTES || !ends_with(name, size, endings[k])) continue;
        snprintf(module, sizeof module, "%.*s", (int)(size - strlen(endings[k])), name);
        if (!find_beside(c, module, "weight")) return true;
    }
    return false;
}

/* The modules whose names begin with part[0..length). False if there are others than products and batch norms. */
static bool collect(struct modules *out, const struct checkpoint *c, const char *part, size_t length)
{
    static const char ending[] = ".weight", towers[] = "cond_stage_model.";
    out->count = 0;
    out->text = (struct module){0};
    for (int i = 0; i < checkpoint_count(c); i++) {
        const struct tensor *t = checkpoint_at(c, i);
        const size_t size = strlen(t->name), stem = size - (sizeof ending - 1);
        if (strncmp(t->name, towers, sizeof towers - 1) == 0) continue;
        if (length > 0 && (first_part(t->name) != length || strncmp(t->name, part, length) != 0)) continue;
        if (lacks_weight(c, t->name)) return false;
        if (!ends_with(t->name, size, ending)) continue;
        if (out->count == MAX_MODULES || stem >= GAN_NAME_BYTES) return false;
        struct module module = {.weight = t};
        memcpy(module.name, t->name, stem);
        module.bias = find_beside(c, module.name, "bias") != NULL;
        module.norm = t->rank == 1 && find_beside(c, module.name, "running_mean");
        if (t->rank == 2 && is_text_layer(module.name))
            out->text = module;
        else if (module.norm || t->rank == 2 || (t->rank == 4 && t->dim[2] == t->dim[3]))
            out->list[out->count++] = module;
        else
            return false;
    }
    qsort(out->list, (size_t)out->count, sizeof *out->list, compare_modules);
    return true;
}

/* ---- chains ---- */

/* Reads a weight as an operation; false if its rank is another's. */
static bool read_layer(struct gan_layer *layer, const struct module *m, enum gan_operation operation)
{
    const struct tensor *t = m->weight;
    if ((t->rank == 2) != (operation == GAN_LINEAR)) return false;
    const bool transpose = operation == GAN_CONV_TRANSPOSE;
    *layer = (struct gan_layer){.operation = operation, .bias = m->bias, .upsample = 1, .kernel = 1, .stride = 1};
    memcpy(layer->name, m->name, sizeof layer->name);
    layer->in = t->dim[!transpose];
    layer->out = t->dim[transpose];
    if (t->rank == 4) layer->kernel = (int)(t->dim[2] > GAN_MAX_SIDE ? GAN_MAX_SIDE : t->dim[2]);
    return layer->in > 0 && layer->out > 0 && layer->in < INT32_MAX && layer->out < INT32_MAX;
}

/* The side s with s * s * channels == values; 0 if there is none. */
static int square_side(int64_t values, int64_t channels)
{
    for (int s = 1; (int64_t)s * s * channels <= values; s++)
        if ((int64_t)s * s * channels == values) return s;
    return 0;
}

/* True if `next` can take what `layer` gives; sets the side of what a linear layer makes. */
static bool follows(struct gan_layer *layer, const struct gan_layer *next)
{
    if (layer->operation == GAN_LINEAR && next->operation != GAN_LINEAR) {
        layer->side = square_side(layer->out, next->in);
        return layer->side > 0;
    }
    if (layer->operation != GAN_LINEAR && next->operation == GAN_LINEAR) return square_side(next->in, layer->out) > 0;
    return layer->out == next->in;
}

/* Where both readings of a square weight fit: a 3x3 kernel is a convolution's unless `alike` (or nothing comes before
 * it: a generator begins at one pixel), others go with their neighbours. */
static enum gan_operation likelier(const struct module *m, int i, enum gan_operation before, bool alike)
{
    if (m->weight->rank == 2) return GAN_LINEAR;
    const bool square = m->weight->dim[0] == m->weight->dim[1];
    return square && m->weight->dim[2] == 3 && i > 0 && !alike ? GAN_CONV : before;
}

/* Puts layer i and what comes behind it, trying for each both ways to read its weight. Weights of unequal sides fit one
 * way only, so the second try ends at once. */
static bool chain(struct gan_config *config, const struct module *const products[], int count, int i,
                  enum gan_operation before, bool alike)
{
    if (i == count) return true;
    const enum gan_operation first = likelier(products[i], i, before, alike);
    const enum gan_operation order[2] = {first, first == GAN_CONV ? GAN_CONV_TRANSPOSE : GAN_CONV};
    for (int k = 0; k < (first == GAN_LINEAR ? 1 : 2); k++) {
        struct gan_layer *layer = &config->layers[i];
        if (!read_layer(layer, products[i], order[k])) return false;
        if (i > 0 && !follows(&config->layers[i - 1], layer)) continue;
        if (chain(config, products, count, i + 1, order[k] == GAN_LINEAR ? before : order[k], alike)) {
            config->count = count;
            return true;
        }
        if (k == 0 && layer->in == layer->out) return false; /* else a hostile file would cost 2^24 tries */
    }
    return false;
}

static bool norm_fits(const struct gan_layer *layer, int64_t width)
{
    const int64_t pixels = layer->side ? (int64_t)layer->side * layer->side : 1;
    return !layer->norm[0] && (layer->out == width || layer->out == width * pixels);
}

/* Each norm goes to the product right before it (or, where norms have names of their own such as bn1 beside conv1, to
 * the next product in turn) that has as many channels. */
static bool place_norms(struct gan_config *config, const struct module *const order[], int count, bool in_turn)
{
    int products = 0, next = 0;
    for (int i = 0; i < config->count; i++) config->layers[i].norm[0] = '\0';
    for (int i = 0; i < count; i++) {
        if (!order[i]->norm) {
            products++;
            continue;
        }
        const int64_t width = order[i]->weight->dim[0];
        int at = products - 1;
        if (in_turn)
            for (at = next; at < config->count && !norm_fits(&config->layers[at], width);) at++;
        if (at < 0 || at >= config->count || !norm_fits(&config->layers[at], width)) return false;
        memcpy(config->layers[at].norm, order[i]->name, sizeof config->layers[at].norm);
        config->layers[at].norm_width = width;
        next = at + 1;
    }
    return true;
}

static bool fits_role(struct gan_config *config)
{
    const struct gan_layer *first = &config->layers[0], *last = &config->layers[config->count - 1];
    if (config->count < 2) return false;
    if (config->role == GAN_GENERATOR) {
        bool grows = false;
        for (int i = 0; i < config->count; i++) grows = grows || config->layers[i].operation != GAN_CONV;
        config->latent = (int)(first->in - config->text_features);
        config->channels = (int)last->out;
        return grows && first->operation != GAN_CONV && last->operation != GAN_LINEAR && !last->norm[0] &&
               config->latent >= 1 && config->latent <= GAN_MAX_LATENT && (last->out == 1 || last->out == 3);
    }
    config->channels = (int)first->in;
    for (int i = 0; i < config->count; i++)
        if (config->layers[i].operation == GAN_CONV_TRANSPOSE) return false;
    if (config->text_width && last->in != config->text_features) return false;
    return first->operation == GAN_CONV && (first->in == 1 || first->in == 3) && last->out == 1;
}

static bool take_text(struct gan_config *config, const struct module *text)
{
    if (!text->weight) return true;
    if (text->weight->dim[1] < 1 || text->weight->dim[1] > INT32_MAX || text->weight->dim[0] > INT32_MAX) return false;
    memcpy(config->text, text->name, sizeof config->text);
    config->text_width = (int)text->weight->dim[1];
    config->text_features = (int)text->weight->dim[0];
    return true;
}

/* As assemble, with square 3x3 weights read one way; every rotation of the list is tried. */
static bool assemble_as(struct gan_config *config, enum gan_role role, const struct modules *m, bool alike)
{
    const struct module *order[MAX_MODULES], *products[GAN_MAX_LAYERS];
    for (int turn = 0; turn < m->count; turn++) {
        int count = 0;
        for (int i = 0; i < m->count; i++) {
            order[i] = &m->list[(i + turn) % m->count];
            if (order[i]->norm) continue;
            if (count == GAN_MAX_LAYERS) return false;
            products[count++] = order[i];
        }
        *config = (struct gan_config){.role = role};
        if (!take_text(config, &m->text)) return false;
        const enum gan_operation usual = role == GAN_GENERATOR ? GAN_CONV_TRANSPOSE : GAN_CONV;
        if (count > 0 && chain(config, products, count, 0, usual, alike) &&
            (place_norms(config, order, m->count, false) || place_norms(config, order, m->count, true)) &&
            fits_role(config))
            return true;
    }
    return false;
}

/* One network from these modules. Parts of a network may come in another order than their names (conv_blocks before
 * l1). Square weights do not say what they are: if the stack is no usual one with 3x3 kernels as convolutions among the
 * others, and is one with all alike, they are alike. */
static bool assemble(struct gan_config *config, enum gan_role role, const struct modules *m)
{
    struct gan_config other;
    if (!assemble_as(config, role, m, false)) return assemble_as(config, role, m, true);
    if (!gan_settings_usual(config) && assemble_as(&other, role, m, true) && gan_settings_usual(&other))
        *config = other;
    return true;
}

/* One network from the modules of one part of the file: those whose names begin alike. */
static bool find_part(struct gan_config *config, enum gan_role role, const struct checkpoint *c)
{
    struct modules modules;
    const char *last = "";
    for (int i = 0; i < checkpoint_count(c); i++) {
        const char *name = checkpoint_at(c, i)->name;
        const size_t length = first_part(name);
        if (length == first_part(last) && strncmp(name, last, length) == 0) continue;
        last = name;
        if (collect(&modules, c, name, length) && assemble(config, role, &modules)) return true;
    }
    return false;
}

/* A file of both networks must be taken apart first, for a generator and the discriminator behind it would make a chain
 * too. Else the whole file is the network, for a part of it may look like a smaller one. */
bool gan_find(struct gan_config *config, enum gan_role role, const struct checkpoint *c)
{
    struct modules modules;
    struct gan_config other;
    if (checkpoint_count(c) > MOST_TENSORS) return false;
    const bool in_part = find_part(config, role, c);
    if (in_part && find_part(&other, role == GAN_GENERATOR ? GAN_DISCRIMINATOR : GAN_GENERATOR, c)) return true;
    if (collect(&modules, c, "", 0) && assemble(&other, role, &modules)) {
        *config = other;
        return true;
    }
    return in_part;
}

/* ---- what is wrong ---- */

/* A tensor without the one that always stands beside it. */
static bool find_missing(const struct checkpoint *c, char *text, size_t size)
{
    static const char *const endings[] = {".bias", ".running_mean", ".running_var", ".weight"};
    static const char *const beside[] = {"weight", "weight", "weight", "running_mean"};
    for (int i = 0; i < checkpoint_count(c); i++) {
        const struct tensor *t = checkpoint_at(c, i);
        const size_t length = strlen(t->name);
        for (int k = 0; k < 4 && length < GAN_NAME_BYTES; k++) {
            char module[GAN_NAME_BYTES];
            if (!ends_with(t->name, length, endings[k]) || (k == 3 && t->rank != 1)) continue;
            snprintf(module, sizeof module, "%.*s", (int)(length - strlen(endings[k])), t->name);
            if (find_beside(c, module, beside[k])) continue;
            snprintf(text, size, "%s.%s is missing", quote(module).text, beside[k]);
            return true;
        }
    }
    return false;
}

/* Two products one after the other of which the second cannot take what the first gives, however they are read. */
static bool find_gap(const struct modules *m, char *text, size_t size)
{
    const struct module *before = NULL;
    for (int i = 0; i < m->count; i++) {
        const struct module *now = &m->list[i];
        if (now->norm) continue;
        const struct tensor *a = before ? before->weight : NULL, *b = now->weight;
        if (a && a->rank == 4 && b->rank == 4 && a->dim[0] != b->dim[0] && a->dim[0] != b->dim[1] &&
            a->dim[1] != b->dim[0] && a->dim[1] != b->dim[1]) {
            const struct quoted first = quote(before->name);
            snprintf(text, size, "between %s and %s a layer is missing", first.text, quote(now->name).text);
            return true;
        }
        before = now;
    }
    return false;
}

bool gan_fault(const struct checkpoint *c, char *text, size_t size)
{
    int products = 0, others = 0;
    struct modules modules;
    for (int i = 0; i < checkpoint_count(c); i++) {
        const int rank = checkpoint_at(c, i)->rank;
        products += rank == 4;
        others += rank == 3 || rank > 4;
    }
    if (products < 2 || others > 0 || checkpoint_count(c) > MOST_TENSORS) return false;
    return find_missing(c, text, size) || (collect(&modules, c, "", 0) && find_gap(&modules, text, size));
}

enum status gan_config_detect(struct gan_config *config, enum gan_role role, const struct checkpoint *checkpoint,
                              const char *path, struct error *err)
{
    const bool generator = role == GAN_GENERATOR;
    if (!gan_find(config, role, checkpoint))
        return fail(err, STATUS_FORMAT, "%s: holds no GAN's %s: no chain of %s that %s", path,
                    generator ? "generator" : "discriminator", generator ? "transposed convolutions" : "convolutions",
                    generator ? "ends in a picture of 1 or 3 channels" : "ends in one score");
    const enum status status = gan_settings_read(config, checkpoint, path, err);
    return status == STATUS_OK ? gan_config_measure(config, path, err) : status;
}
