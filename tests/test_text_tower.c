/* SPDX-License-Identifier: MIT
 *
 * Text towers against transformers' (tests/golden/README.md), prompts to states, and checkpoints that are not whole.
 */
#include "clip/prompt.h"
#include "clip/text_encoder.h"
#include "core/io/safetensors_write.h"
#include "tests/support/golden.h"
#include "tests/support/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

enum { WIDTH = 128, LENGTH = 77, MOST_TENSORS = 64 };
static const double limit = 1e-4;
static const char sd1_path[] = BUILD_DIR "/text_tower-sd1.safetensors",
                  sd2_path[] = BUILD_DIR "/text_tower-sd2.safetensors",
                  hf_path[] = BUILD_DIR "/text_tower-hf.safetensors",
                  small_path[] = BUILD_DIR "/text_tower-small.safetensors";

static struct checkpoint *open_checkpoint(const char *path)
{
    struct error err = {0};
    struct checkpoint *c = NULL;
    if (checkpoint_open(&c, path, &err) != STATUS_OK) fail_msg("%s", err.text);
    return c;
}

/* A checkpoint with a place for its weights. */
struct model {
    struct checkpoint *checkpoint;
    struct backend *backend;
    struct params *params;
};

static struct model open_model(const char *path)
{
    struct error err = {0};
    struct model m = {.checkpoint = open_checkpoint(path)};
    assert_int_equal(backend_open(&m.backend, "cpu", NULL, &err), STATUS_OK);
    assert_int_equal(params_create(&m.params, m.backend, &err), STATUS_OK);
    return m;
}

static void close_model(struct model *m)
{
    params_destroy(m->params);
    m->backend->f->close(m->backend);
    checkpoint_close(m->checkpoint);
}

static struct text_encoder *make_encoder(const struct model *m)
{
    struct error err = {0};
    struct text_encoder *e = NULL;
    const struct text_source source = {m->backend, m->params, m->checkpoint, .limit = 0};
    if (text_encoder_create(&e, &source, &err) != STATUS_OK) fail_msg("%s", err.text);
    return e;
}

/* ---- towers ---- */

static void check_tower(const char *path, const char *golden, const char *states, int clip_skip, int layers)
{
    struct error err = {0};
    struct model m = open_model(path);
    struct checkpoint *g = golden_open(golden);
    const struct tensor *ids = golden_tensor(g, "ids");
    float *want = golden_values(g, "%s", states), *got = memory_alloc(3 * LENGTH * WIDTH * sizeof *got);
    struct text_config config;
    assert_int_equal(text_config_detect(&config, m.checkpoint, &err), STATUS_OK);
    assert_int_equal(text_tower_layers(&config, clip_skip), layers);
    struct graph graph = {0};
    struct exec *exec = NULL;
    struct node *in = graph_input(&graph, "ids", DTYPE_I32, SHAPE(3, LENGTH));
    graph_output(&graph, "states", text_tower_build(&graph, &config, in, clip_skip));
    if (params_load(m.params, &graph, m.checkpoint, &err) != STATUS_OK) fail_msg("%s", err.text);
    if (exec_create(&exec, &graph, m.backend, 0, &err) != STATUS_OK) fail_msg("%s", err.text);
    assert_int_equal(exec_write(exec, "ids", ids->data, &err), STATUS_OK);
    assert_int_equal(exec_run(exec, &err), STATUS_OK);
    assert_int_equal(exec_read(exec, "states", got, &err), STATUS_OK);
    golden_near(got, want, 3 * LENGTH * WIDTH, limit, "%s %s, clip skip %d", golden, states, clip_skip);
    exec_destroy(exec);
    graph_clear(&graph);
    memory_free(want);
    memory_free(got);
    checkpoint_close(g);
    close_model(&m);
}

static void test_sd1(void **state)
{
    (void)state;
    check_tower(sd1_path, "text-sd1.safetensors", "last", 0, 3);
    check_tower(sd1_path, "text-sd1.safetensors", "last", 1, 3);
    check_tower(sd1_path, "text-sd1.safetensors", "skip2", 2, 2);
}

static void test_sd2(void **state)
{
    (void)state;
    check_tower(sd2_path, "text-sd2.safetensors", "penultimate", 0, 2);
    check_tower(sd2_path, "text-sd2.safetensors", "penultimate", 2, 2);
}

/* ---- the same SD 2.x tower as diffusers saves it ---- */

/* A piece of an OpenCLIP tensor under its name in a folder: `rows` of three parts, or all of it if part is -1. */
static void add_piece(struct tensor *list, int *count, struct arena *names, const struct tensor *whole, int part,
                      const char *name)
{
    struct tensor piece = *whole;
    piece.name = arena_printf(names, "text_encoder/text_model.%s", name);
    if (part >= 0) {
        piece.dim[0] /= 3;
        piece.count /= 3;
        piece.data = (const char *)whole->data + (size_t)part * (size_t)piece.count * sizeof(float);
    }
    assert_true(*count < MOST_TENSORS);
    list[(*count)++] = piece;
}

static void add_layer(struct tensor *list, int *count, struct arena *names, const struct checkpoint *c, int layer)
{
    static const struct {
        const char *from, *to;
        int part;
    } map[] = {
        {"ln_1.weight", "layer_norm1.weight", -1},
        {"ln_1.bias", "layer_norm1.bias", -1},
        {"ln_2.weight", "layer_norm2.weight", -1},
        {"ln_2.bias", "layer_norm2.bias", -1},
        {"attn.in_proj_weight", "self_attn.q_proj.weight", 0},
        {"attn.in_proj_bias", "self_attn.q_proj.bias", 0},
        {"attn.in_proj_weight", "self_attn.k_proj.weight", 1},
        {"attn.in_proj_bias", "self_attn.k_proj.bias", 1},
        {"attn.in_proj_weight", "self_attn.v_proj.weight", 2},
        {"attn.in_proj_bias", "self_attn.v_proj.bias", 2},
        {"attn.out_proj.weight", "self_attn.out_proj.weight", -1},
        {"attn.out_proj.bias", "self_attn.out_proj.bias", -1},
        {"mlp.c_fc.weight", "mlp.fc1.weight", -1},
        {"mlp.c_fc.bias", "mlp.fc1.bias", -1},
        {"mlp.c_proj.weight", "mlp.fc2.weight", -1},
        {"mlp.c_proj.bias", "mlp.fc2.bias", -1},
    };
    for (size_t i = 0; i < sizeof map / sizeof *map; i++) {
        char name[128];
        snprintf(name, sizeof name, "encoder.layers.%d.%s", layer, map[i].to);
        add_piece(list, count, names,
                  golden_tensor(c, "cond_stage_model.model.transformer.resblocks.%d.%s", layer, map[i].from),
                  map[i].part, name);
    }
}

static bool rename_text(void *context, const char *old, char out[CHECKPOINT_NAME_BYTES])
{
    (void)context;
    return text_rename(old, out);
}

static void test_sd2_folder(void **state)
{
    (void)state;
    struct error err = {0};
    struct arena names = {0};
    struct tensor list[MOST_TENSORS];
    int count = 0;
    struct checkpoint *c = open_checkpoint(sd2_path);
    add_piece(list, &count, &names, golden_tensor(c, "cond_stage_model.model.token_embedding.weight"), -1,
              "embeddings.token_embedding.weight");
    add_piece(list, &count, &names, golden_tensor(c, "cond_stage_model.model.positional_embedding"), -1,
              "embeddings.position_embedding.weight");
    add_piece(list, &count, &names, golden_tensor(c, "cond_stage_model.model.ln_final.weight"), -1,
              "final_layer_norm.weight");
    add_piece(list, &count, &names, golden_tensor(c, "cond_stage_model.model.ln_final.bias"), -1,
              "final_layer_norm.bias");
    for (int layer = 0; layer < 2; layer++) add_layer(list, &count, &names, c, layer);
    const struct safetensors_note note = {"text_encoder/config.json",
                                          "{\"num_attention_heads\": 2, \"hidden_act\": \"gelu\"}"};
    const struct safetensors_file file = {.tensors = list, .count = count, .notes = &note, .note_count = 1};
    assert_int_equal(safetensors_write(hf_path, &file, &err), STATUS_OK);
    checkpoint_close(c);
    arena_clear(&names);

    struct model m = open_model(hf_path);
    assert_int_equal(checkpoint_rename(m.checkpoint, rename_text, NULL, &err), STATUS_OK);
    struct text_encoder *e = make_encoder(&m);
    assert_true(text_encoder_config(e)->pad_zero);
    struct checkpoint *g = golden_open("prompts.safetensors");
    float *want = golden_values(g, "sd2.weight.states");
    struct text_states got;
    assert_int_equal(text_encoder_encode(e, "(a red:1.3) apple", &(struct text_request){0}, &got, &err), STATUS_OK);
    golden_near(got.values, want, LENGTH * WIDTH, limit, "SD 2.x from a folder");
    text_states_clear(&got);
    memory_free(want);
    checkpoint_close(g);
    text_encoder_destroy(e);
    close_model(&m);
    remove(hf_path);
}

static void test_rename(void **state)
{
    (void)state;
    static const struct {
        const char *old, *fresh; /* NULL: it keeps its name */
    } cases[] = {
        {"text_encoder/text_model.encoder.layers.3.mlp.fc1.bias",
         "cond_stage_model.transformer.text_model.encoder.layers.3.mlp.fc1.bias"},
        {"text_encoder/final_layer_norm.bias", "cond_stage_model.transformer.text_model.final_layer_norm.bias"},
        {"cond_stage_model.transformer.embeddings.position_embedding.weight",
         "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight"},
        {"text_model.final_layer_norm.weight", "cond_stage_model.transformer.text_model.final_layer_norm.weight"},
        {"cond_stage_model.transformer.text_model.final_layer_norm.weight", NULL},
        {"cond_stage_model.model.ln_final.weight", NULL},
        {"text_encoder/text_projection.weight", NULL},
        {"text_encoder_2/text_model.final_layer_norm.bias", NULL},
        {"encoder.conv_in.weight", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[CHECKPOINT_NAME_BYTES];
        const bool renamed = text_rename(cases[i].old, out);
        assert_int_equal(renamed, cases[i].fresh != NULL);
        if (renamed) assert_string_equal(out, cases[i].fresh);
    }
    char endless[CHECKPOINT_NAME_BYTES] = "text_encoder/encoder.", out[CHECKPOINT_NAME_BYTES];
    memset(endless + strlen(endless), 'x', sizeof endless - 1 - strlen(endless));
    assert_false(text_rename(endless, out));
}

/* ---- prompts to states ---- */

static void test_prompts(void **state)
{
    (void)state;
    struct checkpoint *g = golden_open("prompts.safetensors");
    json_t *cases = json_loads(checkpoint_metadata(g, "cases"), 0, NULL), *one;
    for (int kind = 1; kind <= 2; kind++) {
        struct model m = open_model(kind == 1 ? sd1_path : sd2_path);
        struct text_encoder *e = make_encoder(&m);
        const char *name;
        int checked = 0;
        json_object_foreach (cases, name, one) {
            if (strcmp(json_string_value(json_object_get(one, "kind")), kind == 1 ? "sd1" : "sd2") != 0) continue;
            struct error err = {0};
            struct text_states got;
            const char *prompt = json_string_value(json_object_get(one, "prompt"));
            float *want = golden_values(g, "%s.states", name);
            const size_t n = (size_t)golden_tensor(g, "%s.states", name)->count;
            if (text_encoder_encode(e, prompt, &(struct text_request){0}, &got, &err)) fail_msg("%s", err.text);
            assert_int_equal(got.tokens * got.width, n);
            golden_near(got.values, want, n, limit, "%s", name);
            text_states_clear(&got);
            memory_free(want);
            checked++;
        }
        assert_true(checked >= 2);
        text_encoder_destroy(e);
        close_model(&m);
    }
    json_decref(cases);
    checkpoint_close(g);
}

/* ---- a small tower with its own merges, heads and length ---- */

enum { SMALL_WIDTH = 24, SMALL_LENGTH = 8, SMALL_LAYERS = 3, SMALL_TOKENS = 512 + 1 + 2 };

static void small_fill(void *context, int i, int64_t first, int64_t n, void *out)
{
    const struct tensor *t = (const struct tensor *)context + i;
    weights_fill(out, t->name, t->rank, t->dim, first, n);
}

static void add_small(struct tensor *list, int *count, struct arena *names, const char *name, int64_t rows,
                      int64_t columns)
{
    assert_true(*count < MOST_TENSORS);
    list[(*count)++] = (struct tensor){
        .name = arena_printf(names, "cond_stage_model.transformer.text_model.%s", name),
        .dtype = DTYPE_F32,
        .rank = columns ? 2 : 1,
        .dim = {rows, columns},
    };
}

static void write_small(const char *pack)
{
    static const struct {
        const char *name;
        int rows, columns;
    } layer[] = {
        {"layer_norm1", SMALL_WIDTH, 0},
        {"layer_norm2", SMALL_WIDTH, 0},
        {"self_attn.q_proj", SMALL_WIDTH, SMALL_WIDTH},
        {"self_attn.k_proj", SMALL_WIDTH, SMALL_WIDTH},
        {"self_attn.v_proj", SMALL_WIDTH, SMALL_WIDTH},
        {"self_attn.out_proj", SMALL_WIDTH, SMALL_WIDTH},
        {"mlp.fc1", 2 * SMALL_WIDTH, SMALL_WIDTH},
        {"mlp.fc2", SMALL_WIDTH, 2 * SMALL_WIDTH},
    };
    struct error err = {0};
    struct arena names = {0};
    struct tensor list[MOST_TENSORS];
    int count = 0;
    add_small(list, &count, &names, "embeddings.token_embedding.weight", SMALL_TOKENS, SMALL_WIDTH);
    add_small(list, &count, &names, "embeddings.position_embedding.weight", SMALL_LENGTH, SMALL_WIDTH);
    add_small(list, &count, &names, "final_layer_norm.weight", SMALL_WIDTH, 0);
    add_small(list, &count, &names, "final_layer_norm.bias", SMALL_WIDTH, 0);
    for (int i = 0; i < SMALL_LAYERS; i++) {
        for (size_t j = 0; j < sizeof layer / sizeof *layer; j++) {
            char name[64];
            snprintf(name, sizeof name, "encoder.layers.%d.%s.weight", i, layer[j].name);
            add_small(list, &count, &names, name, layer[j].rows, layer[j].columns);
            snprintf(name, sizeof name, "encoder.layers.%d.%s.bias", i, layer[j].name);
            add_small(list, &count, &names, name, layer[j].rows, 0);
        }
    }
    const struct safetensors_note notes[] = {{"limn.merges", "a b</w>\n"}, {"limn.pack", pack}};
    const struct safetensors_file file = {
        .tensors = list, .count = count, .notes = notes, .note_count = 2, .fill = small_fill, .context = list};
    assert_int_equal(safetensors_write(small_path, &file, &err), STATUS_OK);
    arena_clear(&names);
}

static struct text_states encode(struct text_encoder *e, const char *prompt, int min_chunks, enum emphasis emphasis)
{
    struct error err = {0};
    struct text_states states;
    const struct text_request request = {.min_chunks = min_chunks, .emphasis = emphasis};
    if (text_encoder_encode(e, prompt, &request, &states, &err) != STATUS_OK) fail_msg("%s", err.text);
    return states;
}

static void test_chunks(void **state)
{
    (void)state;
    write_small("{\"text\": {\"heads\": 3}}");
    struct model m = open_model(small_path);
    struct text_encoder *e = make_encoder(&m);
    assert_int_equal(text_encoder_config(e)->blocks.heads, 3);
    enum { CHUNK_BYTES = SMALL_LENGTH * SMALL_WIDTH * sizeof(float) };
    struct text_states b = encode(e, "b", 1, EMPHASIS_ORIGINAL), empty = encode(e, "", 0, EMPHASIS_ORIGINAL);
    struct text_states all = encode(e, "ab ab BREAK b", 4, EMPHASIS_ORIGINAL);
    assert_int_equal(all.chunks, 4);
    assert_int_equal(all.tokens, 4 * SMALL_LENGTH);
    assert_int_equal(all.width, SMALL_WIDTH);
    assert_int_equal(all.text_tokens, 3);
    const float *chunk = all.values + SMALL_LENGTH * SMALL_WIDTH;
    assert_memory_equal(chunk, b.values, CHUNK_BYTES); /* the same states as when it stands alone */
    assert_memory_equal(chunk + SMALL_LENGTH * SMALL_WIDTH, empty.values, CHUNK_BYTES);
    assert_memory_equal(chunk + 2 * SMALL_LENGTH * SMALL_WIDTH, empty.values, CHUNK_BYTES);
    text_states_clear(&all);
    all = encode(e, "(b:2)", 1, EMPHASIS_NONE); /* six letters */
    assert_int_equal(all.text_tokens, 5);
    text_states_clear(&all);
    text_states_clear(&empty);
    text_states_clear(&b);
    text_encoder_destroy(e);
    close_model(&m);
}

static void test_clip_skip(void **state)
{
    (void)state;
    write_small("{}");
    struct model m = open_model(small_path);
    struct text_encoder *e = make_encoder(&m);
    struct text_states states[4];
    static const int skips[] = {0, 3, 1, 3};
    struct error err = {0};
    for (int i = 0; i < 4; i++) {
        const struct text_request request = {.clip_skip = skips[i]};
        assert_int_equal(text_encoder_encode(e, "ab", &request, &states[i], &err), STATUS_OK);
    }
    const size_t bytes = SMALL_LENGTH * SMALL_WIDTH * sizeof(float);
    assert_memory_equal(states[0].values, states[2].values, bytes);
    assert_memory_equal(states[1].values, states[3].values, bytes);
    assert_memory_not_equal(states[0].values, states[1].values, bytes);
    for (int i = 0; i < 4; i++) text_states_clear(&states[i]);
    assert_int_equal(text_encoder_encode(e, "ab", &(struct text_request){.clip_skip = 4}, &states[0], &err),
                     STATUS_ARGUMENT);
    assert_string_equal(err.text, "clip skip is 4; this text encoder allows 1 to 3");
    assert_null(states[0].values);
    const struct text_config folder = {.layout = TEXT_LAYOUT_HF, .blocks.layers = 23, .missing = 1};
    assert_int_equal(text_tower_layers(&folder, 0), 23);
    assert_int_equal(text_tower_layers(&folder, 1), 0);
    assert_int_equal(text_tower_layers(&folder, 3), 22);
    assert_int_equal(text_tower_layers(&folder, -1), 0);
    const struct text_config whole = {.layout = TEXT_LAYOUT_HF, .blocks.layers = 24, .penultimate = true};
    assert_int_equal(text_tower_layers(&whole, 0), 23);
    assert_int_equal(text_tower_layers(&whole, 1), 24);
    text_encoder_destroy(e);
    close_model(&m);
}

static void test_bad_prompt(void **state)
{
    (void)state;
    write_small("{}");
    struct model m = open_model(small_path);
    struct text_encoder *e = make_encoder(&m);
    struct error err = {0};
    struct text_states states;
    assert_int_equal(text_encoder_encode(e, "a\xff", &(struct text_request){0}, &states, &err), STATUS_ARGUMENT);
    assert_string_equal(err.text, "the prompt is not valid UTF-8: byte 0xff at offset 1");
    error_clear(&err);
    /* Weights that cancel: start, end and padding stay, nothing becomes infinite. */
    states = encode(e, "(a:1000000) (b:-1000000)", 1, EMPHASIS_ORIGINAL);
    for (int i = 0; i < states.tokens * states.width; i++) assert_true(states.values[i] - states.values[i] == 0);
    text_states_clear(&states);
    text_encoder_destroy(e);
    close_model(&m);
}

static void refuse_checkpoint(const char *path, enum status status, const char *sentence)
{
    struct error err = {0};
    struct model m = open_model(path);
    struct text_encoder *e = NULL;
    const struct text_source source = {m.backend, m.params, m.checkpoint, .limit = 0};
    assert_int_equal(text_encoder_create(&e, &source, &err), status);
    assert_string_equal(err.text, sentence);
    assert_null(e);
    close_model(&m);
}

static void test_bad_checkpoints(void **state)
{
    (void)state;
    refuse_checkpoint(GOLDEN "/text-sd1.safetensors", STATUS_FORMAT,
                      "there is no text encoder here: neither "
                      "'cond_stage_model.transformer.text_model.embeddings.token_embedding.weight' nor "
                      "'cond_stage_model.model.token_embedding.weight' is present");
    write_small("{\"text\": {\"heads\": 5}}");
    refuse_checkpoint(small_path, STATUS_FORMAT, "the text encoder is 24 wide; 5 heads do not divide that");
    write_small("{\"text\": {\"heads\": -9000000000}}");
    refuse_checkpoint(small_path, STATUS_FORMAT, "the text encoder is 24 wide; 0 heads do not divide that");
    write_small("{\"text\": {\"activation\": \"relu\"}}");
    refuse_checkpoint(small_path, STATUS_UNSUPPORTED,
                      "limn.pack: the text encoder's activation is 'relu'; quick_gelu and gelu are supported");
    struct error err = {0};
    struct tensor token = {.name = "cond_stage_model.model.token_embedding.weight",
                           .dtype = DTYPE_F32,
                           .rank = 2,
                           .dim = {4, 4},
                           .data = (const float[16]){0}};
    const struct safetensors_file file = {.tensors = &token, .count = 1};
    assert_int_equal(safetensors_write(small_path, &file, &err), STATUS_OK);
    refuse_checkpoint(small_path, STATUS_FORMAT,
                      "the text encoder is not whole: 'cond_stage_model.model.positional_embedding' is missing");
    token.rank = 1;
    assert_int_equal(safetensors_write(small_path, &file, &err), STATUS_OK);
    refuse_checkpoint(small_path, STATUS_FORMAT,
                      "the text encoder's 'cond_stage_model.model.token_embedding.weight' has rank 1 and 4 elements; a "
                      "matrix of at most 1048576 x 16384 is allowed");
}

static void test_no_memory(void **state)
{
    (void)state;
    write_small("{}");
    struct model m = open_model(small_path);
    for (uint64_t n = 1;; n++) {
        struct error err = {0};
        struct params *params = NULL;
        struct text_encoder *e = NULL;
        struct text_states states = {0};
        memory_fail_after(n);
        enum status status = params_create(&params, m.backend, &err);
        const struct text_source source = {m.backend, params, m.checkpoint, .limit = 0};
        if (status == STATUS_OK) status = text_encoder_create(&e, &source, &err);
        const struct text_request request = {.min_chunks = 3};
        if (status == STATUS_OK) status = text_encoder_encode(e, "(ab:1.1) BREAK b", &request, &states, &err);
        const bool over = memory_fail_after(0) < n;
        assert_int_equal(status, over ? STATUS_OK : STATUS_NO_MEMORY);
        text_states_clear(&states);
        text_encoder_destroy(e);
        params_destroy(params);
        if (over) break;
    }
    close_model(&m);
}

static int write_models(void **state)
{
    (void)state;
    struct error err = {0};
    return weights_write_lists(sd1_path, (const char *[]){"text-sd1"}, 1, DTYPE_F32, &err) != STATUS_OK ||
           weights_write_lists(sd2_path, (const char *[]){"text-sd2"}, 1, DTYPE_F32, &err) != STATUS_OK;
}

static int remove_models(void **state)
{
    (void)state;
    remove(sd1_path);
    remove(sd2_path);
    remove(small_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sd1),       cmocka_unit_test(test_sd2),        cmocka_unit_test(test_sd2_folder),
        cmocka_unit_test(test_rename),    cmocka_unit_test(test_prompts),    cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_clip_skip), cmocka_unit_test(test_bad_prompt), cmocka_unit_test(test_bad_checkpoints),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, write_models, remove_models);
}
