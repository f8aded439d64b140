/* SPDX-License-Identifier: MIT
 *
 * limn train diffusion|vae|gan|clip --data DIR --out FILE
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "cli/commands.h"
#include "cli/display.h"
#include "cli/events.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct reporter {
    struct display display;
    const char *family;
    double drawn; /* when the line was last drawn */
};

static double clock_seconds(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void print_event(const struct limn_train_record *record)
{
    json_t *event = json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "event", "step", "step",
                              (json_int_t)record->step, "steps", (json_int_t)record->steps, "loss", record->loss,
                              "images_per_second", record->images_per_second, "learning_rate", record->learning_rate,
                              "seconds", record->seconds, "seconds_left", record->seconds_left);
    for (int i = 0; event && i < record->count; i++)
        if (strcmp(record->names[i], "loss") != 0)
            json_object_set_new(event, record->names[i], json_real(record->values[i]));
    event_write(event);
}

/* On a terminal one line that is drawn over and over, ten times a second at most; in a file a line for each record. */
static void print_line(struct reporter *reporter, const struct limn_train_record *record)
{
    const bool terminal = reporter->display.terminal;
    const double now = clock_seconds();
    if (!terminal && !record->logged) return;
    if (terminal && now - reporter->drawn < 0.1 && record->step != record->steps) return;
    reporter->drawn = now;
    char left[32];
    display_duration(left, record->seconds_left);
    fprintf(stderr, "%sstep %lld/%lld  loss %.5f  %.1f pictures/s  %s left", terminal ? "\r\033[K" : "",
            (long long)record->step, (long long)record->steps, record->loss, record->images_per_second, left);
    if (!terminal) fputc('\n', stderr);
    fflush(stderr);
    reporter->display.bar_shown = terminal;
}

static void on_record(void *context, const struct limn_train_record *record)
{
    struct reporter *reporter = context;
    const bool *given = reporter->display.options->given;
    if (given[OPTION_JSON]) {
        if (record->logged) print_event(record);
    } else if (!given[OPTION_QUIET]) {
        print_line(reporter, record);
    }
}

/* Reading pictures takes a while; each picture's own news would take longer than the picture. */
static void on_progress(void *context, const struct limn_progress *progress)
{
    struct reporter *reporter = context;
    const bool *given = reporter->display.options->given;
    const double now = clock_seconds();
    if (given[OPTION_JSON] || given[OPTION_QUIET] || !reporter->display.terminal || now - reporter->drawn < 0.1) return;
    reporter->drawn = now;
    fprintf(stderr, "\r\033[K%s %d/%d", progress->stage == LIMN_STAGE_ENCODE ? "encoding pictures" : "reading pictures",
            progress->done, progress->total);
    fflush(stderr);
    reporter->display.bar_shown = true;
}

static double real_of(const struct options *options, enum option option)
{
    if (!options->given[option]) return 0;
    return options->value[option].real > 0 ? options->value[option].real : -1;
}

static int64_t whole_of(const struct options *options, enum option option)
{
    if (!options->given[option]) return 0;
    return options->value[option].whole > 0 ? options->value[option].whole : -1;
}

static const char *text_of(const struct options *options, enum option option)
{
    return options->given[option] ? options->value[option].text : NULL;
}

static struct limn_train_options read_options(const struct options *o)
{
    const bool *given = o->given;
    return (struct limn_train_options){
        .family = o->words[0],
        .data = text_of(o, OPTION_TRAIN_DATA),
        .out = text_of(o, OPTION_TRAIN_OUT),
        .init = text_of(o, OPTION_TRAIN_INIT),
        .config = text_of(o, OPTION_TRAIN_CONFIG),
        .vae = text_of(o, OPTION_TRAIN_VAE),
        .resume = given[OPTION_TRAIN_RESUME],
        .restart = given[OPTION_TRAIN_RESTART],
        .steps = whole_of(o, OPTION_TRAIN_STEPS),
        .batch = (int)whole_of(o, OPTION_TRAIN_BATCH),
        .size = (int)whole_of(o, OPTION_TRAIN_SIZE),
        .learning_rate = real_of(o, OPTION_TRAIN_LR),
        .schedule = text_of(o, OPTION_TRAIN_SCHEDULE),
        .warm_up = whole_of(o, OPTION_TRAIN_WARM_UP),
        .decay = real_of(o, OPTION_TRAIN_DECAY),
        .clip = real_of(o, OPTION_TRAIN_CLIP),
        .ema = real_of(o, OPTION_TRAIN_EMA),
        .accumulate = (int)whole_of(o, OPTION_TRAIN_ACCUMULATE),
        .recompute = (int)whole_of(o, OPTION_TRAIN_RECOMPUTE),
        .flip = given[OPTION_TRAIN_FLIP],
        .caption_dropout = real_of(o, OPTION_TRAIN_CAPTION_DROPOUT),
        .min_snr = real_of(o, OPTION_TRAIN_MIN_SNR),
        .prediction = text_of(o, OPTION_PREDICTION),
        .dtype = text_of(o, OPTION_TRAIN_DTYPE),
        .save_every = whole_of(o, OPTION_TRAIN_SAVE_EVERY),
        .sheet_every = whole_of(o, OPTION_TRAIN_SHEET_EVERY),
        .log_every = whole_of(o, OPTION_TRAIN_LOG_EVERY),
        .seed = given[OPTION_TRAIN_SEED] ? (uint64_t)o->value[OPTION_TRAIN_SEED].whole : 0,
        .has_seed = given[OPTION_TRAIN_SEED],
        .threads = given[OPTION_THREADS] ? (int)o->value[OPTION_THREADS].whole : 0,
        .device = options_device(o),
        .compute = options_text(o, OPTION_COMPUTE),
        .max_memory = given[OPTION_MAX_MEMORY] ? (uint64_t)o->value[OPTION_MAX_MEMORY].whole : 0,
    };
}

int command_train(const struct options *options)
{
    if (!options->kind) {
        char list[128] = "";
        for (int i = 0; limn_train_family_name(i); i++)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", limn_train_family_name(i));
        return usage_error("'%s' is nothing that limn can train; there are: %s", options->words[0], list);
    }
    if (!options->given[OPTION_TRAIN_DATA]) return usage_error("train needs --data DIR, the pictures to learn from");
    if (!options->given[OPTION_TRAIN_OUT])
        return usage_error("train needs --out FILE, the name of the model that it makes");
    if (options->given[OPTION_TRAIN_RESUME] && options->given[OPTION_TRAIN_RESTART])
        return usage_error("--resume goes on with a training and --restart begins it anew; give one of them");

    struct limn_error error = {0};
    struct reporter reporter = {.family = options->words[0]};
    struct limn_watch watch = display_watch(&reporter.display, options, 1);
    watch.progress = on_progress; /* the display is the reporter's first member, so notes keep their context */
    struct limn_train_options request = read_options(options);
    request.watch = &watch;
    request.record = on_record;
    request.record_context = &reporter;
    const enum limn_status status = limn_train(&request, &error);
    if (reporter.display.bar_shown && status == LIMN_OK) fputc('\n', stderr);
    reporter.display.bar_shown = false;
    if (status != LIMN_OK) return report_failure(options, &error);
    if (options->given[OPTION_JSON])
        event_write(json_pack("{s:s, s:o}", "event", "trained", "path", event_text(request.out)));
    else if (!options->given[OPTION_QUIET])
        puts(request.out);
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}
