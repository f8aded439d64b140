/* SPDX-License-Identifier: MIT
 *
 * The built program when all is well: files and their names, what it prints, repeating a picture, stopping.
 */
#define _POSIX_C_SOURCE 200809L
#include "include/limn.h"
#include "tests/support/command.h"
#include "tests/support/tiny.h"

#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

#define MODEL " -m pack.safetensors --steps 2 "

static const char *in_folder(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int set_up(void **state)
{
    (void)state;
    char written[TINY_PATH_BYTES];
    snprintf(folder, sizeof folder, "cli-%d", (int)getpid());
    assert_int_equal(mkdir(folder, 0777), 0);
    tiny_write(written, TINY_PACK);
    assert_int_equal(rename(written, in_folder("pack.safetensors")), 0);
    return 0;
}

static void empty_folder(const char *but)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.' && (!but || strcmp(entry->d_name, but) != 0)) unlink(in_folder(entry->d_name));
    closedir(dir);
}

static int tear_down(void **state)
{
    (void)state;
    empty_folder(NULL);
    return rmdir(folder);
}

static int empty(void **state)
{
    (void)state;
    empty_folder("pack.safetensors");
    return 0;
}

/* Runs what must succeed; returns what it wrote. The caller clears it. */
static struct outcome run(const char *words)
{
    struct outcome o = command_run(folder, words, NULL);
    if (o.status != 0) fail_msg("limn %s: exit status %d: %s", words, o.status, o.err);
    return o;
}

static void run_only(const char *words)
{
    struct outcome o = run(words);
    outcome_clear(&o);
}

static void assert_files_equal(const char *a, const char *b)
{
    FILE *first = fopen(in_folder(a), "rb"), *second = fopen(in_folder(b), "rb");
    if (!first || !second) fail_msg("%s or %s is not there", a, b);
    for (int c = 0, d = 0; c != EOF || d != EOF;) {
        c = fgetc(first);
        d = fgetc(second);
        if (c != d) fail_msg("%s and %s differ", a, b);
    }
    fclose(first);
    fclose(second);
}

static void assert_same_pixels(const char *a, const char *b, bool same)
{
    struct limn_image first, second;
    assert_int_equal(limn_image_read(&first, in_folder(a), NULL), LIMN_OK);
    assert_int_equal(limn_image_read(&second, in_folder(b), NULL), LIMN_OK);
    assert_true(first.width == second.width && first.height == second.height && first.channels == second.channels);
    const size_t bytes = (size_t)first.width * (size_t)first.height * (size_t)first.channels;
    assert_int_equal(memcmp(first.pixels, second.pixels, bytes) == 0, same);
    limn_image_clear(&first);
    limn_image_clear(&second);
}

static bool exists(const char *name)
{
    return access(in_folder(name), F_OK) == 0;
}

/* ---- names of files ---- */

static void test_names(void **state)
{
    (void)state;
    run_only("generate apple" MODEL "-n 2");
    assert_true(exists("limn-0001.png") && exists("limn-0002.png"));
    run_only("generate apple" MODEL); /* what is there is not written over */
    assert_true(exists("limn-0003.png"));
    run_only("generate apple" MODEL "-n 2 -o a.jpg");
    assert_true(exists("a-1.jpg") && exists("a-2.jpg") && !exists("a.jpg"));
    run_only("generate apple" MODEL "-n 2 -o b%03d.png");
    assert_true(exists("b001.png") && exists("b002.png"));
    run_only("generate apple" MODEL "-n 2 -s 41 -o c-{seed}-%%-%d.png");
    assert_true(exists("c-41-%-1.png") && exists("c-42-%-2.png"));
    run_only("generate apple" MODEL "-s 1 -o d.png");
    run_only("generate apple" MODEL "-s 2 -o d.png"); /* a name that was asked for is */
    run_only("generate apple" MODEL "-s 2 -o e.png");
    assert_files_equal("d.png", "e.png");
    char name[256], words[512];
    memset(name, 'f', 251);
    strcpy(name + 251, ".png"); /* as long as most file systems allow */
    snprintf(words, sizeof words, "generate apple" MODEL "-o %s", name);
    run_only(words);
    assert_true(exists(name));
}

/* A model whose name is no UTF-8 is a model all the same. */
static void test_odd_model_name(void **state)
{
    (void)state;
    struct limn_recipe *recipe = NULL;
    assert_int_equal(symlink("pack.safetensors", in_folder("caf\xe9.v1.safetensors")), 0);
    run_only("generate apple --steps 1 -m caf\xe9.v1.safetensors -o odd.png");
    assert_int_equal(limn_recipe_read(&recipe, in_folder("odd.png"), NULL, NULL), LIMN_OK);
    assert_string_equal(limn_recipe_field(recipe, "Model"), "caf?.v1");
    limn_recipe_close(recipe);
}

/* Programs that run at the same time give each picture a name of its own. */
static void test_names_at_once(void **state)
{
    (void)state;
    enum { PROGRAMS = 4, PICTURES = 8 };
    struct running programs[PROGRAMS];
    for (int i = 0; i < PROGRAMS; i++) programs[i] = command_start(folder, "generate apple" MODEL "--quiet -n 8");
    for (int i = 0; i < PROGRAMS; i++) {
        int status;
        assert_int_equal(waitpid(programs[i].process, &status, 0), programs[i].process);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        close(programs[i].output);
    }
    for (int i = 1; i <= PROGRAMS * PICTURES; i++) {
        char name[32];
        struct limn_image image;
        snprintf(name, sizeof name, "limn-%04d.png", i);
        assert_int_equal(limn_image_read(&image, in_folder(name), NULL), LIMN_OK);
        limn_image_clear(&image);
    }
}

/* ---- the same again ---- */

static void test_batch(void **state)
{
    (void)state;
    run_only("generate apple" MODEL "--sampler euler_a -s 7 -n 3 -o batch-%d.png");
    run_only("generate apple" MODEL "--sampler euler_a -s 8 -o one.png --threads 1");
    assert_files_equal("batch-2.png", "one.png");
    run_only("generate apple" MODEL "--sampler euler_a -s 9 -o one.png --threads 3");
    assert_files_equal("batch-3.png", "one.png");
}

static void test_from(void **state)
{
    (void)state;
    run_only("generate 'an apple, (red:1.2)' -m pack.safetensors --steps 3 --cfg 4.5 --sampler euler_a --schedule "
             "karras -s 99 --size 48x64 --negative 'a, b: c' --subseed 5 --clip-skip 2 --rng mt19937 -o first.png");
    run_only("generate --from first.png -m pack.safetensors -o again.png");
    assert_files_equal("first.png", "again.png");
    run_only("generate --from first.png -m pack.safetensors -s 100 -o other.png");
    assert_same_pixels("first.png", "other.png", false);
    run_only("generate --from first.png -m pack.safetensors -o again.jpg");
    run_only("generate --from again.jpg -m pack.safetensors -o third.png");
    assert_files_equal("first.png", "third.png");

    /* What the U-Net was taken to predict is remembered too. */
    run_only("generate apple" MODEL "--prediction eps -s 1 -o eps.png");
    run_only("generate --from eps.png -m pack.safetensors -o eps-again.png");
    assert_files_equal("eps.png", "eps-again.png");

    run_only("generate apple" MODEL "-s 1 -o with.png");
    run_only("generate apple" MODEL "-s 1 -o without.png --no-metadata");
    assert_same_pixels("with.png", "without.png", true);
    struct limn_recipe *recipe = NULL;
    assert_int_equal(limn_recipe_read(&recipe, in_folder("with.png"), NULL, NULL), LIMN_OK);
    assert_string_equal(limn_recipe_request(recipe)->prompt, "apple");
    assert_string_equal(limn_recipe_field(recipe, "Model"), "pack");
    assert_int_equal(strlen(limn_recipe_field(recipe, "Model hash")), 10);
    limn_recipe_close(recipe);
    assert_int_equal(limn_recipe_read(&recipe, in_folder("without.png"), NULL, NULL), LIMN_FORMAT);
}

/* With other weights the picture will be another one, and it is said why. */
static void test_from_other_model(void **state)
{
    (void)state;
    FILE *in = fopen(in_folder("pack.safetensors"), "rb"), *out = fopen(in_folder("other.safetensors"), "wb");
    assert_true(in && out);
    for (int c; (c = fgetc(in)) != EOF;) fputc(c, out);
    fseek(out, -4, SEEK_END);
    fwrite("\0\0\x80\x3f", 1, 4, out);
    fclose(in);
    fclose(out);
    run_only("generate apple" MODEL "-s 1 -o first.png");
    struct outcome o = run("generate --from first.png -m pack.safetensors -o same.png");
    assert_string_equal(o.err, "");
    outcome_clear(&o);
    o = run("generate --from first.png -m other.safetensors -o other.png");
    assert_non_null(strstr(o.err, "made by another model"));
    outcome_clear(&o);
}

static struct limn_recipe *recipe_of(const char *name)
{
    struct limn_recipe *recipe = NULL;
    assert_int_equal(limn_recipe_read(&recipe, in_folder(name), NULL, NULL), LIMN_OK);
    return recipe;
}

/* What the picture of --from does not say has the default that it has without --from. */
static void test_from_defaults(void **state)
{
    (void)state;
    uint8_t pixels[32 * 32 * 3] = {0};
    struct limn_picture picture = {.image = {.width = 32, .height = 32, .channels = 3, .pixels = pixels}};
    char parameters[] = "apple\nSteps: 2, Sampler: Euler, CFG scale: 3, Variation seed strength: 0.25";
    picture.parameters = parameters;
    assert_int_equal(limn_picture_write(&picture, in_folder("old.png"), NULL), LIMN_OK);
    memset(pixels, 255, sizeof pixels);
    assert_int_equal(limn_image_write(&picture.image, in_folder("mask.png"), NULL), LIMN_OK);
    run_only("edit old.png --mask mask.png --from old.png -m pack.safetensors -o new.png");
    struct limn_recipe *recipe = recipe_of("new.png");
    const struct limn_request *request = limn_recipe_request(recipe);
    assert_int_equal(request->mask_blur, 4);
    assert_true(request->seed != 0 && request->subseed != 0 && request->subseed_strength == 0.25F);
    limn_recipe_close(recipe);

    run_only("edit old.png --mask mask.png --mask-blur 0 -s 0 -m pack.safetensors --steps 1 -o zero.png");
    run_only("edit old.png --mask mask.png --from zero.png -m pack.safetensors -o new.png");
    recipe = recipe_of("new.png");
    assert_int_equal(limn_recipe_request(recipe)->mask_blur, 0);
    assert_int_equal(limn_recipe_request(recipe)->seed, 0);
    limn_recipe_close(recipe);
}

/* ---- edit and vary ---- */

static void test_edit_and_vary(void **state)
{
    (void)state;
    uint8_t mask[40 * 30];
    for (int i = 0; i < 40 * 30; i++) mask[i] = i % 40 < 20 ? 0 : 255;
    const struct limn_image image = {.width = 40, .height = 30, .channels = 1, .pixels = mask};
    assert_int_equal(limn_image_write(&image, in_folder("mask.png"), NULL), LIMN_OK);
    run_only("generate apple" MODEL "--size 64x40 -s 3 -o source.png");
    run_only("edit source.png 'cat face'" MODEL "--mask mask.png --mask-blur 0 -s 3 -o edit.png");
    struct limn_image before, after;
    assert_int_equal(limn_image_read(&before, in_folder("source.png"), NULL), LIMN_OK);
    assert_int_equal(limn_image_read(&after, in_folder("edit.png"), NULL), LIMN_OK);
    assert_true(after.width == 64 && after.height == 40);
    for (int y = 0; y < 40; y++)
        assert_memory_equal(before.pixels + 3 * 64 * y, after.pixels + 3 * 64 * y, (size_t)3 * 28);
    limn_image_clear(&before);
    limn_image_clear(&after);
    assert_same_pixels("source.png", "edit.png", false);

    run_only("edit source.png --from edit.png --mask mask.png -m pack.safetensors -o edit-again.png");
    assert_files_equal("edit.png", "edit-again.png");

    run_only("vary source.png" MODEL "--strength 0.5 -s 3 -n 2 -o vary.png");
    assert_same_pixels("vary-1.png", "vary-2.png", false);
    run_only("vary source.png --from vary-2.png -m pack.safetensors -o vary-again.png");
    assert_files_equal("vary-2.png", "vary-again.png");
}

/* A picture narrower than any that is painted is brought to the least side, not refused for it. */
static void test_narrow_picture(void **state)
{
    (void)state;
    uint8_t pixels[7 * 300] = {0};
    const struct limn_image image = {.width = 7, .height = 300, .channels = 1, .pixels = pixels};
    struct limn_image painted;
    assert_int_equal(limn_image_write(&image, in_folder("narrow.png"), NULL), LIMN_OK);
    run_only("vary narrow.png apple" MODEL "-o varied.png");
    assert_int_equal(limn_image_read(&painted, in_folder("varied.png"), NULL), LIMN_OK);
    assert_int_equal(painted.width, 16);
    limn_image_clear(&painted);
    memset(pixels, 255, sizeof pixels);
    assert_int_equal(limn_image_write(&image, in_folder("mask.png"), NULL), LIMN_OK);
    run_only("edit narrow.png apple --mask mask.png" MODEL "-o edited.png");
    assert_int_equal(limn_image_read(&painted, in_folder("edited.png"), NULL), LIMN_OK);
    assert_true(painted.width == 7 && painted.height == 300);
    limn_image_clear(&painted);
}

/* ---- what is printed ---- */

static void test_printed(void **state)
{
    (void)state;
    struct outcome o = run("generate apple" MODEL "-s 5 -o x.png");
    assert_int_equal(strncmp(o.out, "x.png  seed 5  ", 15), 0);
    assert_string_equal(o.err, ""); /* it is no terminal */
    outcome_clear(&o);
    o = run("generate dragon" MODEL "-o x.png");
    assert_non_null(strstr(o.err, "does not know \"dragon\""));
    outcome_clear(&o);
    o = run("generate dragon" MODEL "-o x.png --quiet");
    assert_string_equal(o.out, "");
    assert_string_equal(o.err, "");
    outcome_clear(&o);
    o = run("generate apple" MODEL "-o x.png --show");
    assert_non_null(strstr(o.out, "\033["));
    outcome_clear(&o);
}

/* The note on what a pack does not know is for prompts of which it knows nothing. */
static void test_unknown_words(void **state)
{
    (void)state;
    static const char *const known[] = {"'two Apples'", "'a flat style dragon'", "'red dragon'", "빨간",
                                        "'플랫 스타일'"};
    static const char *const unknown[] = {"dragon", "reddish", "'flat land'", "용"};
    char words[256];
    for (int i = 0; i < 9; i++) {
        snprintf(words, sizeof words, "generate %s" MODEL "-o x.png", i < 5 ? known[i] : unknown[i - 5]);
        struct outcome o = run(words);
        if ((o.err[0] == '\0') != (i < 5)) fail_msg("%s: '%s'", words, o.err);
        outcome_clear(&o);
    }
    /* A long prompt is cut between its characters: in 124 bytes there is room for "xx" and 40 of three. */
    char prompt[601];
    for (int i = 0; i < 600; i++) prompt[i] = i < 2 ? 'x' : "용"[(i - 2) % 3];
    prompt[599] = '\0';
    char line[1024];
    snprintf(line, sizeof line, "generate %s" MODEL "-o x.png", prompt);
    struct outcome o = run(line);
    snprintf(line, sizeof line, "does not know \"%.*s...\";", 122, prompt);
    if (!strstr(o.err, line)) fail_msg("%s", o.err);
    outcome_clear(&o);
}

static json_t *parse_line(const char **at)
{
    json_error_t why;
    const size_t length = strcspn(*at, "\n");
    json_t *event = json_loadb(*at, length, 0, &why);
    if (!event) fail_msg("'%.*s': %s", (int)length, *at, why.text);
    *at += length + ((*at)[length] == '\n');
    return event;
}

static void test_json(void **state)
{
    (void)state;
    struct outcome o = run("generate dragon" MODEL "-s 5 -n 2 -o {seed}.png --json");
    int steps = 0, images = 0, notes = 0;
    for (const char *at = o.out; *at;) {
        json_t *event = parse_line(&at);
        const char *kind = json_string_value(json_object_get(event, "event"));
        assert_non_null(kind);
        if (strcmp(kind, "step") == 0) {
            steps++;
            assert_int_equal(json_integer_value(json_object_get(event, "steps")), 2);
        } else if (strcmp(kind, "image") == 0) {
            assert_int_equal(json_integer_value(json_object_get(event, "seed")), 5 + images++);
            assert_true(exists(json_string_value(json_object_get(event, "path"))));
            assert_true(json_number_value(json_object_get(event, "seconds")) > 0);
        } else if (strcmp(kind, "note") == 0) {
            notes++;
        }
        json_decref(event);
    }
    assert_true(steps == 4 && images == 2 && notes == 1);
    assert_string_equal(o.err, "");
    outcome_clear(&o);

    o = command_run(folder, "generate apple -m missing --json", NULL);
    assert_int_equal(o.status, 1);
    const char *at = o.out;
    for (json_t *event = NULL; *at; json_decref(event)) {
        event = parse_line(&at);
        if (*at) continue;
        assert_string_equal(json_string_value(json_object_get(event, "event")), "error");
        assert_non_null(strstr(json_string_value(json_object_get(event, "message")), "missing"));
    }
    outcome_clear(&o);
}

static void test_info(void **state)
{
    (void)state;
    struct outcome o = run("info pack.safetensors");
    assert_non_null(strstr(o.out, "limn pack \"tiny\""));
    assert_non_null(strstr(o.out, "apple (사과), cat face (고양이 얼굴)"));
    outcome_clear(&o);
    o = run("info pack.safetensors --json");
    const char *at = o.out;
    json_t *info = parse_line(&at);
    assert_string_equal(json_string_value(json_object_get(info, "kind")), "pack");
    assert_true(json_is_null(json_object_get(info, "missing")));
    assert_int_equal(json_array_size(json_object_get(info, "concepts")), 2);
    assert_int_equal(json_array_size(json_object_get(info, "parts")), LIMN_PARTS);
    assert_true(json_integer_value(json_object_get(info, "parameters")) > 1000000);
    json_decref(info);
    outcome_clear(&o);
}

static void test_help(void **state)
{
    (void)state;
    static const char *const commands[] = {"generate", "edit", "vary", "info", "bench"};
    struct outcome o = run("help");
    for (int i = 0; i < 5; i++) {
        char words[64];
        assert_non_null(strstr(o.out, commands[i]));
        snprintf(words, sizeof words, "help %s", commands[i]);
        struct outcome help = run(words);
        assert_non_null(strstr(help.out, "--json"));
        assert_int_equal(strstr(help.out, "--mask-blur") != NULL, strcmp(commands[i], "edit") == 0);
        assert_int_equal(strstr(help.out, "dpm++2m_sde") != NULL, i < 3);
        snprintf(words, sizeof words, "%s --help", commands[i]);
        struct outcome same = run(words);
        assert_string_equal(help.out, same.out);
        outcome_clear(&same);
        outcome_clear(&help);
    }
    outcome_clear(&o);
    o = run("--version");
    assert_string_equal(o.out, "limn " LIMN_VERSION "\n");
    outcome_clear(&o);
}

/* A fresh machine has neither a GPU nor drivers of one; that is no news. Nobody's driver lies at '/nowhere'. */
static void test_no_driver(void **state)
{
    (void)state;
    static const char *const names[] = {"VK_DRIVER_FILES", "VK_ICD_FILENAMES"}; /* of newer and older loaders */
    if (access("/dev/dri/renderD128", F_OK) == 0 || access("/dev/nvidiactl", F_OK) == 0 ||
        access("/dev/dxg", F_OK) == 0) {
        print_message("left out: this machine has a GPU\n");
        skip();
    }
    for (int i = 0; i < 2; i++) setenv(names[i], "/nowhere", 1);
    struct outcome o = run("generate apple" MODEL "--device auto");
    assert_string_equal(o.err, "");
    outcome_clear(&o);
    o = command_run(folder, "generate apple" MODEL "--device vulkan", NULL);
    assert_int_equal(o.status, 1);
    assert_int_equal(strncmp(o.err, "limn: this ", 11), 0);
    outcome_clear(&o);
    for (int i = 0; i < 2; i++) unsetenv(names[i]);
}

/* ---- stopping ---- */

/* Ctrl-C after the first of very many pictures: it ends soon, with 130, and what was finished is whole. */
static void test_interrupt(void **state)
{
    (void)state;
    const struct running limn = command_start(folder, "generate apple" MODEL "-n 100000 -s 1 -o {seed}.png --json");
    FILE *out = fdopen(limn.output, "r");
    assert_non_null(out);
    char line[1024];
    bool painted = false;
    while (!painted && fgets(line, sizeof line, out)) painted = strstr(line, "\"image\"") != NULL;
    assert_true(painted);
    assert_int_equal(kill(limn.process, SIGINT), 0);
    while (fgets(line, sizeof line, out)) continue;
    assert_non_null(strstr(line, "stopped by Ctrl-C"));
    fclose(out);
    int status;
    assert_int_equal(waitpid(limn.process, &status, 0), limn.process);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 130);
    run_only("generate apple" MODEL "-s 1 -o whole.png");
    assert_files_equal("1.png", "whole.png");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_names, empty),
        cmocka_unit_test_teardown(test_odd_model_name, empty),
        cmocka_unit_test_teardown(test_names_at_once, empty),
        cmocka_unit_test_teardown(test_batch, empty),
        cmocka_unit_test_teardown(test_from, empty),
        cmocka_unit_test_teardown(test_from_other_model, empty),
        cmocka_unit_test_teardown(test_from_defaults, empty),
        cmocka_unit_test_teardown(test_edit_and_vary, empty),
        cmocka_unit_test_teardown(test_narrow_picture, empty),
        cmocka_unit_test(test_printed),
        cmocka_unit_test(test_unknown_words),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_help),
        cmocka_unit_test_teardown(test_no_driver, empty),
        cmocka_unit_test(test_interrupt),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
