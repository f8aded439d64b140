/* SPDX-License-Identifier: MIT
 *
 * What people and their files get wrong, given to the built program: one sentence on standard error, exit status 2 for
 * usage and 1 for failure, nothing on standard output, nothing left in the folder.
 */
#define _GNU_SOURCE /* memmem */
#include "core/base/memory.h"
#include "core/io/image.h"
#include "include/limn.h"
#include "tests/support/command.h"
#include "tests/support/tiny.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#include <cmocka.h>

enum { EITHER = 3 }; /* 1 or 2: it depends on who runs the test */

/* M stands for "-m pack.safetensors", a sound tiny model. */
static const struct {
    const char *words;
    int status;
    const char *says;
} cases[] = {
    /* commands and words */
    {"generat x", 2, "unknown command 'generat'; did you mean 'limn generate'?"},
    {"paint x", 2, "unknown command 'paint'"},
    {"--steps 3 generate x", 2, "a command comes first"},
    {"generate", 2, "needs a PROMPT"},
    {"generate a red apple", 2, "'red' follows"},
    {"vary", 2, "needs IMAGE"},
    {"edit photo.png x", 2, "needs --mask"},
    {"help nothing", 2, "unknown command 'nothing'"},
    {"version x", 2, "'x' follows"},
    {"score photo.png", 2, "score takes a picture and at least one text"},
    {"score photo.png x --retrieval .", 2, "'photo.png' is one word too many"},
    {"bench nothing", 2, "unknown case 'nothing'"},
    {"bench --trac x", 2, "unknown option --trac; did you mean --trace?"},
    {"bench --trace", 2, "--trace needs a value: --trace FILE"},
    {"bench --rounds 0", 2, "--rounds 0: must be "},
    {"bench --steps many", 2, "--steps many: "},
    {"generate x --trace t.json", 2, "--trace does not belong to limn generate"},
    /* what a terminal would obey, and what is no character */
    {"gen\033]0;x\007 x", 2, "unknown command 'gen\\x1b]0;x\\x07'"},
    {"generate x -m a\033[2J\x9b\xc2\x9b\x7f\xff\xed\xa0\x80-\xec\x82\xac", 1,
     "a\\x1b[2J\\x9b\\xc2\\x9b\\x7f\\xff\\xed\\xa0\\x80-\xec\x82\xac: "},
    /* options */
    {"generate x --step 3", 2, "unknown option --step; did you mean --steps?"},
    {"generate x --foo", 2, "unknown option --foo"},
    {"generate x -z", 2, "unknown option -z"},
    {"generate x --steps", 2, "--steps needs a value"},
    {"generate x --json=1", 2, "--json takes no value"},
    {"generate x --mask m.png", 2, "--mask does not belong to limn generate"},
    {"generate x --strength 0.5", 2, "--strength does not belong to limn generate"},
    {"info --seed 1", 2, "--seed does not belong to limn info"},
    {"generate x --show --json", 2, "--show and --json"},
    /* numbers */
    {"generate x --steps 0", 2, "--steps 0: must be a whole number from 1 to 1000"},
    {"generate x --steps -5", 2, "--steps -5: must be a whole number"},
    {"generate x --steps 1001", 2, "--steps 1001"},
    {"generate x --steps 20x", 2, "--steps 20x"},
    {"generate x --steps abc", 2, "--steps abc"},
    {"generate x --steps=", 2, "--steps "},
    {"generate x --steps 1e2", 2, "--steps 1e2"},
    {"generate x --steps 0x10", 2, "--steps 0x10"},
    {"generate x --steps 99999999999999999999", 2, "--steps 99999999999999999999"},
    {"generate x --cfg 0.5", 2, "--cfg 0.5: must be a number from 1 to 100"},
    {"generate x --cfg nan", 2, "--cfg nan"},
    {"generate x --cfg inf", 2, "--cfg inf"},
    {"generate x --cfg 7,5", 2, "--cfg 7,5"},
    {"generate x --cfg 1e999", 2, "--cfg 1e999"},
    {"generate x --eta 2", 2, "--eta 2"},
    {"generate x --seed -1", 2, "--seed -1"},
    {"generate x --seed 1.5", 2, "--seed 1.5"},
    {"generate x --seed 9223372036854775808", 2, "from 0 to 9223372036854775807"},
    {"generate x -n 0", 2, "--count 0"},
    {"generate x -n 3 --seed 9223372036854775806", 2, "the last seed would be above 9223372036854775807"},
    {"generate x --clip-skip 13", 2, "--clip-skip 13"},
    {"generate x --threads 1000", 2, "--threads 1000"},
    {"generate x --max-memory 12", 2, "--max-memory 12"},
    {"generate x --max-memory 3X", 2, "--max-memory 3X"},
    {"generate x --max-memory 3Gi", 2, "--max-memory 3Gi"},
    {"vary photo.png --strength 0", 2, "--strength 0: must be a number from 0.01 to 1"},
    {"vary photo.png --strength 1.1", 2, "--strength 1.1"},
    {"edit photo.png --mask mask.png --mask-blur 999", 2, "--mask-blur 999"},
    /* sizes */
    {"generate x --size 512", 2, "--size 512: must be WIDTHxHEIGHT"},
    {"generate x --size 512x", 2, "--size 512x"},
    {"generate x --size 64x64x64", 2, "--size 64x64x64"},
    {"generate x --size 513x512", 2, "--size 513x512"},
    {"generate x --size 0x0", 2, "--size 0x0"},
    {"generate x --size -64x64", 2, "--size -64x64"},
    {"generate x --size 99999999999x64", 2, "--size 99999999999x64"},
    {"generate x --size 8192x64", 2, "--size 8192x64"},
    /* names */
    {"generate x --sampler best", 2, "--sampler best: must be one of euler_a"},
    {"generate x --schedule fast", 2, "--schedule fast: must be one of default"},
    {"generate x --rng dice", 2, "--rng dice: must be one of philox, mt19937"},
    {"generate x --prediction w", 2, "--prediction w: must be one of eps, v, x0"},
    {"generate x --weights q5_1", 2, "--weights q5_1: must be one of f32, f16, bf16, q8_0, q4_0"},
    {"generate apple M --sampler ddim --schedule karras", 2, "ddim"},
    {"devices --compute f16", 2, "limn devices lists what there is; --compute goes with --check"},
    {"generate x --compute f8", 2, "--compute f8: must be one of f32, bf16, f16"},
    {"generate apple M --sampler euler --eta 1", 2, "eta"},
    /* where to write */
    {"generate x -o out.gif", 2, "--output out.gif: must end in .png, .jpg or .jpeg"},
    {"generate x -o png", 2, "--output png"},
    {"generate x -o %s.png", 2, "after a percent sign"},
    {"generate x -o %n.png", 2, "after a percent sign"},
    {"generate x -o %1000000d.png", 2, "after a percent sign"},
    {"generate x -o 100%.png", 2, "after a percent sign"},
    {"generate x -o nowhere/out.png", 2, "there is no folder 'nowhere'"},
    {"generate apple M -o /proc/out.png", EITHER, "/proc/out.png"},
    {"generate x -o folder.png", 2, "--output folder.png: a folder is there"},
    {"generate x -s 5 -o seed-{seed}/x.png", 2, "there is no folder 'seed-5'"},
    {"generate x -s 0 -n 2 -o seed-{seed}/x.png", 2, "there is no folder 'seed-1'"},
    {"generate x -s 6 -n 2 -o folder/%d/x.png", 2, "there is no folder 'folder/1'"},
    /* prompts */
    {"generate a\xff M", 2, "limn: the prompt is not valid UTF-8: byte 0xff at offset 1"},
    {"generate \xed\xa0\x80 M", 2, "the prompt"},
    {"generate x --negative \xc3 M", 2, "limn: the negative prompt is not valid"},
    {"generate (apple:99999999) M", 2, "weight"},
    /* models */
    {"generate x -m missing", 1, "missing"},
    {"generate x -m empty", 1, "empty"},
    {"generate x -m text", 1, "text"},
    {"generate x -m folder", 1, "folder"},
    {"generate x -m photo.png", 1, "photo.png"},
    {"generate x -m short.safetensors", 1, "short.safetensors"},
    {"generate x -m long-header.safetensors", 1, "long-header.safetensors"},
    {"generate x -m no-json.safetensors", 1, "no-json.safetensors"},
    {"generate x -m beyond.safetensors", 1, "beyond.safetensors"},
    {"generate x -m cut.safetensors", 1, "cut.safetensors"},
    {"generate x -m huge-shape.safetensors", 1, "huge-shape.safetensors"},
    {"generate x -m nan.safetensors", 1, "not numbers"},
    {"generate x -m unet.safetensors", 1, "a U-Net only; needs a text encoder and a VAE"},
    {"generate x -m vae.safetensors", 1, "a VAE only; needs a text encoder and a U-Net"},
    {"generate x -m bad-pack.safetensors", 1, "'steps' must be a whole number"},
    {"generate x -m heads.safetensors", 1, "heads.safetensors: attention: 7 heads do not divide a width of 32"},
    {"generate x -m no-pickle.ckpt", 1, "no-pickle.ckpt"},
    {"generate x -m evil.ckpt", 1, "system"},
    {"generate x -m cut.ckpt", 1, "cut.ckpt"},
    {"info evil.ckpt", 1, "system"},
    {"info missing", 1, "missing"},
    {"generate apple M --vae photo.png", 1, "photo.png"},
    {"generate apple M --vae unet.safetensors", 1, "there is no VAE"},
    {"generate apple M --max-memory 2M", 1, "MiB"},
    {"generate apple M --size 1024x1024 --max-memory 150M", 1, "MiB"},
    /* pictures and masks */
    {"vary missing.png M", 1, "missing.png"},
    {"vary empty M", 1, "empty"},
    {"vary text M", 1, "text"},
    {"vary folder M", 1, "folder"},
    {"vary cut.png M", 1, "cut.png"},
    {"vary huge.png M", 1, "huge.png"},
    {"vary cut.jpg M", 1, "cut.jpg"},
    {"edit photo.png --mask missing.png M", 1, "missing.png"},
    {"edit photo.png --mask cut.png M", 1, "cut.png"},
    {"edit photo.png --mask black.png M", 2, "nothing to repaint"},
    {"generate --from photo.png M", 1, "does not say how it was made"},
    {"generate --from missing.png M", 1, "missing.png"},
    {"generate --from bad-text.png M", 1, "'CFG scale: many'"},
    {"generate --from no-size.png M", 1, "'Size: 0x64', but it must be WIDTHxHEIGHT, both above 0"},
    {"generate --from varied.png M", 2, "limn vary"},
    /* an error is one sentence, whatever there is to note besides */
    {"generate unheard-of M --max-memory 2M", 1, "MiB"},
    {"generate (unheard-of:99999999) M", 2, "weight"},
    {"edit photo.png unheard-of --mask black.png M", 2, "nothing to repaint"},
};

static char folder[64];
static const char *const models[] = {"pack.safetensors", "unet.safetensors", "vae.safetensors"};

/* ---- the files ---- */

static void write_file(const char *name, const void *bytes, size_t size)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static char *read_file(const char *name, size_t *size)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = memory_alloc(*size);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

/* The first `part` of a file under another name. */
static void cut_file(const char *name, const char *cut, double part)
{
    size_t size;
    char *bytes = read_file(name, &size);
    write_file(cut, bytes, (size_t)((double)size * part));
    memory_free(bytes);
}

/* A safetensors file with this header and `data` zero bytes behind it. */
static void write_header(const char *name, const char *header, uint64_t said_length, size_t data)
{
    char bytes[2048] = {0};
    const size_t length = strlen(header);
    for (int i = 0; i < 8; i++) bytes[i] = (char)(said_length >> (8 * i));
    memcpy(bytes + 8, header, length);
    write_file(name, bytes, 8 + length + data);
}

static void write_safetensors(void)
{
    static const char beyond[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}";
    static const char huge[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}";
    static const char pack[] = "{\"__metadata__\":{\"limn.pack\":\"{\\\"format\\\":1,\\\"name\\\":\\\"x\\\","
                               "\\\"defaults\\\":{\\\"steps\\\":-4}}\"},"
                               "\"cond_stage_model.transformer.text_model.embeddings.token_embedding.weight\":"
                               "{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
                               "\"model.diffusion_model.input_blocks.0.0.weight\":"
                               "{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
                               "\"first_stage_model.decoder.conv_in.weight\":"
                               "{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}";
    write_header("short.safetensors", "", 2, 0);
    write_header("long-header.safetensors", "{}", UINT64_MAX / 2, 0);
    write_header("no-json.safetensors", "{\"a\":", 5, 0);
    write_header("beyond.safetensors", beyond, sizeof beyond - 1, 8);
    write_header("huge-shape.safetensors", huge, sizeof huge - 1, 0);
    write_header("bad-pack.safetensors", pack, sizeof pack - 1, 0);
    cut_file("pack.safetensors", "cut.safetensors", 0.5);
    size_t size;
    char *bytes = read_file("pack.safetensors", &size);
    memcpy(bytes + size - 4, "\0\0\xc0\x7f", 4);
    write_file("nan.safetensors", bytes, size);
    memory_free(bytes);
    bytes = read_file("pack.safetensors", &size);
    char *heads = memmem(bytes, size, "heads\\\": 4", 10);
    assert_non_null(heads);
    heads[9] = '7';
    write_file("heads.safetensors", bytes, size);
    memory_free(bytes);
}

/* A zip file with one stored entry. */
static void write_zip(const char *name, const char *entry, const char *bytes, size_t size)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    assert_non_null(zip);
    const zip_int64_t index = zip_file_add(zip, entry, zip_source_buffer(zip, bytes, size, 0), 0);
    assert_true(index >= 0);
    zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0);
    assert_int_equal(zip_close(zip), 0);
}

static void write_ckpts(void)
{
    /* os.system('touch owned'), as `pickle` would run it. */
    static const char evil[] = "\x80\x02"
                               "cos\nsystem\nX\x0b\0\0\0touch owned\x85R.";
    write_zip("evil.ckpt", "archive/data.pkl", evil, sizeof evil - 1);
    write_zip("no-pickle.ckpt", "archive/readme", "hello", 5);
    cut_file("evil.ckpt", "cut.ckpt", 0.7);
}

static void write_picture(const char *name, const char *parameters, int value)
{
    char path[160];
    uint8_t pixels[32 * 32 * 3];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(value < 0 ? (int)(i * i % 251) : value);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    struct limn_picture picture = {.image = {.width = 32, .height = 32, .channels = 3, .pixels = pixels},
                                   .parameters = memory_strdup(parameters ? parameters : "")};
    struct limn_error error = {0};
    const enum limn_status status =
        parameters ? limn_picture_write(&picture, path, &error) : limn_image_write(&picture.image, path, &error);
    if (status != LIMN_OK) fail_msg("%s", error.text);
    memory_free(picture.parameters);
}

static void write_pictures(void)
{
    size_t size;
    write_picture("photo.png", NULL, -1);
    write_picture("photo.jpg", NULL, -1);
    write_picture("mask.png", NULL, 255);
    write_picture("black.png", NULL, 0);
    write_picture("bad-text.png", "x\nCFG scale: many, Sampler: Euler, Seed: 7", -1);
    write_picture("no-size.png", "x\nSteps: 2, Sampler: Euler, Size: 0x64, Seed: 7", -1);
    write_picture("varied.png", "x\nSteps: 2, Sampler: Euler, Denoising strength: 0.5, Version: limn 0.1.0", -1);
    cut_file("photo.png", "cut.png", 0.6);
    cut_file("photo.jpg", "cut.jpg", 0.6);
    char *bytes = read_file("photo.png", &size);
    memset(bytes + 16, 0x7f, 8); /* width and height; the checksum is wrong then too */
    write_file("huge.png", bytes, size);
    memory_free(bytes);
}

static int set_up(void **state)
{
    (void)state;
    char path[160];
    snprintf(folder, sizeof folder, "bad-input-%d", (int)getpid());
    assert_int_equal(mkdir(folder, 0777), 0);
    static const enum tiny kinds[] = {TINY_PACK, TINY_UNET, TINY_VAE};
    for (int i = 0; i < 3; i++) {
        char written[TINY_PATH_BYTES];
        tiny_write(written, kinds[i]);
        snprintf(path, sizeof path, "%s/%s", folder, models[i]);
        assert_int_equal(rename(written, path), 0);
    }
    snprintf(path, sizeof path, "%s/folder", folder);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/folder.png", folder);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/seed-0", folder);
    assert_int_equal(mkdir(path, 0777), 0);
    write_file("empty", "", 0);
    write_file("text", "just a text\n", 12);
    write_safetensors();
    write_ckpts();
    write_pictures();
    return 0;
}

static int for_each_entry(void (*visit)(const char *path))
{
    char path[512];
    int count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.' && (!entry->d_name[1] || entry->d_name[1] == '.')) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (visit) visit(path);
        count++;
    }
    closedir(dir);
    return count;
}

static void remove_entry(const char *path)
{
    remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    for_each_entry(remove_entry);
    return rmdir(folder);
}

/* ---- the tests ---- */

static void expand(char *words, size_t size, const char *pattern)
{
    const char *m = strstr(pattern, " M");
    if (!m || (m[2] && m[2] != ' '))
        snprintf(words, size, "%s", pattern);
    else
        snprintf(words, size, "%.*s -m pack.safetensors --steps 1%s", (int)(m - pattern), pattern, m + 2);
}

static void check(const char *words, const struct command_limits *limits, int status, const char *says)
{
    const int before = for_each_entry(NULL);
    struct outcome o = command_run(folder, words, limits);
    const bool right_status = status == EITHER ? o.status == 1 || o.status == 2 : o.status == status;
    const char *end = strchr(o.err, '\n');
    const bool one_line = strncmp(o.err, "limn: ", 6) == 0 && end && end[1] == '\0';
    const bool ok = right_status && one_line && strstr(o.err, says) && o.out[0] == '\0';
    if (!ok)
        fail_msg("limn %s: exit status %d (wanted %d), which must say '%s':\n%s%s", words, o.status, status, says,
                 o.err, o.out);
    if (for_each_entry(NULL) != before) fail_msg("limn %s: left something behind", words);
    outcome_clear(&o);
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[512];
        expand(words, sizeof words, cases[i].words);
        check(words, NULL, cases[i].status, cases[i].says);
    }
    print_message("%zu cases\n", sizeof cases / sizeof *cases);
}

static void test_long_words(void **state)
{
    (void)state;
    const size_t length = 20000;
    char *words = memory_alloc(length + 128);
    assert_non_null(words);
    strcpy(words, "generate -m pack.safetensors ");
    memset(words + strlen(words), 'a', length);
    check(words, NULL, 2, "limn: the prompt is 20000 bytes long");
    words[strlen("generate -m pack.safetensors ") + 9000] = '\0';
    strcat(words, " -o long.jpg");
    check(words, NULL, 2, "metadata has room for prompts of 8000 bytes");
    strcpy(words, "generate apple -m pack.safetensors -o ");
    memset(words + strlen(words), 'a', length);
    strcpy(words + 5000, ".png");
    check(words, NULL, 2, "at most 4095");
    strcpy(words + 400, ".png");
    check(words, NULL, 2, "longer than the file system allows");
    memory_free(words);
}

static void test_full_disk(void **state)
{
    (void)state;
    check("generate apple -m pack.safetensors --steps 1 -o out.png", &(struct command_limits){.file_bytes = 1000}, 1,
          "out.png");
    check("generate apple -m pack.safetensors --steps 1 -o out.jpg", &(struct command_limits){.file_bytes = 1000}, 1,
          "out.jpg");
    check("generate apple -m pack.safetensors --steps 1", &(struct command_limits){.file_bytes = 1000}, 1,
          "limn-0001.png");
    if (access("/dev/full", W_OK) != 0) return;
    check("info pack.safetensors", &(struct command_limits){.output = "/dev/full"}, 1, "standard output");
    check("help generate", &(struct command_limits){.output = "/dev/full"}, 1, "standard output");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
