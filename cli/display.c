/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* isatty */
#include "cli/display.h"

#include "cli/commands.h"
#include "cli/events.h"
#include "cli/sentence.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const stage_names[] = {
    [LIMN_STAGE_LOAD] = "loading",      [LIMN_STAGE_TEXT] = "reading the prompt",
    [LIMN_STAGE_ENCODE] = "encoding",   [LIMN_STAGE_STEP] = "painting",
    [LIMN_STAGE_DECODE] = "developing", [LIMN_STAGE_DATA] = "reading the pictures",
    [LIMN_STAGE_PICTURES] = "painting", [LIMN_STAGE_FEATURES] = "looking",
};

/* What a stage counts; NULL: it is done or it is not. */
static const char *what_counts(enum limn_stage stage)
{
    if (stage == LIMN_STAGE_STEP) return "step";
    return stage == LIMN_STAGE_PICTURES || stage == LIMN_STAGE_FEATURES ? "picture" : NULL;
}

void display_duration(char text[32], double seconds)
{
    const long total = (long)(seconds + 0.5);
    if (total < 3600)
        snprintf(text, 32, "%ld:%02ld", total / 60, total % 60);
    else
        snprintf(text, 32, "%ld:%02ld:%02ld", total / 3600, total / 60 % 60, total % 60);
}

static void draw_bar(struct display *display, const struct limn_progress *progress)
{
    enum { CELLS = 24 };
    char cells[CELLS + 1], which[48] = "", left[32] = "", times[96] = "";
    const char *steps = what_counts(progress->stage);
    const int filled = steps ? progress->done * CELLS / progress->total : 0;
    memset(cells, '.', CELLS);
    memset(cells, '#', (size_t)filled);
    cells[CELLS] = '\0';
    if (display->pictures > 1) snprintf(which, sizeof which, "%d/%d ", display->picture, display->pictures);
    if (steps && progress->done > 0) {
        const double each = progress->seconds / progress->done;
        display_duration(left, each * (progress->total - progress->done));
        snprintf(times, sizeof times, "%.2f s a %s, %s left", each, steps, left);
    }
    fprintf(stderr, "\r\033[K%s%s", which, stage_names[progress->stage]);
    if (steps) fprintf(stderr, " [%s] %d/%d %s", cells, progress->done, progress->total, times);
    fflush(stderr);
    display->bar_shown = true;
}

void display_clear(struct display *display)
{
    if (!display->bar_shown) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    display->bar_shown = false;
}

static void on_progress(void *context, const struct limn_progress *progress)
{
    struct display *display = context;
    if (display->options->given[OPTION_JSON]) {
        const bool steps = progress->stage == LIMN_STAGE_STEP;
        const char *pictures = steps ? NULL : what_counts(progress->stage);
        if (pictures) {
            event_write(json_pack("{s:s, s:s, s:i, s:i, s:f}", "event", "progress", "stage",
                                  stage_names[progress->stage], "done", progress->done, "total", progress->total,
                                  "seconds", progress->seconds));
        } else if (progress->done == 0) {
            event_write(json_pack("{s:s, s:s, s:i, s:i}", "event", "stage", "stage", stage_names[progress->stage],
                                  "picture", display->picture, "pictures", display->pictures));
        } else if (steps) {
            event_write(json_pack("{s:s, s:i, s:i, s:i, s:i, s:f}", "event", "step", "picture", display->picture,
                                  "pictures", display->pictures, "step", progress->done, "steps", progress->total,
                                  "seconds", progress->seconds));
        }
    } else if (display->terminal && !display->options->given[OPTION_QUIET]) {
        draw_bar(display, progress);
    }
}

static int on_cancelled(void *context)
{
    (void)context;
    return interrupted();
}

static void on_note(void *context, const char *sentence)
{
    struct display *display = context;
    if (strncmp(display->last_note, sentence, sizeof display->last_note - 1) == 0) return;
    snprintf(display->last_note, sizeof display->last_note, "%s", sentence);
    if (display->options->given[OPTION_JSON]) {
        event_write(json_pack("{s:s, s:o}", "event", "note", "message", event_text(sentence)));
    } else if (!display->options->given[OPTION_QUIET]) {
        display_clear(display);
        print_sentence(sentence);
    }
}

struct limn_watch display_watch(struct display *display, const struct options *options, int pictures)
{
    *display = (struct display){
        .options = options, .picture = 1, .pictures = pictures, .terminal = isatty(STDERR_FILENO) != 0};
    return (struct limn_watch){.context = display, .progress = on_progress, .cancelled = on_cancelled, .note = on_note};
}
