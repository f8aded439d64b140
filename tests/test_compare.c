/* SPDX-License-Identifier: MIT
 *
 * limn compare as its users run it: planted faults that the right measure has to name, the same report from the same
 * request, stopping and going on, and what it refuses. Features come from the tiny CLIP model of
 * tests/golden/clip_pair, whose weights are made up: what it cannot tell apart is not asked of it.
 */
#define _POSIX_C_SOURCE 200809L
#include "core/base/memory.h"
#include "core/io/safetensors_write.h"
#include "include/limn.h"
#include "tests/support/command.h"
#include "tests/support/pictures.h"
#include "tests/support/scratch.h"
#include "tests/support/tiny.h"
#include "tests/support/weights.h"

#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CLIP " --clip clip.safetensors --threads 1 " /* threads that wait for each other are slow on a busy machine */
#define TWO  "compare apple 'cat face' --a a.safetensors --b b.safetensors -n 3" CLIP

static struct scratch scratch;

static const char *in_folder(const char *name)
{
    return scratch_path(&scratch, name);
}

static void make_model(const char *name, enum tiny kind)
{
    char written[TINY_PATH_BYTES];
    tiny_write(written, kind);
    assert_int_equal(rename(written, in_folder(name)), 0);
}

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    const struct safetensors_note heads = {"limn.pack", "{\"text\": {\"heads\": 4}, \"image\": {\"heads\": 6}}"};
    scratch_open(&scratch);
    const char *clip = in_folder("clip.safetensors");
    assert_int_equal(weights_write_noted(clip, (const char *[]){"clip-hf"}, 1, DTYPE_F32, &heads, 1, &err), STATUS_OK);
    make_model("a.safetensors", TINY_PACK);
    make_model("b.safetensors", TINY_PACK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

static struct outcome run(const char *words)
{
    struct outcome o = command_run(scratch.folder, words, NULL);
    if (o.status != 0) fail_msg("limn %s: exit status %d: %s", words, o.status, o.err);
    return o;
}

static void run_only(const char *words)
{
    struct outcome o = run(words);
    outcome_clear(&o);
}

static json_t *read_report(const char *name)
{
    json_error_t why;
    json_t *report = json_load_file(in_folder(name), 0, &why);
    if (!report) fail_msg("%s: %s", name, why.text);
    return report;
}

static json_t *entrant_of(const json_t *report, const char *name)
{
    size_t i;
    json_t *entrant;
    json_array_foreach (json_object_get(report, "entrants"), i, entrant)
        if (strcmp(json_string_value(json_object_get(entrant, "name")), name) == 0) return entrant;
    fail_msg("there is no entrant %s", name);
    return NULL;
}

/* ---- planted faults ---- */

static bool has_fault(const json_t *entrant, const char *measure)
{
    size_t i;
    json_t *verdict;
    json_array_foreach (json_object_get(entrant, "verdicts"), i, verdict)
        if (strcmp(json_string_value(json_object_get(verdict, "kind")), "fault") == 0 &&
            strcmp(json_string_value(json_object_get(verdict, "measure")), measure) == 0)
            return true;
    return false;
}

static double value_of(const json_t *entrant, const char *measure)
{
    return json_number_value(json_object_get(json_object_get(json_object_get(entrant, "measures"), measure), "value"));
}

static void test_planted(void **state)
{
    (void)state;
    pictures_drawn(in_folder("reference"), 64, 1, 48);
    pictures_drawn(in_folder("good"), 64, 1001, 48);
    pictures_repeated(in_folder("collapse"), 64, 2001, 48);
    pictures_drawn(in_folder("copies"), 64, 1, 48);
    pictures_noise(in_folder("noise"), 64, 48);
    struct outcome o = run("compare --pictures good collapse copies noise --reference reference -o planted" CLIP);
    assert_non_null(strstr(o.out, "collapse: "));
    assert_non_null(strstr(o.out, "copies: "));
    assert_non_null(strstr(o.out, "planted/report.html"));
    outcome_clear(&o);

    json_t *report = read_report("planted/report.json");
    json_t *good = entrant_of(report, "good"), *collapse = entrant_of(report, "collapse");
    json_t *copies = entrant_of(report, "copies"), *noise = entrant_of(report, "noise");
    assert_true(has_fault(collapse, "distinct") && value_of(collapse, "distinct") == 1);
    assert_true(has_fault(copies, "copies") || has_fault(copies, "copies_pixels"));
    assert_true(value_of(copies, "copies_pixels") == 1 && value_of(good, "copies_pixels") == 0);
    assert_true(has_fault(noise, "precision") && value_of(noise, "precision") < 0.1);
    static const char *const faults[] = {"distinct", "copies", "copies_pixels", "precision"};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) assert_false(has_fault(good, faults[i]));
    assert_false(has_fault(noise, "distinct") || has_fault(copies, "distinct") || has_fault(collapse, "copies"));
    assert_true(value_of(good, "kid") < value_of(noise, "kid"));
    json_decref(report);
}

/* ---- the same again ---- */

static void assert_same_figures(const char *a, const char *b)
{
    json_t *first = read_report(a), *second = read_report(b);
    assert_int_equal(json_object_del(first, "machine"), 0);
    assert_int_equal(json_object_del(second, "machine"), 0);
    assert_true(json_equal(first, second));
    json_decref(first);
    json_decref(second);
}

static void assert_same_bytes(const char *a, const char *b)
{
    size_t sizes[2];
    uint8_t *first = file_load(in_folder(a), &sizes[0]), *second = file_load(in_folder(b), &sizes[1]);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(first, second, sizes[0]);
    memory_free(first);
    memory_free(second);
}

static int pictures_timed(const char *report_name, const char *model)
{
    json_t *report = read_report(report_name);
    json_t *times = json_object_get(json_object_get(json_object_get(report, "machine"), "models"), model);
    const int timed = (int)json_integer_value(json_object_get(times, "pictures_timed"));
    json_decref(report);
    return timed;
}

/* Pictures that are there are used again, but for the first, which is timed; what was changed is painted again. */
static void test_again(void **state)
{
    (void)state;
    run_only(TWO "-o first");
    run_only(TWO "-o second --threads 2");
    assert_same_figures("first/report.json", "second/report.json");
    assert_same_bytes("first/grid.png", "second/grid.png");
    assert_int_equal(pictures_timed("first/report.json", "a"), 6);

    run_only(TWO "-o second");
    assert_int_equal(pictures_timed("second/report.json", "a"), 1);
    assert_same_figures("first/report.json", "second/report.json");

    /* One is gone, one is damaged, one is of another seed. */
    static const char *const names[] = {"apple-%s-0.png", "apple-%s-1.png", "apple-%s-2.png"};
    char path[3][128];
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, names[i], "3a7bd3"); /* the beginning of SHA-256("apple") */
        snprintf(path[i], sizeof path[i], "second/pictures/b/%s", name);
    }
    file_save(in_folder(path[1]), "not a picture", 13);
    size_t size;
    uint8_t *other = file_load(in_folder(path[0]), &size);
    file_save(in_folder(path[2]), other, size);
    memory_free(other);
    run_only(TWO "-o second");
    assert_int_equal(pictures_timed("second/report.json", "b"), 3);
    assert_same_figures("first/report.json", "second/report.json");
    for (int i = 0; i < 3; i++) {
        char whole[128];
        snprintf(whole, sizeof whole, "first%s", path[i] + strlen("second"));
        assert_same_bytes(whole, path[i]);
    }

    run_only(TWO "-o second -s 7");
    assert_int_equal(pictures_timed("second/report.json", "a"), 6);
}

static void test_figures(void **state)
{
    (void)state;
    json_t *report = read_report("first/report.json");
    json_t *a = entrant_of(report, "a"), *cost = json_object_get(a, "cost");
    assert_int_equal(json_integer_value(json_object_get(a, "n")), 6);
    assert_int_equal(json_integer_value(json_object_get(cost, "evaluations")), 6); /* three steps with guidance */
    assert_true(json_real_value(json_object_get(cost, "gflop")) > 0);
    assert_true(json_integer_value(json_object_get(cost, "parameters")) > 100000);
    json_t *machine = json_object_get(json_object_get(json_object_get(report, "machine"), "models"), "a");
    assert_true(json_integer_value(json_object_get(machine, "memory_bytes")) > 400000);
    assert_string_equal(json_string_value(json_object_get(a, "family")), "diffusion");
    /* The same weights paint the same pictures. */
    assert_true(value_of(a, "clip_score") == value_of(entrant_of(report, "b"), "clip_score"));
    json_decref(report);
}

/* Finished pictures tell their prompts and seeds themselves. */
static void test_folders_of_models(void **state)
{
    (void)state;
    run_only("compare --pictures first/pictures/a second/pictures/b -o finished" CLIP);
    json_t *report = read_report("finished/report.json"), *models = read_report("first/report.json");
    assert_int_equal(json_array_size(json_object_get(report, "prompts")), 2);
    const double mine = value_of(entrant_of(report, "a"), "clip_score");
    assert_true(mine == value_of(entrant_of(models, "a"), "clip_score"));
    json_decref(report);
    json_decref(models);
}

/* Progress line by line, and the whole report in the last one; nothing at all with --quiet. */
static void test_events(void **state)
{
    (void)state;
    struct outcome o = run("compare --pictures first/pictures/a first/pictures/b -o finished --json" CLIP);
    char *last = strrchr(o.out, '\n');
    assert_non_null(last);
    *last = '\0';
    last = strrchr(o.out, '\n');
    assert_non_null(last);
    json_t *event = json_loads(last + 1, 0, NULL), *report = json_object_get(event, "report");
    assert_string_equal(json_string_value(json_object_get(event, "event")), "comparison");
    assert_string_equal(json_string_value(json_object_get(event, "path")), "finished/report.html");
    json_t *written = read_report("finished/report.json");
    assert_true(json_equal(report, written));
    json_decref(written);
    json_decref(event);
    outcome_clear(&o);
    o = run("compare --pictures first/pictures/a first/pictures/b -o finished --quiet" CLIP);
    assert_string_equal(o.out, "");
    assert_string_equal(o.err, "");
    outcome_clear(&o);
}

static void test_interrupted(void **state)
{
    (void)state;
    const struct running program = command_start(scratch.folder, TWO "-o stopped --json");
    char line[4096] = "";
    size_t used = 0;
    while (!strstr(line, "\"done\":2") && used < sizeof line - 1 && read(program.output, line + used, 1) == 1) used++;
    assert_int_equal(kill(program.process, SIGINT), 0);
    while (read(program.output, line, sizeof line) > 0) continue;
    int status;
    assert_int_equal(waitpid(program.process, &status, 0), program.process);
    close(program.output);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 130);
    assert_int_not_equal(access(in_folder("stopped/report.json"), F_OK), 0);
    run_only(TWO "-o stopped");
    assert_in_range(pictures_timed("stopped/report.json", "a"), 1, 5);
    assert_same_figures("first/report.json", "stopped/report.json");
}

/* ---- the grid ---- */

static struct limn_image read_image(const char *name)
{
    struct limn_error error = {0};
    struct limn_image image;
    if (limn_image_read(&image, in_folder(name), &error) != LIMN_OK) fail_msg("%s", error.text);
    return image;
}

/* Is the picture in the grid with its upper left corner at (x, y), pixel by pixel? */
static bool lies_at(const struct limn_image *grid, const struct limn_image *picture, int x, int y)
{
    if (x + picture->width > grid->width || y + picture->height > grid->height) return false;
    for (int row = 0; row < picture->height; row++) {
        const uint8_t *there = grid->pixels + 3 * ((y + row) * grid->width + x);
        if (memcmp(there, picture->pixels + 3 * row * picture->width, 3 * (size_t)picture->width) != 0) return false;
    }
    return true;
}

static int dark_pixels(const struct limn_image *grid, int right, int top, int bottom)
{
    int count = 0;
    for (int y = top; y < bottom; y++)
        for (int x = 0; x < right; x++) count += grid->pixels[3 * (y * grid->width + x)] < 100;
    return count;
}

/* Pictures of between 128 and 256 pixels stand in it as they are, a row for each pair and a name over each column. */
static void test_grid(void **state)
{
    (void)state;
    enum { SIDE = 130, X = 234, Y = 47, STEP = SIDE + 12 };
    pictures_drawn(in_folder("left"), 2, 1, SIDE);
    pictures_drawn(in_folder("right"), 2, 11, SIDE);
    run_only("compare --pictures left right -o grid" CLIP);
    struct limn_image grid = read_image("grid/grid.png");
    static const char *const names[2][2] = {{"left/000.png", "right/000.png"}, {"left/001.png", "right/001.png"}};
    for (int row = 0; row < 2; row++) {
        for (int column = 0; column < 2; column++) {
            struct limn_image picture = read_image(names[row][column]);
            assert_true(lies_at(&grid, &picture, X + column * STEP, Y + row * STEP));
            limn_image_clear(&picture);
        }
        assert_true(dark_pixels(&grid, X, Y + row * STEP, Y + (row + 1) * STEP - 12) > 50); /* "picture 1" */
    }
    assert_true(dark_pixels(&grid, grid.width, 0, Y) > 50);
    limn_image_clear(&grid);
}

/* ---- hostile words ---- */

static void test_escaping(void **state)
{
    (void)state;
    FILE *file = fopen(in_folder("hostile.txt"), "w");
    fputs("# a comment\n<script>alert(1)</script>\n\n\"'>&amp; <img src=x onerror=alert(2)>\n빨간 사과\n", file);
    fclose(file);
    run_only("compare --prompts hostile.txt --a a.safetensors --b b.safetensors -n 1 -o hostile" CLIP);
    size_t size;
    uint8_t *page = file_load(in_folder("hostile/report.html"), &size);
    const char *text = (const char *)page;
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "<img src=x"));
    assert_non_null(strstr(text, "&#60;script&#62;alert(1)&#60;/script&#62;"));
    assert_non_null(strstr(text, "<span lang=\"ko\">빨간 사과</span>"));
    assert_null(strstr(text, "http"));
    memory_free(page);
    json_t *report = read_report("hostile/report.json");
    assert_int_equal(json_array_size(json_object_get(report, "prompts")), 3);
    json_decref(report);
}

/* ---- the reference ---- */

static void write_captions(const char *lines)
{
    file_save(in_folder("said/metadata.jsonl"), lines, strlen(lines));
}

static json_t *reference_of(const json_t *report)
{
    return json_object_get(report, "reference");
}

static int64_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* Of a reference that says what it shows, what the prompts ask for is the standard: the longest caption that a prompt
 * says counts. */
static void test_captions(void **state)
{
    (void)state;
    pictures_drawn(in_folder("said"), 6, 1, 32);
    write_captions("{\"file_name\": \"000.png\", \"text\": [\"apple\", \"fruit\"]}\n"
                   "{\"file_name\": \"001.png\", \"text\": \"red apple\"}\n"
                   "{\"file_name\": \"002.png\", \"text\": \"cat\"}\n"
                   "{\"file_name\": \"003.png\", \"text\": [\"cat face\", \"고양이 얼굴\"]}\n"
                   "{\"file_name\": \"004.png\", \"text\": \"Cat face\"}\n");
    run_only(TWO "-o first --reference said");
    json_t *report = read_report("first/report.json");
    assert_int_equal(number_of(reference_of(report), "n"), 3); /* 000, 003, 004 */
    assert_int_equal(number_of(reference_of(report), "of"), 5);
    assert_true(json_is_number(
        json_object_get(json_object_get(json_object_get(entrant_of(report, "a"), "measures"), "kid"), "value")));
    json_decref(report);

    write_captions("{\"file_name\": \"000.png\", \"text\": \"apple\"}\n"
                   "{\"file_name\": \"gone.png\", \"text\": \"apple\"}\n"
                   "{\"file_name\": \"001.png\", \"text\": \"dog\"}\n");
    struct outcome o = run(TWO "-o first --reference said");
    assert_non_null(strstr(o.err, "no picture of the reference shows what prompt 2 asks for"));
    assert_non_null(strstr(o.err, "said/gone.png"));
    outcome_clear(&o);
    report = read_report("first/report.json");
    assert_int_equal(number_of(reference_of(report), "n"), 2);
    assert_int_equal(number_of(reference_of(report), "left_out"), 1);
    json_decref(report);
    run_only(TWO "-o first");
}

/* The models that come with limn are held against what they have learnt from. */
static void test_shipped(void **state)
{
    (void)state;
    run_only("compare apple -n 2 --threads 1 -o shipped");
    json_t *report = read_report("shipped/report.json"), *reference = reference_of(report);
    assert_int_equal(number_of(reference, "of"), 551);
    assert_int_equal(number_of(reference, "n"), 2);
    assert_int_equal(number_of(reference, "left_out"), 0);
    assert_true(json_is_false(json_object_get(entrant_of(report, "emoji"), "made_with_this_network")));
    assert_true(json_is_false(json_object_get(entrant_of(report, "gan"), "made_with_this_network")));
    json_decref(report);
    size_t size;
    char *page = (char *)file_load(in_folder("shipped/report.html"), &size);
    assert_null(strstr(page, "CLIP score decides nothing here"));
    assert_non_null(strstr(page, "which all of these models have learnt from"));
    memory_free(page);
}

/* The score does not decide between a model that was made with the network that gives it and one that was not. */
static void test_made_with_the_judge(void **state)
{
    (void)state;
    static const char caption[] = "a red apple";
    pictures_drawn(in_folder("learn"), 2, 1, 28);
    file_save(in_folder("learn/000.txt"), caption, sizeof caption - 1);
    run_only("train gan --data learn --out own.safetensors --init " SOURCE_DIR "/samples/emoji/clip.safetensors "
             "--size 28 --steps 1 --batch 2 --sheet-every 0 --threads 1 --quiet");
    run_only("compare apple -n 2 --a own.safetensors --b a.safetensors --threads 1 -o own");
    json_t *report = read_report("own/report.json");
    assert_true(json_is_true(json_object_get(entrant_of(report, "own"), "made_with_this_network")));
    assert_true(json_is_false(json_object_get(entrant_of(report, "a"), "made_with_this_network")));
    json_decref(report);
    size_t size;
    char *page = (char *)file_load(in_folder("own/report.html"), &size);
    assert_non_null(strstr(page, "CLIP score decides nothing here"));
    memory_free(page);
}

/* A model that takes no prompt has no score, so it wins and loses by none. */
static void test_without_prompts(void **state)
{
    (void)state;
    char words[512];
    snprintf(words, sizeof words, "compare 사과 --a a.safetensors --b %s/gan/seeds.safetensors -n 3 -o plain" CLIP,
             GOLDEN);
    run_only(words);
    json_t *report = read_report("plain/report.json");
    const json_t *seeds = entrant_of(report, "seeds");
    const json_t *score = json_object_get(json_object_get(seeds, "measures"), "clip_score");
    assert_true(json_is_null(json_object_get(score, "value")));
    assert_string_equal(json_string_value(json_object_get(score, "caution")), "this model takes no prompt");
    assert_true(json_is_false(json_object_get(seeds, "takes_prompts")));
    const char *headline = json_string_value(json_array_get(json_object_get(report, "verdict"), 0));
    assert_null(strstr(headline, "asked for"));
    json_decref(report);
    size_t size;
    char *page = (char *)file_load(in_folder("plain/report.html"), &size);
    /* For readers who have no such letters. */
    assert_non_null(strstr(page, "사과</span> <span class=\"soft\">(apple)</span>"));
    memory_free(page);
}

/* ---- unreadable pictures ---- */

static void test_unreadable(void **state)
{
    (void)state;
    pictures_drawn(in_folder("spoilt"), 4, 1, 32);
    pictures_drawn(in_folder("whole"), 3, 21, 32);
    file_save(in_folder("spoilt/001.png"), "not a picture", 13);
    struct outcome o = run("compare --pictures spoilt whole --reference spoilt -o spoilt-out" CLIP);
    assert_non_null(strstr(o.err, "spoilt/001.png"));
    outcome_clear(&o);
    json_t *report = read_report("spoilt-out/report.json");
    assert_int_equal(number_of(entrant_of(report, "spoilt"), "n"), 3);
    assert_int_equal(number_of(entrant_of(report, "spoilt"), "left_out"), 1);
    assert_int_equal(number_of(entrant_of(report, "whole"), "left_out"), 0);
    assert_int_equal(number_of(reference_of(report), "left_out"), 1);
    const char *warning = json_string_value(json_array_get(json_object_get(report, "warnings"), 0));
    assert_non_null(strstr(warning, "spoilt: 1 of 4 pictures cannot be read and are left out (spoilt/001.png"));
    json_decref(report);
    static const char *const more[] = {"spoilt/000.png", "spoilt/002.png"};
    for (int i = 0; i < 2; i++) file_save(in_folder(more[i]), "not a picture", 13);
    o = command_run(scratch.folder, "compare --pictures spoilt whole -o spoilt-out" CLIP, NULL);
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.err, "there is only one picture in this folder that can be read"));
    outcome_clear(&o);
}

/* ---- refusals ---- */

static void test_refusals(void **state)
{
    (void)state;
    pictures_drawn(in_folder("small"), 3, 1, 32);
    pictures_drawn(in_folder("large"), 3, 1, 40);
    pictures_drawn(in_folder("mixed"), 2, 1, 32);
    pictures_drawn(in_folder("mixed/b"), 1, 5, 40);
    assert_int_equal(rename(in_folder("mixed/b/000.png"), in_folder("mixed/z.png")), 0);
    pictures_drawn(in_folder("alone"), 1, 1, 32);
    assert_int_equal(mkdir(in_folder("nothing"), 0777), 0);
    file_save(in_folder("a-file"), "x", 1);
    file_save(in_folder("none.txt"), "# nothing\n\n", 11);
    static const struct {
        const char *words;
        int status;
        const char *sentence;
    } cases[] = {
        {"compare apple --a a.safetensors", 2, "a model needs another to be compared with"},
        {"compare apple --a a.safetensors --b missing.safetensors -o out" CLIP, 1, "missing.safetensors"},
        {"compare apple --a a.safetensors --b b.safetensors -n 1 -o out" CLIP, 2,
         "1 pictures of 1 prompt make 1 of each model: must be 2 to 100000"},
        {"compare apple --a a.safetensors --b b.safetensors -n 0 -o out", 2, "--count 0: must be a whole number"},
        {"compare apple --a a.safetensors --b a-file -o out" CLIP, 1, "a-file"},
        {"compare apple --a a.safetensors --b b.safetensors -n 2 -o out --clip a.safetensors", 1, "a.safetensors"},
        {"compare apple --a a.safetensors --b b.safetensors -n 2 -o out --clip none.safetensors", 1,
         "none.safetensors"},
        {"compare apple --a a.safetensors --b b.safetensors -o a-file" CLIP, 1, "a-file: is there already"},
        {"compare apple --a a.safetensors --b b.safetensors -o none/out" CLIP, 1, "none/out: could not be made"},
        {"compare --prompts missing.txt --a a.safetensors --b b.safetensors", 2, "--prompts missing.txt"},
        {"compare --prompts none.txt --a a.safetensors --b b.safetensors", 2, "there is no prompt in this file"},
        {"compare --pictures small", 2, "--pictures needs 2 to 4 folders"},
        {"compare --pictures small large --a a.safetensors", 2, "there are no models to name"},
        {"compare --pictures small large --prompts none.txt", 2, "do not go together"},
        {"compare --pictures small large -n 2", 2, "do not go together"},
        {"compare --pictures small nowhere -o out" CLIP, 1, "nowhere"},
        {"compare --pictures small nothing -o out" CLIP, 1, "nothing"},
        {"compare --pictures small alone -o out" CLIP, 1, "only one picture"},
        {"compare --pictures small large -o out" CLIP, 1, "must be of one size"},
        {"compare --pictures mixed small -o out" CLIP, 1, "z.png"},
        {"compare --pictures small small --reference nothing -o out" CLIP, 1, "nothing"},
        {"compare --pictures small small --reference a-file -o out" CLIP, 1, "a-file"},
        {"compare apple --a a.safetensors --b b.safetensors -s 9223372036854775807 -o out" CLIP, 2, "seed"},
        {"compare 'a\xff' --a a.safetensors --b b.safetensors -o out" CLIP, 2, "not valid UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome o = command_run(scratch.folder, cases[i].words, NULL);
        if (o.status != cases[i].status || !strstr(o.err, cases[i].sentence))
            fail_msg("limn %s: exit status %d, not %d: %s", cases[i].words, o.status, cases[i].status, o.err);
        assert_string_equal(o.out, "");
        const char *end = strchr(o.err, '\n');
        if (!end || end[1]) fail_msg("limn %s: not one sentence: %s", cases[i].words, o.err);
        outcome_clear(&o);
    }
    assert_int_not_equal(access(in_folder("out/report.html"), F_OK), 0);
}

/* The library's own refusals. */
static void test_requests(void **state)
{
    (void)state;
    const char *const two[] = {"a", "b"}, *const hole[] = {"a", NULL}, *const empty[] = {"a", ""};
    const struct {
        struct limn_compare_request request;
        const char *sentence;
    } cases[] = {
        {{.models = two, .model_count = 2, .folders = two, .folder_count = 2}, "are not compared with each other"},
        {{.folders = two, .folder_count = 2, .prompts = two, .prompt_count = 2}, "say themselves"},
        {{.models = two, .model_count = 1}, "1 models: 2 to 4 can be compared"},
        {{.folders = two, .folder_count = 5}, "5 folders: 2 to 4 can be compared"},
        {{.models = two, .model_count = 2, .prompts = two, .prompt_count = 0}, "0 prompts: 1 to 1000"},
        {{.models = two, .model_count = 2, .prompts = hole, .prompt_count = 2}, "prompt 2 of 2 is NULL"},
        {{.models = empty, .model_count = 2}, "model 2 of 2 has no name"},
        {{.models = hole, .model_count = 2}, "model 2 of 2 has no name"},
        {{.models = two, .model_count = 2, .count = 10001}, "10001 pictures of each prompt: must be 1 to 10000"},
        {{.models = two, .model_count = 2, .count = -1}, "-1 pictures of each prompt"},
        {{.models = two, .model_count = 2, .threads = 257}, "threads 257"},
        {{.models = two, .model_count = 2, .prompts = two, .prompt_count = 2, .output = ""}, "a: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct limn_comparison comparison;
        struct limn_error error = {0};
        assert_int_not_equal(limn_compare(&cases[i].request, &comparison, &error), LIMN_OK);
        if (!strstr(error.text, cases[i].sentence)) fail_msg("%s: %s", cases[i].sentence, error.text);
        assert_null(comparison.report);
        assert_null(comparison.verdict);
    }
    limn_comparison_clear(NULL);
}

/* A disk that is full when the page is written leaves no half of one. */
static void test_full_disk(void **state)
{
    (void)state;
    const struct command_limits limits = {.file_bytes = 5000};
    struct outcome o = command_run(scratch.folder, "compare --pictures small small -o full" CLIP, &limits);
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.err, "full/"));
    assert_int_not_equal(access(in_folder("full/report.html"), F_OK), 0);
    outcome_clear(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planted),         cmocka_unit_test(test_again),
        cmocka_unit_test(test_figures),         cmocka_unit_test(test_folders_of_models),
        cmocka_unit_test(test_events),          cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_escaping),        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_full_disk),       cmocka_unit_test(test_captions),
        cmocka_unit_test(test_shipped),         cmocka_unit_test(test_made_with_the_judge),
        cmocka_unit_test(test_without_prompts), cmocka_unit_test(test_unreadable),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
