/* SPDX-License-Identifier: MIT
 *
 * CLIP pairs against transformers' CLIPModel and OpenAI's own program (tests/golden/clip_pair), pictures against
 * CLIPImageProcessor, and models that are not whole.
 */
#include "clip/clip_pair.h"
#include "clip/image_preprocess.h"
#include "core/io/checkpoint_build.h"
#include "core/io/safetensors_write.h"
#include "core/nn/params.h"
#include "tests/support/golden.h"
#include "tests/support/scratch.h"
#include "tests/support/weights.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

enum { MOST_TENSORS = 128, MOST_TEXTS = 8, MOST_WIDTH = 64, SMALL_TOKENS = 512 + 1 + 2 };
static const double limit = 1e-4;
static const float logit_scale = 2.6592600f; /* ln(1 / 0.07) */

static struct scratch scratch;
static struct checkpoint *golden, *hf, *openai; /* the last two: weights of the tiny models */
static struct backend *backend;

/* ---- models ---- */

/* What a written model has otherwise than the list it comes from. */
struct change {
    const char *name; /* of a tensor; NULL: none is changed */
    const char *new_name;
    int64_t rows; /* 0: as it was; no more than there are */
    bool left_out;
};

/* Writes the tensors of `from`, of which logit_scale becomes a single number without a dimension. */
static void write_model(const char *path, const struct checkpoint *from, const struct change *changes, int count,
                        const struct safetensors_note *notes, int note_count)
{
    struct error err = {0};
    struct tensor list[MOST_TENSORS];
    int tensors = 0;
    assert_true(checkpoint_count(from) <= MOST_TENSORS);
    for (int i = 0; i < checkpoint_count(from); i++) {
        struct tensor t = *checkpoint_at(from, i);
        if (strcmp(t.name, "logit_scale") == 0)
            t = (struct tensor){.name = t.name, .dtype = DTYPE_F32, .count = 1, .data = &logit_scale};
        bool left_out = false;
        for (int j = 0; j < count; j++) {
            if (strcmp(t.name, changes[j].name) != 0) continue;
            if (changes[j].rows) t.dim[0] = changes[j].rows;
            if (changes[j].new_name) t.name = changes[j].new_name;
            left_out = changes[j].left_out;
        }
        if (!left_out) list[tensors++] = t;
    }
    const struct safetensors_file file = {.tensors = list, .count = tensors, .notes = notes, .note_count = note_count};
    if (safetensors_write(path, &file, &err) != STATUS_OK) fail_msg("%s", err.text);
}

static struct checkpoint *write_list(const char *list, enum dtype dtype)
{
    struct error err = {0};
    struct checkpoint *c = NULL;
    char path[512];
    snprintf(path, sizeof path, "%s", scratch_path(&scratch, list));
    if (weights_write_lists(path, &list, 1, dtype, &err) != STATUS_OK || checkpoint_open(&c, path, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return c;
}

static struct clip_pair *open_pair(const char *path)
{
    struct error err = {0};
    struct clip_pair *pair = NULL;
    const struct clip_pair_source source = {.backend = backend, .path = path};
    if (clip_pair_open(&pair, &source, &err) != STATUS_OK) fail_msg("%s", err.text);
    return pair;
}

/* The folder of a model as transformers writes it, or OpenAI's single file. */
static const char *model_path(const char *kind)
{
    static const char *const texts[] = {"config.json", "preprocessor_config.json"};
    if (strcmp(kind, "openai") == 0) {
        const char *path = scratch_path(&scratch, "openai.safetensors");
        write_model(path, openai, NULL, 0, NULL, 0);
        return path;
    }
    write_model(scratch_path(&scratch, "hf/model.safetensors"), hf, NULL, 0, NULL, 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char name[64], file[64];
        snprintf(name, sizeof name, "%s.%s", kind, texts[i]);
        snprintf(file, sizeof file, "hf/%s", texts[i]);
        const char *text = checkpoint_metadata(golden, name);
        assert_non_null(text);
        file_save(scratch_path(&scratch, file), text, strlen(text));
    }
    return scratch_path(&scratch, "hf");
}

/* As in tests/golden/clip_pair/make.py. */
static struct image make_picture(int width, int height, int channels)
{
    struct error err = {0};
    struct image image;
    assert_int_equal(image_create(&image, width, height, channels, &err), STATUS_OK);
    uint8_t *p = image.pixels;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++) {
                const int v = (x * (3 + c) + y * (7 - 2 * c) + (x * y >> 4) * (c + 1)) & 511;
                *p++ = (uint8_t)(v < 256 ? v : 511 - v);
            }
    return image;
}

/* ---- towers and pairs ---- */

static void check_tower(const char *kind)
{
    struct error err = {0};
    struct checkpoint *c = NULL;
    struct params *params = NULL;
    struct exec *exec = NULL;
    struct image_tower_config config;
    float got[2 * MOST_WIDTH];
    if (checkpoint_open(&c, model_path(kind), &err) != STATUS_OK) fail_msg("%s", err.text);
    if (image_tower_detect(&config, c, &err) != STATUS_OK) fail_msg("%s", err.text);
    float *want = golden_values(golden, "%s.image", kind), *pixels = golden_nhwc(golden, "%s.pixels", kind);
    const size_t count = (size_t)golden_tensor(golden, "%s.image", kind)->count;
    assert_int_equal(2 * config.projection, count);
    struct graph graph = {0};
    struct node *in = graph_input(&graph, "pictures", DTYPE_F32, SHAPE(2, config.size, config.size, 3));
    graph_output(&graph, "features", image_tower_build(&graph, &config, in));
    assert_int_equal(params_create(&params, backend, &err), STATUS_OK);
    if (params_load(params, &graph, c, &err) != STATUS_OK) fail_msg("%s", err.text);
    if (exec_create(&exec, &graph, backend, 0, &err) != STATUS_OK) fail_msg("%s", err.text);
    assert_int_equal(exec_write(exec, "pictures", pixels, &err), STATUS_OK);
    assert_int_equal(exec_run(exec, &err), STATUS_OK);
    assert_int_equal(exec_read(exec, "features", got, &err), STATUS_OK);
    golden_near(got, want, count, limit, "%s.image", kind);
    exec_destroy(exec);
    graph_clear(&graph);
    params_destroy(params);
    memory_free(pixels);
    memory_free(want);
    checkpoint_close(c);
}

static void check_picture(struct clip_pair *pair, const char *kind, double most)
{
    struct error err = {0};
    float got[MOST_WIDTH], *want = golden_values(golden, "%s.picture", kind);
    struct image picture = make_picture(53, 44, 3);
    if (clip_pair_embed_image(pair, &picture, got, &err) != STATUS_OK) fail_msg("%s", err.text);
    golden_near(got, want, clip_pair_width(pair), most, "%s.picture", kind);
    image_clear(&picture);
    memory_free(want);
}

/* Fills texts' directions and returns how many there are. */
static int check_texts(struct clip_pair *pair, const char *kind, float *got, double most)
{
    struct error err = {0};
    json_t *texts = json_loads(checkpoint_metadata(golden, "texts"), 0, NULL);
    const int count = (int)json_array_size(texts);
    const size_t width = clip_pair_width(pair);
    assert_true(count >= 5 && count <= MOST_TEXTS && width <= MOST_WIDTH);
    for (int i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(texts, (size_t)i));
        size_t left_out = 0;
        if (clip_pair_embed_text(pair, text, got + (size_t)i * width, &left_out, &err)) fail_msg("%s", err.text);
        assert_int_equal(left_out > 0, strlen(text) > 100); /* one is longer than the tower is */
    }
    float *want = golden_values(golden, "%s.directions", kind);
    golden_near(got, want, (size_t)count * width, most, "%s.directions", kind);
    memory_free(want);
    json_decref(texts);
    return count;
}

static void check_scores(struct clip_pair *pair, const char *kind, const float *texts, int count)
{
    struct error err = {0};
    struct clip_scores scores;
    float *pictures = golden_values(golden, "%s.image_directions", kind);
    float *logits = golden_values(golden, "%s.logits", kind);
    float *probabilities = golden_values(golden, "%s.probabilities", kind);
    const size_t n = 2 * (size_t)count;
    if (clip_pair_compare(pair, (struct clip_set){pictures, 2}, (struct clip_set){texts, count}, &scores, &err))
        fail_msg("%s", err.text);
    golden_near(scores.logits, logits, n, limit, "%s.logits", kind);
    golden_near(scores.probabilities, probabilities, n, limit, "%s.probabilities", kind);
    for (size_t i = 0; i < n; i++) logits[i] *= 0.07f;
    golden_near(scores.cosines, logits, n, limit, "%s.cosines", kind);
    clip_scores_clear(&scores);
    memory_free(probabilities);
    memory_free(logits);
    memory_free(pictures);
}

static void check_pair(const char *kind)
{
    float texts[MOST_TEXTS * MOST_WIDTH];
    check_tower(kind);
    struct clip_pair *pair = open_pair(model_path(kind));
    check_picture(pair, kind, limit);
    const int count = check_texts(pair, kind, texts, limit);
    check_scores(pair, kind, texts, count);
    clip_pair_close(pair);
}

static void hugging_face_folders(void **state)
{
    (void)state;
    check_pair("hf");
    check_pair("gelu");
}

static void openai_files(void **state)
{
    (void)state;
    check_pair("openai");
}

/* OpenAI publishes half precision. Without its configuration Hugging Face's file has heads of 64, so it is not here. */
static void half_precision(void **state)
{
    (void)state;
    float texts[MOST_TEXTS * MOST_WIDTH];
    struct checkpoint *half = write_list("clip-openai", DTYPE_F16);
    const char *path = scratch_path(&scratch, "half.safetensors");
    write_model(path, half, NULL, 0, NULL, 0);
    struct clip_pair *pair = open_pair(path);
    check_picture(pair, "openai", 5e-3);
    check_texts(pair, "openai", texts, 5e-3);
    clip_pair_close(pair);
    checkpoint_close(half);
}

static void activation_by_hand(void **state)
{
    (void)state;
    struct error err = {0};
    struct clip_pair *pair = NULL;
    float got[MOST_TEXTS * MOST_WIDTH];
    char path[512];
    snprintf(path, sizeof path, "%s", model_path("gelu"));
    struct clip_pair_source source = {.backend = backend, .path = path, .activation = "quick_gelu"};
    assert_int_equal(clip_pair_open(&pair, &source, &err), STATUS_OK);
    check_texts(pair, "hf", got, limit);
    clip_pair_close(pair);
    source.activation = "relu";
    assert_int_equal(clip_pair_open(&pair, &source, &err), STATUS_ARGUMENT);
    assert_string_equal(err.text, "'relu' is not an activation of a CLIP model; quick_gelu and gelu are");
    assert_null(pair);
}

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *old, *fresh; /* NULL: it keeps its name */
    } cases[] = {
        {"token_embedding.weight", "cond_stage_model.model.token_embedding.weight"},
        {"positional_embedding", "cond_stage_model.model.positional_embedding"},
        {"transformer.resblocks.11.ln_1.bias", "cond_stage_model.model.transformer.resblocks.11.ln_1.bias"},
        {"module.ln_final.weight", "cond_stage_model.model.ln_final.weight"},
        {"module.text_projection", "cond_stage_model.model.text_projection"},
        {"module.visual.proj", "visual.proj"},
        {"module.logit_scale", "logit_scale"},
        {"text_model.final_layer_norm.bias", "cond_stage_model.transformer.text_model.final_layer_norm.bias"},
        {"text_projection.weight", NULL},
        {"positional_embedding.weight", NULL},
        {"visual.positional_embedding", NULL},
        {"visual.transformer.resblocks.0.ln_1.bias", NULL},
        {"vision_model.embeddings.class_embedding", NULL},
        {"logit_scale", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[CHECKPOINT_NAME_BYTES];
        const bool renamed = clip_pair_rename(NULL, cases[i].old, out);
        assert_int_equal(renamed, cases[i].fresh != NULL);
        if (renamed) assert_string_equal(out, cases[i].fresh);
    }
    char endless[CHECKPOINT_NAME_BYTES] = "ln_final.", out[CHECKPOINT_NAME_BYTES];
    memset(endless + strlen(endless), 'x', sizeof endless - 1 - strlen(endless));
    assert_false(clip_pair_rename(NULL, endless, out));
}

/* Tensors without data. */
static struct checkpoint *checkpoint_of_shapes(const struct tensor *list, int count)
{
    struct error err = {0};
    struct checkpoint *c = memory_alloc(sizeof *c);
    assert_non_null(c);
    for (int i = 0; i < count; i++) assert_int_equal(checkpoint_add(c, "", &list[i], &err), STATUS_OK);
    assert_int_equal(checkpoint_finish(c, "shapes", &err), STATUS_OK);
    return c;
}

/* What is in no tensor is as published: see image_tower.h. */
static void published_sizes(void **state)
{
    (void)state;
    static const struct {
        int patch, grid, width, layers, projection, heads;
        enum unary activation;
    } cases[] = {
        {32, 7, 768, 12, 512, 12, UNARY_QUICK_GELU},   /* ViT-B/32 */
        {14, 16, 1024, 24, 768, 16, UNARY_QUICK_GELU}, /* ViT-L/14 */
        {14, 24, 1024, 24, 768, 16, UNARY_QUICK_GELU}, /* ViT-L/14 at 336 pixels */
        {14, 16, 1280, 32, 1024, 16, UNARY_GELU},      /* OpenCLIP's ViT-H/14 */
        {14, 16, 1408, 40, 1024, 16, UNARY_GELU},      /* ViT-g/14 */
        {14, 16, 1664, 48, 1280, 16, UNARY_GELU},      /* and bigG */
    };
    enum { LAYER_NAMES = 48 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t width = cases[i].width, patch = cases[i].patch, places = cases[i].grid * cases[i].grid + 1;
        char layers[LAYER_NAMES][64];
        struct tensor list[4 + LAYER_NAMES] = {
            {.name = "visual.conv1.weight", .rank = 4, .dim = {width, 3, patch, patch}},
            {.name = "visual.positional_embedding", .rank = 2, .dim = {places, width}},
            {.name = "visual.proj", .rank = 2, .dim = {width, cases[i].projection}},
            {.name = "visual.transformer.resblocks.0.mlp.c_fc.weight", .rank = 2, .dim = {4 * width, width}},
        };
        for (int j = 0; j < cases[i].layers; j++) {
            snprintf(layers[j], sizeof layers[j], "visual.transformer.resblocks.%d.ln_1.weight", j);
            list[4 + j] = (struct tensor){.name = layers[j], .rank = 1, .dim = {width}};
        }
        struct error err = {0};
        struct checkpoint *c = checkpoint_of_shapes(list, 4 + cases[i].layers);
        struct image_tower_config config;
        if (image_tower_detect(&config, c, &err) != STATUS_OK) fail_msg("%s", err.text);
        assert_int_equal(config.size, cases[i].grid * patch);
        assert_int_equal(config.patch, patch);
        assert_int_equal(config.width, width);
        assert_int_equal(config.projection, cases[i].projection);
        assert_int_equal(config.blocks.layers, cases[i].layers);
        assert_int_equal(config.blocks.mlp_width, 4 * width);
        assert_int_equal(config.blocks.heads, cases[i].heads);
        assert_int_equal(config.blocks.activation, cases[i].activation);
        checkpoint_close(c);
    }
}

/* ---- pictures ---- */

/* Floats back to levels, which are Pillow's. */
static void check_levels(const float *got, const float *want, size_t n, const char *name)
{
    const struct image_preprocess usual = image_preprocess_default(1);
    for (size_t i = 0; i < n; i++) {
        const double levels = fabs((double)got[i] - (double)want[i]) * (double)usual.deviation[i % 3] * 255;
        if (!(levels <= 1e-3)) fail_msg("%s: value %zu is %g levels off", name, i, levels);
    }
}

static void pictures(void **state)
{
    (void)state;
    enum { EVERY = 16 }; /* rows that are kept of a large one */
    json_t *cases = json_loads(checkpoint_metadata(golden, "pictures"), 0, NULL), *one;
    const char *name;
    int checked = 0;
    json_object_foreach (cases, name, one) {
        struct error err = {0};
        const int size = (int)json_integer_value(json_object_get(one, "size"));
        const struct image_preprocess how = image_preprocess_default(size);
        struct image picture = make_picture((int)json_integer_value(json_object_get(one, "width")),
                                            (int)json_integer_value(json_object_get(one, "height")),
                                            (int)json_integer_value(json_object_get(one, "channels")));
        const size_t row = (size_t)size * 3, rows = (size_t)size;
        float *got = memory_alloc(rows * row * sizeof *got), *want = golden_values(golden, "picture.%s", name);
        if (image_preprocess(got, &picture, &how, &err) != STATUS_OK) fail_msg("%s", err.text);
        const size_t count = (size_t)golden_tensor(golden, "picture.%s", name)->count;
        const size_t every = count == rows * row ? 1 : EVERY;
        assert_int_equal(count, rows / every * row);
        for (size_t y = 0; y < rows; y += every) check_levels(got + y * row, want + y / every * row, row, name);
        image_clear(&picture);
        memory_free(got);
        memory_free(want);
        checked++;
    }
    assert_true(checked >= 10);
    json_decref(cases);
}

static void oblong_picture(void **state)
{
    (void)state;
    struct error err = {0};
    float out[1];
    struct image picture = make_picture(IMAGE_MAX_SIDE, 1, 1);
    const struct image_preprocess how = image_preprocess_default(224);
    assert_int_equal(image_preprocess(out, &picture, &how, &err), STATUS_ARGUMENT);
    assert_string_equal(err.text,
                        "the picture is 16384 x 1; with its shorter side made 224 pixels its longer one would "
                        "be more than 16384");
    image_clear(&picture);
}

/* ---- small models, whole and not ---- */

static const struct safetensors_note small_notes[] = {
    {"limn.merges", "a b</w>\n"},
    {"limn.pack", "{\"text\": {\"heads\": 4}, \"image\": {\"heads\": 6, \"image_std\": [0.5, 0.5, 0.5]}}"},
};
static const struct change few_tokens = {.name = "text_model.embeddings.token_embedding.weight", .rows = SMALL_TOKENS};

/* Writes a model of few tokens, its pack's description and one tensor as given, and says what became of opening it. */
static enum status open_small(struct clip_pair **pair, struct change change, const char *pack, struct error *err)
{
    struct safetensors_note notes[] = {small_notes[0], small_notes[1]};
    if (pack) notes[1].value = pack;
    const struct change changes[] = {few_tokens, change};
    const char *path = scratch_path(&scratch, "small.safetensors");
    write_model(path, hf, changes, change.name ? 2 : 1, notes, 2);
    const struct clip_pair_source source = {.backend = backend, .path = path};
    *err = (struct error){0};
    return clip_pair_open(pair, &source, err);
}

static void refuse(struct change change, const char *pack, enum status status, const char *sentence)
{
    struct error err;
    struct clip_pair *pair = NULL;
    char whole[1024];
    snprintf(whole, sizeof whole, "%s: %s", scratch_path(&scratch, "small.safetensors"), sentence);
    assert_int_equal(open_small(&pair, change, pack, &err), status);
    assert_string_equal(err.text, whole);
    assert_null(pair);
}

static void not_whole(void **state)
{
    (void)state;
    const struct change none = {0};
    static const char position[] = "vision_model.embeddings.position_embedding.weight";
    static const char patch[] = "vision_model.embeddings.patch_embedding.weight";
    refuse((struct change){.name = patch, .left_out = true}, NULL, STATUS_FORMAT,
           "there is no image tower here: neither 'vision_model.embeddings.patch_embedding.weight' nor "
           "'visual.conv1.weight' is present");
    refuse((struct change){.name = patch, .new_name = "visual.layer1.0.conv1.weight"}, NULL, STATUS_UNSUPPORTED,
           "the image tower is a ResNet; vision transformers are supported");
    refuse((struct change){.name = position, .left_out = true}, NULL, STATUS_FORMAT,
           "the image tower is not whole: 'vision_model.embeddings.position_embedding.weight' is missing");
    refuse((struct change){.name = position, .rows = 16}, NULL, STATUS_FORMAT,
           "the image tower has 16 positions for patches of 8 pixels; one for the class and n x n for a picture of at "
           "most 2048 pixels a side are allowed");
    refuse((struct change){.name = position, .rows = 1}, NULL, STATUS_FORMAT,
           "the image tower has 1 positions for patches of 8 pixels; one for the class and n x n for a picture of at "
           "most 2048 pixels a side are allowed");
    refuse((struct change){.name = "visual_projection.weight", .rows = 47}, NULL, STATUS_FORMAT,
           "features of pictures are 47 wide and those of texts 48; they must be the same");
    refuse((struct change){.name = "text_projection.weight", .left_out = true}, NULL, STATUS_FORMAT,
           "features of pictures are 48 wide and those of texts 0; they must be the same");
    refuse((struct change){.name = "vision_model.encoder.layers.0.layer_norm1.weight", .left_out = true}, NULL,
           STATUS_FORMAT, "the image tower has 0 layers ('vision_model.encoder.layers.N'); 1 to 256 are allowed");
    refuse(none, "{\"image\": {\"heads\": 7}}", STATUS_FORMAT,
           "the image tower is 96 wide; 7 heads do not divide that");
    refuse(none, "{\"image\": {\"activation\": \"relu\"}}", STATUS_UNSUPPORTED,
           "limn.pack: the image tower's activation is 'relu'; quick_gelu and gelu are supported");
    refuse(none, "{\"image\": {\"image_std\": [1, 0, 1]}}", STATUS_FORMAT,
           "limn.pack: 'image_std' must be three numbers from 0.001 to 16");
    refuse(none, "{\"image\": {\"image_mean\": [0.5, 0.5]}}", STATUS_FORMAT,
           "limn.pack: 'image_mean' must be three numbers from 0 to 16");
    refuse((struct change){.name = few_tokens.name, .rows = SMALL_TOKENS - 1}, NULL, STATUS_FORMAT,
           "the text encoder has states for 514 tokens, but its tokenizer makes 515");
}

static void empty_folder(void **state)
{
    (void)state;
    struct error err = {0};
    struct checkpoint *c = NULL;
    char sentence[1024];
    file_save(scratch_path(&scratch, "empty/config.json"), "{}", 2);
    const char *path = scratch_path(&scratch, "empty");
    snprintf(sentence, sizeof sentence, "%s: has no weights in model.safetensors or pytorch_model.bin", path);
    assert_int_equal(checkpoint_open(&c, path, &err), STATUS_FORMAT);
    assert_string_equal(err.text, sentence);
}

static void without_scale(void **state)
{
    (void)state;
    struct error err;
    struct clip_pair *pair = NULL;
    struct clip_scores scores;
    const struct change change = {.name = "logit_scale", .left_out = true};
    assert_int_equal(open_small(&pair, change, NULL, &err), STATUS_OK);
    float picture[MOST_WIDTH] = {1}, texts[2 * MOST_WIDTH] = {1};
    const struct clip_set a = {picture, 1}, b = {texts, 2};
    assert_int_equal(clip_pair_compare(pair, a, b, &scores, &err), STATUS_FORMAT);
    assert_string_equal(err.text, "the checkpoint does not fit the model: 'logit_scale' [] is missing");
    assert_null(scores.cosines);
    clip_pair_close(pair);
}

static void texts_of_any_length(void **state)
{
    (void)state;
    struct error err;
    struct clip_pair *pair = NULL;
    char text[400];
    float longest[MOST_WIDTH], cut[MOST_WIDTH], shorter[MOST_WIDTH];
    size_t left_out = 9;
    assert_int_equal(open_small(&pair, (struct change){0}, NULL, &err), STATUS_OK);
    for (size_t i = 0; i < sizeof text; i++) text[i] = i % 3 == 0 ? 'a' : i % 3 == 1 ? 'b' : ' ';
    text[75 * 3 - 1] = '\0'; /* 75 words of one token: as many as there is room for */
    assert_int_equal(clip_pair_embed_text(pair, text, longest, &left_out, &err), STATUS_OK);
    assert_int_equal(left_out, 0);
    text[75 * 3 - 1] = ' ';
    text[78 * 3 - 1] = '\0';
    assert_int_equal(clip_pair_embed_text(pair, text, cut, &left_out, &err), STATUS_OK);
    assert_int_equal(left_out, 3);
    assert_memory_equal(longest, cut, 48 * sizeof(float));
    text[74 * 3 - 1] = '\0';
    assert_int_equal(clip_pair_embed_text(pair, text, shorter, NULL, &err), STATUS_OK);
    assert_memory_not_equal(longest, shorter, 48 * sizeof(float));
    assert_int_equal(clip_pair_embed_text(pair, "a\xff", shorter, NULL, &err), STATUS_ARGUMENT);
    assert_string_equal(err.text, "the prompt is not valid UTF-8: byte 0xff at offset 1");
    clip_pair_close(pair);
}

/* A picture and a text in one order or the other, with a limit. Nothing but the limit may stand in the way. */
static bool fits(size_t most, bool text_first)
{
    struct error err = {0};
    struct clip_pair *pair = NULL;
    float direction[MOST_WIDTH];
    struct image picture = make_picture(32, 32, 3);
    const struct clip_pair_source source = {
        .backend = backend, .path = scratch_path(&scratch, "small.safetensors"), .limit = most};
    assert_int_equal(clip_pair_open(&pair, &source, &err), STATUS_OK);
    enum status status = STATUS_OK;
    for (int i = 0; i < 2 && status == STATUS_OK; i++)
        status = (i == 0) == text_first ? clip_pair_embed_text(pair, "ab", direction, NULL, &err)
                                        : clip_pair_embed_image(pair, &picture, direction, &err);
    if (status != STATUS_OK) assert_int_equal(status, STATUS_LIMIT);
    clip_pair_close(pair);
    image_clear(&picture);
    return status == STATUS_OK;
}

static size_t least_limit(bool text_first)
{
    size_t low = 1, high = 64 << 20; /* too little, and enough */
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        *(fits(middle, text_first) ? &high : &low) = middle;
    }
    return high;
}

/* Weights and both runs count, so it does not matter which comes first. */
static void memory_limits(void **state)
{
    (void)state;
    struct error err;
    struct clip_pair *pair = NULL;
    assert_int_equal(open_small(&pair, (struct change){0}, NULL, &err), STATUS_OK);
    clip_pair_close(pair);
    const size_t least = least_limit(false);
    assert_int_equal(least, least_limit(true));
    assert_in_range(least, 1 << 20, 32 << 20);
}

static void no_memory(void **state)
{
    (void)state;
    struct error err;
    struct clip_pair *pair = NULL;
    assert_int_equal(open_small(&pair, (struct change){0}, NULL, &err), STATUS_OK);
    clip_pair_close(pair);
    struct image picture = make_picture(40, 33, 3);
    const struct clip_pair_source source = {.backend = backend, .path = scratch_path(&scratch, "small.safetensors")};
    for (uint64_t n = 1;; n++) {
        float directions[2][MOST_WIDTH];
        struct clip_scores scores = {0};
        err = (struct error){0};
        memory_fail_after(n);
        enum status status = clip_pair_open(&pair, &source, &err);
        if (status == STATUS_OK) status = clip_pair_embed_image(pair, &picture, directions[0], &err);
        if (status == STATUS_OK) status = clip_pair_embed_text(pair, "ab", directions[1], NULL, &err);
        const struct clip_set a = {directions[0], 1}, b = {directions[1], 1};
        if (status == STATUS_OK) status = clip_pair_compare(pair, a, b, &scores, &err);
        const bool over = memory_fail_after(0) < n;
        assert_int_equal(status, over ? STATUS_OK : STATUS_NO_MEMORY);
        clip_scores_clear(&scores);
        clip_pair_close(pair);
        if (over) break;
    }
    image_clear(&picture);
}

/* ---- */

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    scratch_open(&scratch);
    golden = golden_open("clip_pair/goldens.safetensors");
    hf = write_list("clip-hf", DTYPE_F32);
    openai = write_list("clip-openai", DTYPE_F32);
    return backend_open(&backend, "cpu", NULL, &err) != STATUS_OK;
}

static int tear_down(void **state)
{
    (void)state;
    backend->f->close(backend);
    checkpoint_close(openai);
    checkpoint_close(hf);
    checkpoint_close(golden);
    scratch_close(&scratch);
    return 0;
}

/* Another model with this pair's text tower: the same numbers, also in 16 bits; not those of one that was trained on.
 */
static void whose_text_tower(void **state)
{
    (void)state;
    struct error err = {0};
    bool shares[4] = {false};
    struct checkpoint *others[4] = {write_list("clip-hf", DTYPE_F32), write_list("clip-hf", DTYPE_BF16),
                                    write_list("text-sd1", DTYPE_F32), NULL};
    char path[512];
    snprintf(path, sizeof path, "%s", scratch_path(&scratch, "moved.safetensors"));
    static const struct change moved[] = {
        {.name = "text_model.final_layer_norm.weight", .left_out = true},
        {.name = "text_model.final_layer_norm.bias", .new_name = "text_model.final_layer_norm.weight"}};
    write_model(path, hf, moved, 2, NULL, 0);
    assert_int_equal(checkpoint_open(&others[3], path, &err), STATUS_OK);
    write_model(scratch_path(&scratch, "own.safetensors"), hf, NULL, 0, &small_notes[1], 1);
    struct clip_pair *pair = open_pair(scratch_path(&scratch, "own.safetensors"));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(checkpoint_rename(others[i], clip_pair_rename, NULL, &err), STATUS_OK);
        assert_int_equal(clip_pair_shares_text(pair, others[i], &shares[i], &err), STATUS_OK);
        checkpoint_close(others[i]);
    }
    clip_pair_close(pair);
    assert_true(shares[0] && shares[1]);
    assert_false(shares[2] || shares[3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hugging_face_folders),
        cmocka_unit_test(openai_files),
        cmocka_unit_test(half_precision),
        cmocka_unit_test(activation_by_hand),
        cmocka_unit_test(names),
        cmocka_unit_test(published_sizes),
        cmocka_unit_test(pictures),
        cmocka_unit_test(oblong_picture),
        cmocka_unit_test(not_whole),
        cmocka_unit_test(without_scale),
        cmocka_unit_test(empty_folder),
        cmocka_unit_test(memory_limits),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(texts_of_any_length),
        cmocka_unit_test(whose_text_tower),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
