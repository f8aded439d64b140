/* SPDX-License-Identifier: MIT
 *
 * The text in a picture: written in the layout of the AUTOMATIC1111 web UI and read back, also by the web UI's own
 * regular expression (modules/infotext_utils.py), which stands here as it stands there.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "core/base/memory.h"
#include "core/io/image.h"
#include "include/limn.h"
#include "pipeline/infotext.h"
#include "pipeline/sha256.h"

#include <pcre2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct limn_request base = {
    .prompt = "a red apple",
    .negative = "",
    .width = 512,
    .height = 768,
    .steps = 20,
    .cfg = 7.5F,
    .seed = 7,
    .rng = "philox",
};

/* The caller frees the text with memory_free. */
static char *write_text(const struct limn_request *request)
{
    struct error err = {0};
    char *text = NULL;
    const struct infotext infotext = {
        .request = request,
        .sampler = "DPM++ 2M",
        .schedule = "Karras",
        .model = "my, model: one",
        .model_hash = "0123456789",
        .vae = "a: b",
    };
    assert_int_equal(infotext_create(&text, &infotext, &err), STATUS_OK);
    return text;
}

static struct limn_recipe *read_text(const char *text)
{
    struct limn_error error = {0};
    struct limn_recipe *recipe = NULL;
    if (limn_recipe_parse(&recipe, text, NULL, &error) != LIMN_OK) fail_msg("%s", error.text);
    return recipe;
}

static void test_layout(void **state)
{
    (void)state;
    struct limn_request request = base;
    request.negative = "blurry, dull";
    request.subseed = 9;
    request.subseed_strength = 0.25F;
    request.clip_skip = 2;
    char *text = write_text(&request);
    assert_string_equal(
        text, "a red apple\n"
              "Negative prompt: blurry, dull\n"
              "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 7, "
              "Size: 512x768, Model hash: 0123456789, Model: \"my, model: one\", VAE: \"a: b\", Variation seed: 9, "
              "Variation seed strength: 0.25, Clip skip: 2, RNG: NV, Version: limn " LIMN_VERSION);
    memory_free(text);
}

/* Values that break a careless writer or reader; each must come back exactly. */
static const char *const prompts[] = {
    "",
    "x",
    "a red apple, x, Seed: 99, Steps: 1",
    "Steps: 3, Sampler: Euler, CFG scale: 1, Seed: 5, Size: 8x8",
    "two\nlines",
    "  blanks around  \n  and inside \t ",
    "one\nNegative prompt: two",
    "Negative prompt: at once",
    "quotes \"so\" and \\ backslash \\\" both",
    "(red:1.3) [blue] \\(real\\) BREAK {x} <lora:y:1>",
    "빨간 사과, 에모지 🍎",
    "ends in a line end\n",
    "\n\nbegins with two",
    "tab\there, bell\a, return\r\n",
    "a \"b: c, d\" e: f",
    "Exact prompt: \"no\", Seed: 1, Steps: 2",
};

static void test_round_trip(void **state)
{
    (void)state;
    const int count = (int)(sizeof prompts / sizeof *prompts);
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < count; k++) {
            struct limn_request request = base;
            request.prompt = prompts[i];
            request.negative = prompts[k];
            char *text = write_text(&request);
            struct limn_recipe *recipe = read_text(text);
            const struct limn_request *read = limn_recipe_request(recipe);
            assert_string_equal(read->prompt, prompts[i]);
            assert_string_equal(read->negative, prompts[k]);
            assert_int_equal(read->seed, 7);
            assert_int_equal(read->steps, 20);
            assert_string_equal(limn_recipe_field(recipe, "Model"), "my, model: one");
            limn_recipe_close(recipe);
            memory_free(text);
        }
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const float scales[] = {1, 1.1F, 7.5F, 0.1F + 6, 3.14159274F, 10, 20, 100, 12.3456789F};
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        struct limn_request request = base;
        request.cfg = scales[i];
        request.eta = 0.3F;
        request.seed = INT64_MAX;
        request.rng = "mt19937";
        char *text = write_text(&request);
        struct limn_recipe *recipe = read_text(text);
        const struct limn_request *read = limn_recipe_request(recipe);
        assert_null(strchr(limn_recipe_field(recipe, "CFG scale"), 'e')); /* 1e+01 is no whole number to others */
        assert_true(read->cfg == scales[i]);
        assert_true(read->eta == 0.3F);
        assert_true(read->seed == INT64_MAX);
        assert_true(read->width == 512 && read->height == 768);
        assert_string_equal(read->rng, "mt19937");
        limn_recipe_close(recipe);
        memory_free(text);
    }
}

/* What the web UI finds: the last line, split by its own expression. */
static void test_web_ui_reads(void **state)
{
    (void)state;
    struct limn_request request = base;
    request.prompt = "a, b: \"c\"";
    char *text = write_text(&request);
    const char *line = strrchr(text, '\n') + 1;
    int error_number;
    PCRE2_SIZE at;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR) "\\s*(\\w[\\w \\-/]+):\\s*(\"(?:\\\\.|[^\\\\\"])+\"|[^,]*)(?:,|$)",
                                     PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error_number, &at, NULL);
    assert_non_null(code);
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(code, NULL);
    static const char *const wanted[][2] = {
        {"Steps", "20"},
        {"Sampler", "DPM++ 2M"},
        {"Schedule type", "Karras"},
        {"CFG scale", "7.5"},
        {"Seed", "7"},
        {"Size", "512x768"},
        {"Model hash", "0123456789"},
        {"Model", "\"my, model: one\""},
        {"VAE", "\"a: b\""},
        {"RNG", "NV"},
        {"Version", "limn " LIMN_VERSION},
    };
    size_t start = 0, found = 0;
    while (pcre2_match(code, (PCRE2_SPTR)line, strlen(line), start, 0, match, NULL) > 0) {
        const PCRE2_SIZE *o = pcre2_get_ovector_pointer(match);
        assert_true(found < sizeof wanted / sizeof *wanted);
        assert_int_equal(o[3] - o[2], strlen(wanted[found][0]));
        assert_memory_equal(line + o[2], wanted[found][0], o[3] - o[2]);
        assert_int_equal(o[5] - o[4], strlen(wanted[found][1]));
        assert_memory_equal(line + o[4], wanted[found][1], o[5] - o[4]);
        found++;
        start = o[1];
        if (start >= strlen(line)) break;
    }
    assert_int_equal(found, sizeof wanted / sizeof *wanted);
    pcre2_match_data_free(match);
    pcre2_code_free(code);
    memory_free(text);
}

/* A text as the web UI's own documentation shows it, older names of samplers, and fields that limn does not know. */
static void test_reads_web_ui(void **state)
{
    (void)state;
    struct limn_recipe *recipe =
        read_text("girl with an artist's beret, (((eyeshadow))), detailed\n"
                  "Negative prompt: ugly, fat, [blurry]\n"
                  "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 965400086, Size: 512x512, Model hash: "
                  "45dee52b, Lora hashes: \"a: 1234, b: 5678\", Clip skip: 2, ENSD: 31337");
    const struct limn_request *request = limn_recipe_request(recipe);
    assert_string_equal(request->prompt, "girl with an artist's beret, (((eyeshadow))), detailed");
    assert_string_equal(request->negative, "ugly, fat, [blurry]");
    assert_string_equal(request->sampler, "DPM++ 2M");
    assert_string_equal(request->schedule, "karras");
    assert_true(request->seed == 965400086 && request->clip_skip == 2 && request->cfg == 7);
    assert_string_equal(limn_recipe_field(recipe, "Lora hashes"), "a: 1234, b: 5678");
    assert_null(limn_recipe_field(recipe, "b"));
    limn_recipe_close(recipe);

    recipe = read_text("x\nSteps: 3, Note: \"so\" called, Empty: \"\", Open: \"never closed, Version: 1");
    assert_string_equal(limn_recipe_field(recipe, "Note"), "\"so\" called");
    assert_string_equal(limn_recipe_field(recipe, "Empty"), "");
    assert_string_equal(limn_recipe_field(recipe, "Open"), "\"never closed");
    assert_string_equal(limn_recipe_field(recipe, "Version"), "1");
    limn_recipe_close(recipe);

    recipe = read_text("only a prompt, with: a colon");
    assert_string_equal(limn_recipe_request(recipe)->prompt, "only a prompt, with: a colon");
    assert_int_equal(limn_recipe_request(recipe)->steps, 0);
    limn_recipe_close(recipe);
}

/* "Automatic" is what the program that wrote it takes it for. */
static void test_automatic(void **state)
{
    (void)state;
    static const struct {
        const char *sampler, *schedule, *version, *wanted;
    } cases[] = {{"DPM++ 2M", "Automatic", "v1.9.4", "karras"},
                 {"DPM++ 2M SDE", "Automatic", "v1.10.1", "exponential"},
                 {"DPM++ 2M", "Automatic", "limn 0.1.0", "Automatic"},
                 {"DPM++ 2M", "Uniform", "v1.9.4", "Uniform"},
                 {"Euler a", "Automatic", "v1.9.4", "Automatic"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        snprintf(text, sizeof text, "x\nSteps: 3, Sampler: %s, Schedule type: %s, CFG scale: 7, Version: %s",
                 cases[i].sampler, cases[i].schedule, cases[i].version);
        struct limn_recipe *recipe = read_text(text);
        assert_string_equal(limn_recipe_request(recipe)->schedule, cases[i].wanted);
        limn_recipe_close(recipe);
    }
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Steps: many",
        "Steps: 0",
        "Steps: 99999",
        "CFG scale: nan",
        "CFG scale: 0x10",
        "Seed: -1",
        "Seed: 1e9",
        "Size: 512",
        "Size: 512x-5",
        "Size: axb",
        "Clip skip: 99",
        "Eta DDIM: 2",
        "Seed: 99999999999999999999",
        "Variation seed strength: inf",
        "Mask blur: 4.5",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        snprintf(text, sizeof text, "a prompt\nSampler: Euler, Model: x, Version: y, %s", bad[i]);
        struct limn_error error = {0};
        struct limn_recipe *recipe = NULL;
        if (limn_recipe_parse(&recipe, text, NULL, &error) != LIMN_FORMAT) fail_msg("%s was taken", bad[i]);
        assert_null(recipe);
        assert_non_null(strstr(error.text, "parameters say"));
    }
}

/* What is overridden need not be right; what limn does not follow is named; a strength of 0 is not "the default". */
static void test_overridden(void **state)
{
    (void)state;
    static const char text[] = "x\nSteps: many, Sampler: Euler, CFG scale: 7, Denoising strength: 0, Hires upscale: 2, "
                               "Lora hashes: \"a: 1\", Model: y";
    static const char *const steps[] = {"Steps", NULL};
    struct limn_recipe *recipe = NULL;
    assert_int_equal(limn_recipe_parse(&recipe, text, NULL, NULL), LIMN_FORMAT);
    assert_int_equal(limn_recipe_parse(&recipe, text, steps, NULL), LIMN_OK);
    const struct limn_request *request = limn_recipe_request(recipe);
    assert_int_equal(request->steps, 0);
    assert_true(request->cfg == 7);
    assert_true(request->strength > 0 && request->strength < 0.02F);
    assert_string_equal(limn_recipe_unfollowed(recipe, 0), "Hires upscale");
    assert_string_equal(limn_recipe_unfollowed(recipe, 1), "Lora hashes");
    assert_null(limn_recipe_unfollowed(recipe, 2));
    limn_recipe_close(recipe);
}

/* Through files: PNG and JPEG carry the text and the mark, and a picture without text says so. */
static void test_files(void **state)
{
    (void)state;
    uint8_t pixels[16 * 16 * 3] = {0};
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 7);
    struct limn_request request = base;
    request.prompt = "빨간 사과, \"x\"";
    char *text = write_text(&request);
    const struct limn_picture picture = {.image = {.width = 16, .height = 16, .channels = 3, .pixels = pixels},
                                         .parameters = text};
    static const char *const endings[] = {"png", "jpg"};
    for (int i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "test_metadata-%d.%s", (int)getpid(), endings[i]);
        struct limn_error error = {0};
        if (limn_picture_write(&picture, path, &error) != LIMN_OK) fail_msg("%s", error.text);
        struct limn_recipe *recipe = NULL;
        if (limn_recipe_read(&recipe, path, NULL, &error) != LIMN_OK) fail_msg("%s", error.text);
        assert_string_equal(limn_recipe_text(recipe), text);
        assert_string_equal(limn_recipe_request(recipe)->prompt, request.prompt);
        limn_recipe_close(recipe);

        struct error err = {0};
        struct image image = {0};
        struct image_text found = {0};
        assert_int_equal(image_read(&image, path, &found, &err), STATUS_OK);
        assert_non_null(found.xmp);
        assert_non_null(strstr(found.xmp, ">http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia<"));
        image_text_clear(&found);
        image_clear(&image);

        assert_int_equal(limn_image_write(&picture.image, path, &error), LIMN_OK);
        assert_int_equal(limn_recipe_read(&recipe, path, NULL, &error), LIMN_FORMAT);
        assert_non_null(strstr(error.text, "does not say how it was made"));
        unlink(path);
    }
    memory_free(text);
}

static void test_sha256(void **state)
{
    (void)state;
    /* The examples of FIPS 180-4's appendix, and lengths at each side of a block's end. */
    char hex[SHA256_HEX_BYTES], many[1000];
    memset(many, 'a', sizeof many);
    const struct {
        const char *text;
        size_t size;
        const char *hash;
    } known[] = {
        {"abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {many, 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
        {many, sizeof many, "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        for (int plain = 0; plain < 2; plain++) {
            sha256_hex(known[i].text, known[i].size, plain == 1, hex);
            assert_string_equal(hex, known[i].hash);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),       cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_web_ui_reads), cmocka_unit_test(test_reads_web_ui), cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_automatic),    cmocka_unit_test(test_overridden),   cmocka_unit_test(test_files),
        cmocka_unit_test(test_sha256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
