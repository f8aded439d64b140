/* SPDX-License-Identifier: MIT
 *
 * limn score IMAGE TEXT...
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

static enum limn_status score(const struct options *options, struct limn_score *scores, struct limn_error *error)
{
    struct display display;
    struct limn_watch watch = display_watch(&display, options, 1);
    watch.progress = NULL; /* it is over in a moment */
    const struct limn_clip_options clip_options = {
        .path = options->given[OPTION_MODEL] ? options->value[OPTION_MODEL].text : NULL,
        .activation = options->given[OPTION_ACTIVATION] ? options->value[OPTION_ACTIVATION].text : NULL,
        .threads = options->given[OPTION_THREADS] ? (int)options->value[OPTION_THREADS].whole : 0,
        .max_memory = options->given[OPTION_MAX_MEMORY] ? (uint64_t)options->value[OPTION_MAX_MEMORY].whole : 0,
    };
    struct limn_image image = {0};
    struct limn_clip *clip = NULL;
    const struct limn_score_request request = {
        .image = &image, .texts = options->words + 1, .count = options->word_count - 1, .watch = &watch};
    enum limn_status status = limn_image_read(&image, options->words[0], error);
    if (status == LIMN_OK) status = limn_clip_open(&clip, &clip_options, error);
    if (status == LIMN_OK) status = limn_clip_score(clip, &request, scores, error);
    limn_clip_close(clip);
    limn_image_clear(&image);
    return status;
}

int command_score(const struct options *options)
{
    if (!options->given[OPTION_MODEL])
        return usage_error(
            "score needs --model PATH, a CLIP model with an image tower; the pack that comes with limn has "
            "none");
    struct limn_error error = {0};
    struct limn_score scores[MAX_WORDS];
    if (score(options, scores, &error) != LIMN_OK) return report_failure(options, &error);
    if (options->given[OPTION_JSON])
        write_json(options->words[0], options->words + 1, scores, options->word_count - 1);
    else if (!options->given[OPTION_QUIET])
        print_scores(options->words + 1, scores, options->word_count - 1);
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}
