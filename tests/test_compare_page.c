/* SPDX-License-Identifier: MIT
 *
 * The page of a comparison in a real browser: every picture loads, nothing is fetched, nothing is complained about, and
 * at a phone's width nothing sticks out. Skipped where there is no Chromium.
 */
#define _POSIX_C_SOURCE 200809L
#include "core/base/memory.h"
#include "core/io/safetensors_write.h"
#include "tests/support/command.h"
#include "tests/support/pictures.h"
#include "tests/support/scratch.h"
#include "tests/support/tiny.h"
#include "tests/support/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { OUTPUT_BYTES = 1 << 22 };

/* What the page is asked to say about itself, once all is loaded. Only this copy of it has a script. */
static const char script[] =
    "<script>addEventListener('load',()=>{const i=[...document.images],d=document.documentElement;"
    "d.dataset.pictures=i.length;d.dataset.loaded=i.filter(x=>x.complete&&x.naturalWidth>0).length;"
    "d.dataset.named=i.filter(x=>x.alt).length;d.dataset.fetched=performance.getEntriesByType('resource')"
    ".filter(x=>!x.name.startsWith('data:')).length;"
    "d.dataset.wide=d.scrollWidth>innerWidth?d.scrollWidth:0;})</script></body>";

static struct scratch scratch;

static bool has_chromium(void)
{
    return system("command -v chromium >/dev/null 2>&1") == 0;
}

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    char written[TINY_PATH_BYTES];
    const struct safetensors_note heads = {"limn.pack", "{\"text\": {\"heads\": 4}, \"image\": {\"heads\": 6}}"};
    scratch_open(&scratch);
    const char *clip = scratch_path(&scratch, "clip.safetensors");
    assert_int_equal(weights_write_noted(clip, (const char *[]){"clip-hf"}, 1, DTYPE_F32, &heads, 1, &err), STATUS_OK);
    tiny_write(written, TINY_PACK);
    assert_int_equal(rename(written, scratch_path(&scratch, "pack.safetensors")), 0);
    pictures_drawn(scratch_path(&scratch, "real"), 8, 1, 40);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

/* Writes page.html: the report with the script in it. Returns how many pictures the report has. */
static int add_script(const char *report)
{
    size_t size;
    char *text = (char *)file_load(scratch_path(&scratch, report), &size);
    char *end = strstr(text, "</body>");
    assert_non_null(end);
    int pictures = 0;
    for (const char *at = text; (at = strstr(at, "<img ")) != NULL; at++) pictures++;
    FILE *file = fopen(scratch_path(&scratch, "page.html"), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, (size_t)(end - text), file), (size_t)(end - text));
    fputs(script, file);
    fputs(end + strlen("</body>"), file);
    assert_int_equal(fclose(file), 0);
    memory_free(text);
    return pictures;
}

/* The page as the browser has it after loading, and what it logs. The caller frees it. */
static char *open_page(int width)
{
    char command[1024];
    snprintf(command, sizeof command,
             "cd '%s' && chromium --headless --no-sandbox --disable-gpu --user-data-dir=profile --window-size=%d,900 "
             "--enable-logging=stderr --v=0 --virtual-time-budget=2000 --dump-dom page.html 2>&1",
             scratch.folder, width);
    FILE *pipe = popen(command, "r");
    char *text = memory_alloc(OUTPUT_BYTES);
    assert_true(pipe && text);
    const size_t got = fread(text, 1, OUTPUT_BYTES - 1, pipe);
    text[got] = '\0';
    while (fgetc(pipe) != EOF) continue;
    assert_int_equal(pclose(pipe), 0);
    return text;
}

/* A number that the script has left in the html element; -1: it is not there. */
static int said(const char *text, const char *name)
{
    char attribute[64];
    snprintf(attribute, sizeof attribute, "data-%s=\"", name);
    const char *at = strstr(text, attribute);
    return at ? atoi(at + strlen(attribute)) : -1;
}

static void check_page(const char *report)
{
    static const int widths[] = {1280, 390};
    const int pictures = add_script(report);
    assert_true(pictures > 20);
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        char *text = open_page(widths[i]);
        assert_int_equal(said(text, "pictures"), pictures);
        assert_int_equal(said(text, "loaded"), pictures);
        assert_int_equal(said(text, "named"), pictures);
        assert_int_equal(said(text, "fetched"), 0);
        assert_int_equal(said(text, "wide"), 0);
        assert_null(strstr(text, "CONSOLE"));
        memory_free(text);
    }
}

static void test_page(void **state)
{
    (void)state;
    char words[1024];
    if (!has_chromium()) {
        print_message("skipped: there is no chromium here to open the page with\n");
        skip();
    }
    snprintf(words, sizeof words,
             "compare apple '사과 <b>' --a pack.safetensors --b %s/gan/seeds.safetensors -n 4 --reference real "
             "--clip clip.safetensors -o out --quiet",
             GOLDEN);
    struct outcome o = command_run(scratch.folder, words, NULL);
    if (o.status != 0) fail_msg("%s", o.err);
    outcome_clear(&o);
    check_page("out/report.html");

    o = command_run(scratch.folder,
                    "compare --pictures out/pictures/pack real --clip clip.safetensors -o other --quiet", NULL);
    assert_int_equal(o.status, 1); /* of unlike sizes */
    outcome_clear(&o);
    o = command_run(scratch.folder,
                    "compare --pictures real out/pictures/../../real --reference real --clip clip.safetensors "
                    "-o finished --quiet",
                    NULL);
    if (o.status != 0) fail_msg("%s", o.err);
    outcome_clear(&o);
    check_page("finished/report.html");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_page)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
