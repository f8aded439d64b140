/* SPDX-License-Identifier: MIT
 *
 * limn compare [PROMPT...] and limn compare --pictures FOLDER FOLDER...
 */
#include "cli/commands.h"
#include "cli/display.h"
#include "cli/events.h"
#include "cli/sentence.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MOST_FILE_BYTES = 1 << 20 };

struct prompts {
    char text[MOST_FILE_BYTES]; /* the file, each line ended with NUL */
    const char *list[LIMN_MAX_PROMPTS];
    int count;
};

/* ---- prompts ---- */

static bool add_prompt(struct prompts *prompts, const char *prompt)
{
    if (prompts->count == LIMN_MAX_PROMPTS) {
        usage_error("there are more than %d prompts, which is the most that can be compared by", LIMN_MAX_PROMPTS);
        return false;
    }
    prompts->list[prompts->count++] = prompt;
    return true;
}

static bool read_file(struct prompts *prompts, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        usage_error("--prompts %s: could not be opened: %s", path, strerror(errno));
        return false;
    }
    errno = 0;
    const size_t size = fread(prompts->text, 1, sizeof prompts->text, file);
    const bool failed = ferror(file) != 0;
    const int cause = errno;
    fclose(file);
    if (failed)
        usage_error("--prompts %s: could not be read: %s", path, strerror(cause));
    else if (size == sizeof prompts->text)
        usage_error("--prompts %s: the file is larger than 1 MiB", path);
    else if (memchr(prompts->text, '\0', size))
        usage_error("--prompts %s: is not a text file", path);
    else
        return true;
    return false;
}

/* Lines without their ends; blank ones and those that begin with # are passed over. */
static bool add_lines(struct prompts *prompts, const char *path)
{
    if (!read_file(prompts, path)) return false;
    const int before = prompts->count;
    char *at = prompts->text;
    if (strncmp(at, "\xef\xbb\xbf", 3) == 0) at += 3;
    while (*at) {
        char *line = at;
        at += strcspn(at, "\r\n");
        if (*at) *at++ = '\0';
        if (line[strspn(line, " \t")] && line[0] != '#' && !add_prompt(prompts, line)) return false;
    }
    if (prompts->count > before) return true;
    usage_error("--prompts %s: there is no prompt in this file", path);
    return false;
}

static bool gather_prompts(const struct options *options, struct prompts *prompts)
{
    for (int i = 0; i < options->word_count; i++)
        if (!add_prompt(prompts, options->words[i])) return false;
    return !options->given[OPTION_PROMPTS] || add_lines(prompts, options->value[OPTION_PROMPTS].text);
}

/* ---- the request ---- */

static int gather_models(const struct options *options, const char *models[LIMN_MAX_COMPARED])
{
    static const enum option letters[LIMN_MAX_COMPARED] = {OPTION_A, OPTION_B, OPTION_C, OPTION_D};
    int count = 0;
    for (int i = 0; i < LIMN_MAX_COMPARED; i++)
        if (options->given[letters[i]]) models[count++] = options->value[letters[i]].text;
    return count;
}

static uint64_t whole_or_zero(const struct options *options, enum option option)
{
    return options->given[option] ? (uint64_t)options->value[option].whole : 0;
}

/* ---- what came of it ---- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static bool any_caution(const json_t *entrants, const char *group, const char *name)
{
    for (size_t i = 0; i < json_array_size(entrants); i++) {
        const json_t *figure = json_object_get(json_object_get(json_array_get(entrants, i), group), name);
        if (json_object_get(figure, "caution")) return true;
    }
    return false;
}

/* A figure of each of the compared in a line, if all have it; a star if it is to be taken with caution. */
static void print_line(const json_t *entrants, const char *title, const char *group, const char *name,
                       const char *member, const char *format, const char *behind)
{
    double values[LIMN_MAX_COMPARED];
    const size_t count = json_array_size(entrants);
    for (size_t i = 0; i < count && i < LIMN_MAX_COMPARED; i++) {
        const json_t *value = json_object_get(json_object_get(json_array_get(entrants, i), group), name);
        if (member) value = json_object_get(value, member);
        if (!json_is_number(value)) return;
        values[i] = json_number_value(value);
    }
    char starred[32];
    snprintf(starred, sizeof starred, "%s%s", title, any_caution(entrants, group, name) ? " *" : "");
    printf("%-22s", starred);
    for (size_t i = 0; i < count && i < LIMN_MAX_COMPARED; i++) {
        char text[32];
        snprintf(text, sizeof text, format, values[i]);
        printf("%14s", text);
    }
    printf("  %s\n", behind);
}

/* What the figures are of: without it they say nothing. */
static void print_basis(const json_t *report)
{
    const json_t *entrants = json_object_get(report, "entrants"), *reference = json_object_get(report, "reference");
    const char *features = text_of(report, "features");
    printf("%-22s", "pictures");
    for (size_t i = 0; i < json_array_size(entrants); i++)
        printf("%14lld", (long long)json_integer_value(json_object_get(json_array_get(entrants, i), "n")));
    putchar('\n');
    if (!features[0]) return;
    printf("* to be taken with caution: the report says why\nfeatures: ");
    print_clean(stdout, features);
    printf("; %s\nreference: ", text_of(report, "resize_rule"));
    if (json_is_object(reference)) {
        print_clean(stdout, text_of(reference, "path"));
        printf(", %lld pictures\n", (long long)json_integer_value(json_object_get(reference, "n")));
    } else {
        puts("none");
    }
}

static void print_table(const json_t *report)
{
    static const struct {
        const char *title, *name, *behind;
    } rows[] = {
        {"CLIP score", "clip_score", "higher: closer to the prompt"},
        {"KID", "kid", "lower: closer to the reference"},
        {"FID", "fid", "lower: closer to the reference"},
        {"CMMD", "cmmd", "lower: closer to the reference"},
        {"precision", "precision", "higher: like the reference"},
        {"recall", "recall", "higher: covers the reference"},
        {"mean distance", "diversity", "higher: more various"},
        {"MS-SSIM", "ms_ssim", "lower: more various"},
        {"distinct pictures", "distinct", "higher: fewer duplicates"},
        {"copies", "copies", "lower: less copied from the reference"},
    };
    const json_t *entrants = json_object_get(report, "entrants");
    printf("\n%-22s", "");
    for (size_t i = 0; i < json_array_size(entrants); i++)
        printf(" %13.13s", text_of(json_array_get(entrants, i), "name"));
    putchar('\n');
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        print_line(entrants, rows[i].title, "measures", rows[i].name, "value", "%.4g", rows[i].behind);
    print_line(entrants, "network evaluations", "cost", "evaluations", NULL, "%.0f", "for a picture");
    print_line(entrants, "GFLOP", "cost", "gflop", NULL, "%.3g", "for a picture");
    print_basis(report);
    putchar('\n');
}

static void announce(const struct options *options, const struct limn_comparison *comparison, const char *folder)
{
    json_t *report = json_loads(comparison->report, 0, NULL);
    char path[4200];
    snprintf(path, sizeof path, "%s/report.html", folder);
    if (options->given[OPTION_JSON]) {
        event_write(json_pack("{s:s, s:o, s:O}", "event", "comparison", "path", event_text(path), "report", report));
    } else if (!options->given[OPTION_QUIET]) {
        print_clean(stdout, comparison->verdict);
        putchar('\n');
        print_table(report);
        print_clean(stdout, path);
        putchar('\n');
    }
    json_decref(report);
}

static int compare(const struct options *options, const struct limn_compare_request *request)
{
    struct display display;
    const struct limn_watch watch = display_watch(&display, options, 1);
    struct limn_compare_request watched = *request;
    struct limn_comparison comparison = {0};
    struct limn_error error = {0};
    watched.watch = &watch;
    const enum limn_status status = limn_compare(&watched, &comparison, &error);
    display_clear(&display);
    if (status == LIMN_OK) announce(options, &comparison, request->output);
    limn_comparison_clear(&comparison);
    if (status != LIMN_OK) return report_failure(options, &error);
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}

int command_compare(const struct options *options)
{
    const char *models[LIMN_MAX_COMPARED];
    struct prompts prompts = {.count = 0};
    const bool folders = options->given[OPTION_PICTURES];
    const int model_count = gather_models(options, models);
    if (folders && model_count > 0)
        return usage_error("--pictures compares folders of finished pictures, so there are no models to name");
    if (folders && options->given[OPTION_PROMPTS])
        return usage_error(
            "--pictures and --prompts do not go together: finished pictures say their prompts themselves");
    if (folders && options->given[OPTION_EACH])
        return usage_error("--pictures and --count do not go together: all pictures of a folder are compared");
    if (folders && (options->word_count < 2 || options->word_count > LIMN_MAX_COMPARED))
        return usage_error("--pictures needs 2 to %d folders, as in: limn compare --pictures mine yours",
                           LIMN_MAX_COMPARED);
    if (model_count == 1) return usage_error("a model needs another to be compared with: --a MODEL --b MODEL");
    if (!folders && !gather_prompts(options, &prompts)) return EXIT_USAGE;
    const struct limn_compare_request request = {
        .models = model_count > 0 ? models : NULL,
        .model_count = model_count,
        .folders = folders ? options->words : NULL,
        .folder_count = folders ? options->word_count : 0,
        .prompts = prompts.count > 0 ? prompts.list : NULL,
        .prompt_count = prompts.count,
        .count = (int)whole_or_zero(options, OPTION_EACH),
        .reference = options_text(options, OPTION_REFERENCE),
        .clip = options_text(options, OPTION_CLIP),
        .output = options->given[OPTION_REPORT] ? options->value[OPTION_REPORT].text : "limn-compare",
        .seed = whole_or_zero(options, OPTION_FIRST_SEED),
        .device = options_device(options),
        .compute = options_text(options, OPTION_COMPUTE),
        .threads = (int)whole_or_zero(options, OPTION_THREADS),
        .max_memory = whole_or_zero(options, OPTION_MAX_MEMORY),
    };
    return compare(options, &request);
}
