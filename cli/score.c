/* SPDX-License-Identifier: MIT
 *
 * limn score IMAGE TEXT...
 * limn score --retrieval FOLDER
 */
#include "cli/commands.h"
#include "cli/display.h"
#include "cli/events.h"
#include "cli/sentence.h"

#include <stdio.h>

static void write_json(const char *image, const char *const *texts, const struct limn_score *scores, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:o, s:f, s:f, s:f}", "text", event_text(texts[i]), "cosine",
                                              (double)scores[i].cosine, "logit", (double)scores[i].logit, "probability",
                                              (double)scores[i].probability));
    event_write(json_pack("{s:o, s:o}", "image", event_text(image), "scores", list));
}

/* The likeliest first; of equals, the one that was named first. */
static void print_scores(const char *const *texts, const struct limn_score *scores, int count)
{
    bool printed[MAX_WORDS] = {false};
    puts("likely  cosine  text");
    for (int line = 0; line < count; line++) {
        int best = -1;
        for (int i = 0; i < count; i++)
            if (!printed[i] && (best < 0 || scores[i].logit > scores[best].logit)) best = i;
        printed[best] = true;
        printf("%5.1f%% %7.4f  ", 100 * (double)scores[best].probability, (double)scores[best].cosine);
        print_clean(stdout, texts[best]);
        putchar('\n');
    }
}

static enum limn_status open_clip(struct limn_clip **clip, const struct options *options, struct limn_error *error)
{
    const struct limn_clip_options clip_options = {
        .path = options->given[OPTION_MODEL] ? options->value[OPTION_MODEL].text : NULL,
        .activation = options->given[OPTION_ACTIVATION] ? options->value[OPTION_ACTIVATION].text : NULL,
        .device = options_device(options),
        .threads = options->given[OPTION_THREADS] ? (int)options->value[OPTION_THREADS].whole : 0,
        .max_memory = options->given[OPTION_MAX_MEMORY] ? (uint64_t)options->value[OPTION_MAX_MEMORY].whole : 0,
    };
    return limn_clip_open(clip, &clip_options, error);
}

static enum limn_status score(const struct options *options, struct limn_score *scores, struct limn_error *error)
{
    struct display display;
    struct limn_watch watch = display_watch(&display, options, 1);
    watch.progress = NULL; /* it is over in a moment */
    struct limn_image image = {0};
    struct limn_clip *clip = NULL;
    const struct limn_score_request request = {
        .image = &image, .texts = options->words + 1, .count = options->word_count - 1, .watch = &watch};
    enum limn_status status = limn_image_read(&image, options->words[0], error);
    if (status == LIMN_OK) status = open_clip(&clip, options, error);
    if (status == LIMN_OK) status = limn_clip_score(clip, &request, scores, error);
    limn_clip_close(clip);
    limn_image_clear(&image);
    return status;
}

/* ---- retrieval ---- */

static enum limn_status retrieve(const struct options *options, struct limn_retrieval *retrieval,
                                 struct limn_error *error)
{
    struct display display;
    struct limn_watch watch = display_watch(&display, options, 1);
    watch.progress = NULL;
    const struct limn_retrieval_request request = {.folder = options->value[OPTION_RETRIEVAL].text, .watch = &watch};
    struct limn_clip *clip = NULL;
    enum limn_status status = open_clip(&clip, options, error);
    if (status == LIMN_OK) status = limn_clip_retrieve(clip, &request, retrieval, error);
    display_clear(&display);
    limn_clip_close(clip);
    return status;
}

static void write_retrieval_json(const struct limn_retrieval *retrieval)
{
    json_t *rows = json_array();
    for (int i = 0; i < retrieval->count; i++) {
        const struct limn_retrieval_row *row = &retrieval->rows[i];
        json_array_append_new(rows, json_pack("{s:I, s:f, s:f}", "captions", (json_int_t)row->captions, "top1",
                                              row->top1, "top5", row->top5));
    }
    event_write(json_pack("{s:I, s:o}", "pictures", (json_int_t)retrieval->pictures, "retrieval", rows));
}

static void print_retrieval(const struct limn_retrieval *retrieval)
{
    printf("%lld pictures\ncaption  asked  top 1   top 5\n", (long long)retrieval->pictures);
    for (int i = 0; i < retrieval->count; i++) {
        const struct limn_retrieval_row *row = &retrieval->rows[i];
        printf("%7d %6lld %5.1f%% %6.1f%%\n", i + 1, (long long)row->captions, 100 * row->top1, 100 * row->top5);
    }
}

/* ---- the command ---- */

static int command_retrieval(const struct options *options)
{
    struct limn_error error = {0};
    struct limn_retrieval retrieval;
    if (options->word_count > 0)
        return usage_error("--retrieval takes its pictures and texts from the folder; '%s' is one word too many",
                           options->words[0]);
    if (retrieve(options, &retrieval, &error) != LIMN_OK) return report_failure(options, &error);
    if (options->given[OPTION_JSON])
        write_retrieval_json(&retrieval);
    else if (!options->given[OPTION_QUIET])
        print_retrieval(&retrieval);
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}

int command_score(const struct options *options)
{
    if (options->given[OPTION_RETRIEVAL]) return command_retrieval(options);
    if (options->word_count < 2) return usage_error("score takes a picture and at least one text");
    struct limn_error error = {0};
    struct limn_score scores[MAX_WORDS];
    if (score(options, scores, &error) != LIMN_OK) return report_failure(options, &error);
    if (options->given[OPTION_JSON])
        write_json(options->words[0], options->words + 1, scores, options->word_count - 1);
    else if (!options->given[OPTION_QUIET])
        print_scores(options->words + 1, scores, options->word_count - 1);
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}
