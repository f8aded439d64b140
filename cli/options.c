/* SPDX-License-Identifier: MIT
 *
 * Numbers are read whole or not at all: "20x", "", " 5", "nan" and "0x10" are errors, and each sentence names the
 * option, what was given and what is allowed.
 */
#include "cli/options.h"

#include "cli/sentence.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct option_row {
    const char *name;
    char letter;
    enum option_kind kind;
    const char *argument;
    double low, high;
    const char *(*names)(int i);
    unsigned commands;
    const char *help;
};

static const struct option_row table[OPTION_ROWS] = {
#define X(id, name, letter, kind, argument, low, high, names, commands, help)                                          \
    {name, letter, kind, argument, (double)(low), (double)(high), names, commands, help},
    OPTION_MAP(X)
#undef X
};

int usage_error(const char *format, ...)
{
    char text[3 * 4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_sentence(text);
    return EXIT_USAGE;
}

/* ---- nearest names ---- */

enum { LONGEST_NAME = 32, KINDS_BYTES = 128 };

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b: Damerau's distance, restricted. */
static int edit_distance(const char *a, const char *b)
{
    const int la = (int)strlen(a), lb = (int)strlen(b);
    if (la > LONGEST_NAME || lb > LONGEST_NAME) return LONGEST_NAME;
    int rows[3][LONGEST_NAME + 1];
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (int j = 0; j <= lb; j++) above[j] = j;
    for (int i = 1; i <= la; i++) {
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            int best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best) best = above[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            row[j] = best;
        }
        int *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[lb];
}

const char *nearest_name(const char *word, const char *(*names)(int i))
{
    const char *nearest = NULL;
    int least = (int)strlen(word) / 3 + 2;
    for (int i = 0; names(i); i++) {
        const bool begins = strlen(word) >= 3 && strncmp(names(i), word, strlen(word)) == 0;
        const int distance = begins ? 1 : edit_distance(word, names(i));
        if (distance >= least) continue;
        least = distance;
        nearest = names(i);
    }
    return nearest;
}

static const char *option_name(int i)
{
    return i < OPTION_ROWS ? table[i].name : NULL;
}

/* ---- values ---- */

/* A number as people write it: digits, a point, an exponent; not what else strtod takes (inf, nan, hex, blanks). */
static bool plain_number(const char *text, const char *allowed)
{
    return strspn(text, allowed) == strlen(text) && strpbrk(text, "0123456789");
}

static bool parse_whole(const struct option_row *row, const char *text, int64_t *value)
{
    const int64_t low = (int64_t)row->low;
    const int64_t high = row->high >= (double)INT64_MAX ? INT64_MAX : (int64_t)row->high;
    char *end = NULL;
    errno = 0;
    const long long number = plain_number(text, "-0123456789") ? strtoll(text, &end, 10) : 0;
    if (!end || *end || errno == ERANGE || number < low || number > high) {
        usage_error("--%s %s: must be a whole number from %lld to %lld", row->name, text, (long long)low,
                    (long long)high);
        return false;
    }
    *value = number;
    return true;
}

static bool parse_real(const struct option_row *row, const char *text, double *value)
{
    char *end = NULL;
    const double number = plain_number(text, "+-.eE0123456789") ? strtod(text, &end) : NAN;
    if (!end || *end || !(number >= row->low && number <= row->high)) {
        usage_error("--%s %s: must be a number from %.10g to %.10g", row->name, text, row->low, row->high);
        return false;
    }
    *value = number;
    return true;
}

static bool parse_size(const struct option_row *row, const char *text, int *width, int *height)
{
    int used = 0;
    const bool plain = plain_number(text, "x0123456789") && strlen(text) < 16;
    const int parts = plain ? sscanf(text, "%5dx%5d%n", width, height, &used) : 0;
    const bool whole = parts == 2 && text[used] == '\0';
    const bool fits = whole && *width >= row->low && *width <= row->high && *height >= row->low && *height <= row->high;
    if (!fits || *width % 8 || *height % 8) {
        usage_error("--%s %s: must be WIDTHxHEIGHT such as 512x512, both multiples of 8 from %.0f to %.0f", row->name,
                    text, row->low, row->high);
        return false;
    }
    return true;
}

static bool parse_bytes(const struct option_row *row, const char *text, int64_t *value)
{
    char *end = NULL;
    double number = plain_number(text, ".0123456789KMGkmg") ? strtod(text, &end) : NAN;
    const char *const units = "kKmMgG";
    if (end && *end) {
        const char *unit = strchr(units, *end);
        for (long i = unit ? (unit - units) / 2 : -1; i >= 0; i--) number *= 1024;
        end++;
    }
    const double least = 1 << 20, most = (double)(1LL << 50);
    if (!end || *end || !(number >= least && number <= most)) {
        usage_error("--%s %s: must be a number of bytes of at least 1M, such as 3G, 800M or 2.5G", row->name, text);
        return false;
    }
    *value = (int64_t)number;
    return true;
}

/* "DPM++ 2M" is dpm++2m, and "Euler-A" is euler_a: case, blanks, '_' and '-' do not count. */
static bool same_name(const char *a, const char *b)
{
    for (;;) {
        a += strspn(a, " _-");
        b += strspn(b, " _-");
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
        if (!*a) return true;
        a++;
        b++;
    }
}

static bool parse_name(const struct option_row *row, const char *text, const char **value)
{
    char list[512] = "";
    for (int i = 0; row->names(i); i++) {
        if (same_name(row->names(i), text)) {
            *value = row->names(i);
            return true;
        }
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", row->names(i));
    }
    usage_error("--%s %s: must be one of %s", row->name, text, list);
    return false;
}

static bool parse_value(struct options *options, int i, const char *text)
{
    const struct option_row *row = &table[i];
    options->given[i] = true;
    switch (row->kind) {
    case KIND_FLAG: return true;
    case KIND_TEXT: options->value[i].text = text; return true;
    case KIND_WHOLE: return parse_whole(row, text, &options->value[i].whole);
    case KIND_REAL: return parse_real(row, text, &options->value[i].real);
    case KIND_SIZE: return parse_size(row, text, &options->value[i].size.width, &options->value[i].size.height);
    case KIND_BYTES: return parse_bytes(row, text, &options->value[i].whole);
    case KIND_NAME: return parse_name(row, text, &options->value[i].text);
    }
    return false;
}

/* ---- the command line ---- */

static bool is_named(const struct option_row *row, const char *word)
{
    if (word[1] != '-') return row->letter && row->letter == word[1];
    return strlen(row->name) == strcspn(word + 2, "=") && strncmp(row->name, word + 2, strlen(row->name)) == 0;
}

/* "--name", "--name=value" or "-n", "-nvalue"; *inline_value is what stands in the same word, or NULL. Where commands
 * mean different things by one name, it is the command's own that counts. */
static int find_option(const struct command *command, const char *word, const char **inline_value)
{
    int found = -1;
    for (int i = 0; i < OPTION_ROWS; i++)
        if (is_named(&table[i], word) && (found < 0 || table[i].commands & command->bit)) found = i;
    *inline_value = NULL;
    if (found >= 0 && word[1] != '-' && word[2]) *inline_value = word + 2;
    if (found >= 0 && word[1] == '-' && strchr(word, '=')) *inline_value = strchr(word, '=') + 1;
    return found;
}

static bool refuse_unknown(const struct command *command, const char *word)
{
    const char *nearest = word[1] == '-' ? nearest_name(word + 2, option_name) : NULL;
    if (nearest)
        usage_error("unknown option %s; did you mean --%s? (limn help %s lists them all)", word, nearest,
                    command->name);
    else
        usage_error("unknown option %s; limn help %s lists those there are", word, command->name);
    return false;
}

/* Reads the option in argv[0]; the number of words used, or 0 when it is wrong. */
static int parse_option(struct options *options, const struct command *command, int argc, char **argv)
{
    const char *text;
    const int i = find_option(command, argv[0], &text);
    if (i < 0) return refuse_unknown(command, argv[0]);
    const struct option_row *row = &table[i];
    if (!(row->commands & command->bit)) {
        usage_error("--%s does not belong to limn %s; limn help %s lists its options", row->name, command->name,
                    command->name);
        return 0;
    }
    if (row->kind == KIND_FLAG && text) {
        usage_error("--%s takes no value, but was given '%s'", row->name, text);
        return 0;
    }
    int used = 1;
    if (row->kind != KIND_FLAG && !text) {
        if (argc < 2) {
            usage_error("--%s needs a value: --%s %s", row->name, row->name, row->argument);
            return 0;
        }
        text = argv[1];
        used = 2;
    }
    return parse_value(options, i, text) ? used : 0;
}

/* Names of the kinds of `bits`, with commas between. */
static void list_kinds(const struct command *command, unsigned bits, char *text, size_t size)
{
    text[0] = '\0';
    for (const struct command_kind *kind = command->kinds; kind && kind->name; kind++) {
        const size_t at = strlen(text);
        if (kind->bit & bits) snprintf(text + at, size - at, "%s%s", at ? ", " : "", kind->name);
    }
}

/* Each option must belong to the kind that the first word names; what is no kind at all is for the command to say. */
static bool check_kind(struct options *options, const struct command *command)
{
    char whose[KINDS_BYTES];
    const struct command_kind *kind = options->word_count > 0 ? command->kinds : NULL;
    while (kind && kind->name && strcmp(kind->name, options->words[0]) != 0) kind++;
    if (!kind || !kind->name) return true;
    options->kind = kind->bit;
    for (int i = 0; i < OPTION_ROWS; i++) {
        if (!options->given[i] || table[i].commands & kind->bit) continue;
        list_kinds(command, table[i].commands, whose, sizeof whose);
        usage_error("--%s does not belong to limn %s %s, but to: %s", table[i].name, command->name, kind->name, whose);
        return false;
    }
    return true;
}

static bool parse_words(struct options *options, const struct command *command, int argc, char **argv)
{
    bool only_words = false;
    for (int i = 0; i < argc;) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
            i++;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
            const int used = parse_option(options, command, argc - i, argv + i);
            if (used == 0) return false;
            i += used;
        } else {
            if (options->word_count < MAX_WORDS) options->words[options->word_count++] = argv[i];
            i++;
        }
    }
    return true;
}

bool options_parse(struct options *options, const struct command *command, int argc, char **argv)
{
    if (!parse_words(options, command, argc, argv)) return false;
    if (options->given[OPTION_HELP]) return true;
    if (options->word_count > command->most) {
        usage_error("%s takes %s, but '%s' follows; a prompt of several words stands in quotes", command->name,
                    command->most ? command->arguments : "nothing", options->words[command->most]);
        return false;
    }
    if (options->word_count < command->fewest) {
        usage_error("%s needs %s; limn help %s says more", command->name, command->arguments, command->name);
        return false;
    }
    return check_kind(options, command);
}

const char *options_device(const struct options *options)
{
    if (options->given[OPTION_DEVICE]) return options->value[OPTION_DEVICE].text;
    const char *usual = getenv("LIMN_DEVICE");
    return usual && *usual ? usual : "auto";
}

const char *options_text(const struct options *options, enum option option)
{
    return options->given[option] ? options->value[option].text : NULL;
}

/* ---- help ---- */

/* Words of `text` from column `indent` on, lines of at most 100 columns; the first line is already at `indent`. */
static void print_wrapped(const char *text, int indent)
{
    int column = indent;
    while (*text) {
        const int length = (int)strcspn(text, " ");
        if (column > indent && column + 1 + length > 100) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", length, text);
        column += length;
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

void options_print(const struct command *command)
{
    const int indent = 30;
    for (int i = 0; i < OPTION_ROWS; i++) {
        const struct option_row *row = &table[i];
        if (!(row->commands & command->bit)) continue;
        char left[64], help[1024], whose[KINDS_BYTES] = "";
        if (row->letter)
            snprintf(left, sizeof left, "  -%c, --%s %s", row->letter, row->name, row->argument ? row->argument : "");
        else
            snprintf(left, sizeof left, "      --%s %s", row->name, row->argument ? row->argument : "");
        if ((row->commands & command->bit) != command->bit) list_kinds(command, row->commands, whose, sizeof whose);
        snprintf(help, sizeof help, "%s%s%s", whose, whose[0] ? ": " : "", row->help);
        for (int k = 0; row->names && row->names(k); k++)
            snprintf(help + strlen(help), sizeof help - strlen(help), "%s %s", k ? "," : "", row->names(k));
        printf("%-*s", indent, left);
        print_wrapped(help, indent);
    }
}
