/* SPDX-License-Identifier: MIT
 *
 * limn info [FILE]
 */
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/sentence.h"

#include <stdio.h>
#include <string.h>

static json_t *text_list(const char *const *texts)
{
    json_t *list = json_array();
    for (int i = 0; texts[i]; i++) json_array_append_new(list, event_text(texts[i]));
    return list;
}

static json_t *text_or_null(const char *text)
{
    return text ? event_text(text) : json_null();
}

static void write_json(const struct limn_info *info)
{
    json_t *parts = json_array(), *dtypes = json_object();
    for (int i = 0; i < LIMN_PARTS && info->parts[i].name; i++) {
        const struct limn_part *part = &info->parts[i];
        json_array_append_new(parts, json_pack("{s:s, s:b, s:i, s:I, s:I}", "name", part->name, "present",
                                               part->present, "tensors", part->tensors, "parameters",
                                               (json_int_t)part->parameters, "bytes", (json_int_t)part->bytes));
    }
    for (int i = 0; i < LIMN_DTYPES && info->dtypes[i].name; i++)
        json_object_set_new(dtypes, info->dtypes[i].name, json_integer(info->dtypes[i].tensors));
    json_t *event =
        json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:i, s:I, s:I, s:o, s:o}", "path", event_text(info->path), "format",
                  info->format, "kind", info->kind, "title", info->title, "prediction", text_or_null(info->prediction),
                  "missing", text_or_null(info->missing), "tensors", info->tensors, "parameters",
                  (json_int_t)info->parameters, "bytes", (json_int_t)info->bytes, "parts", parts, "dtypes", dtypes);
    if (event && info->width) {
        json_object_set_new(event, "width", json_integer(info->width));
        json_object_set_new(event, "height", json_integer(info->height));
    }
    if (event && info->name) {
        json_object_set_new(event, "name", event_text(info->name));
        json_object_set_new(event, "licence", text_or_null(info->licence));
        json_object_set_new(event, "concepts", text_list(info->concepts));
        json_object_set_new(event, "concepts_ko", text_list(info->concepts_ko));
        json_object_set_new(event, "styles", text_list(info->styles));
        json_object_set_new(event, "colours", text_list(info->colours));
        json_object_set_new(event, "colours_ko", text_list(info->colours_ko));
    }
    event_write(event);
}

/* "1.07 G", "859.5 M", "312". */
static const char *short_count(char text[32], uint64_t count, double thousand)
{
    static const char units[] = {' ', 'K', 'M', 'G', 'T'};
    double value = (double)count;
    size_t unit = 0;
    while (value >= thousand && unit + 1 < sizeof units) {
        value /= thousand;
        unit++;
    }
    snprintf(text, 32, unit ? "%.2f %c" : "%.0f", value, units[unit]);
    return text;
}

/* Texts with commas between, in lines of at most 100 columns, `second` (may be NULL) in brackets behind each. */
static void print_list(const char *heading, const char *const *texts, const char *const *second)
{
    const int indent = 14;
    int column = 100;
    for (int i = 0; texts[i]; i++) {
        char item[256];
        const char *other = second && second[i] && second[i][0] ? second[i] : NULL;
        const int length = snprintf(item, sizeof item, "%s%s%s%s%s", texts[i], other ? " (" : "", other ? other : "",
                                    other ? ")" : "", texts[i + 1] ? "," : "");
        if (i == 0) {
            printf("  %-*s", indent - 2, heading);
            column = indent;
        } else if (column + 1 + length > 100) {
            printf("\n%*s", indent, "");
            column = indent;
        } else {
            putchar(' ');
            column++;
        }
        print_clean(stdout, item);
        column += length;
    }
    if (texts[0]) putchar('\n');
}

static void print_line(const char *heading, const char *text)
{
    fputs(heading, stdout);
    print_clean(stdout, text);
    putchar('\n');
}

static void print_info(const struct limn_info *info)
{
    char count[32], bytes[32];
    print_line("", info->path);
    printf("  kind        %s", info->title);
    if (info->name) {
        fputs(" \"", stdout);
        print_clean(stdout, info->name);
        putchar('"');
    }
    putchar('\n');
    if (info->missing) printf("  missing     %s\n", info->missing);
    if (info->prediction) printf("  prediction  %s\n", info->prediction);
    if (info->width) printf("  size        %dx%d by default\n", info->width, info->height);
    printf("  format      %s, %sB, %d tensors, %s parameters\n", info->format, short_count(bytes, info->bytes, 1024),
           info->tensors, short_count(count, info->parameters, 1000));
    fputs("  types      ", stdout);
    for (int i = 0; i < LIMN_DTYPES && info->dtypes[i].name; i++)
        printf("%s %s (%d tensors, %sB)", i ? "," : "", info->dtypes[i].name, info->dtypes[i].tensors,
               short_count(bytes, info->dtypes[i].bytes, 1024));
    puts("");
    for (int i = 0; i < LIMN_PARTS && info->parts[i].name; i++) {
        const struct limn_part *part = &info->parts[i];
        if (part->present)
            printf("  %-14s%d tensors, %s parameters, %sB\n", part->name, part->tensors,
                   short_count(count, part->parameters, 1000), short_count(bytes, part->bytes, 1024));
        else
            printf("  %-14snot in the file\n", part->name);
    }
    if (!info->name) return;
    print_list("styles", info->styles, NULL);
    print_list("colours", info->colours, info->colours_ko);
    print_list("concepts", info->concepts, info->concepts_ko);
    if (info->licence) print_line("  licence     ", info->licence);
}

int command_info(const struct options *options)
{
    struct limn_error error = {0};
    struct limn_info info = {0};
    if (limn_info_read(&info, options->word_count > 0 ? options->words[0] : NULL, &error) != LIMN_OK)
        return report_failure(options, &error);
    if (options->given[OPTION_JSON])
        write_json(&info);
    else if (!options->given[OPTION_QUIET])
        print_info(&info);
    limn_info_clear(&info);
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}
