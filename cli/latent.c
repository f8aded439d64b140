/* SPDX-License-Identifier: MIT
 *
 * limn latent walk --seeds 1,5,9          pictures on the way from seed to seed, as a strip or an animation
 * limn latent mix "1,5 - 7-9 + 3"         arithmetic on averages of seeds' vectors (Radford et al. 2015, section 6.3.2)
 * limn latent find PICTURE                the vector that makes a picture
 * limn latent judge PICTURE...            what the discriminator says of pictures
 */
#include "cli/commands.h"
#include "cli/display.h"
#include "cli/events.h"
#include "cli/seeds.h"
#include "cli/sentence.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MOST_LATENT = 65536, MOST_FRAMES = 1024, MOST_TERMS = 16, FRAMES = 8, FRAME_TIME = 80 };

struct session {
    const struct options *options;
    struct display display;
    struct limn_watch watch;
    struct limn_model *model;    /* owned */
    struct limn_request request; /* of all pictures: prompt, rng, truncation, watch */
    int size;                    /* numbers of a vector */
    struct limn_error error;
};

static const char *output_path(const struct options *options)
{
    return options->given[OPTION_STRIP] ? options->value[OPTION_STRIP].text : "limn-latent.png";
}

static bool ends_in(const char *path, const char *ending)
{
    const char *dot = strrchr(path, '.');
    return dot && strcasecmp(dot, ending) == 0;
}

static bool is_animation(const char *path)
{
    return ends_in(path, ".apng") || ends_in(path, ".gif");
}

static enum limn_status session_open(struct session *s, const struct options *options)
{
    const bool *given = options->given;
    *s = (struct session){.options = options};
    s->watch = display_watch(&s->display, options, 1);
    s->display.picture = 1;
    s->request = (struct limn_request){
        .prompt = given[OPTION_PROMPT] ? options->value[OPTION_PROMPT].text : NULL,
        .rng = given[OPTION_RNG] ? options->value[OPTION_RNG].text : NULL,
        .truncation = given[OPTION_TRUNCATION] ? (float)options->value[OPTION_TRUNCATION].real : 0,
        .watch = &s->watch,
    };
    const struct limn_model_options model = {
        .path = given[OPTION_MODEL] ? options->value[OPTION_MODEL].text : NULL,
        .gan = 1,
        .weights = given[OPTION_WEIGHTS] ? options->value[OPTION_WEIGHTS].text : NULL,
        .device = options_device(options),
        .compute = options_text(options, OPTION_COMPUTE),
        .no_fallback = given[OPTION_NO_FALLBACK],
        .threads = given[OPTION_THREADS] ? (int)options->value[OPTION_THREADS].whole : 0,
        .max_memory = given[OPTION_MAX_MEMORY] ? (uint64_t)options->value[OPTION_MAX_MEMORY].whole : 0,
        .watch = &s->watch,
    };
    enum limn_status status = limn_model_open(&s->model, &model, &s->error);
    if (status != LIMN_OK) return status;
    s->size = limn_latent_size(s->model);
    const bool judging = strcmp(options->words[0], "judge") == 0; /* needs no vectors: limn says what is no GAN */
    if (judging || (s->size > 0 && s->size <= MOST_LATENT)) return LIMN_OK;
    snprintf(s->error.text, sizeof s->error.text, "%s",
             s->size ? "the GAN's vectors are too long for limn latent"
                     : "the model is no GAN and has no latent vectors; name "
                       "one with --model");
    return s->error.status = LIMN_UNSUPPORTED;
}

static int session_close(struct session *s, enum limn_status status)
{
    display_clear(&s->display);
    limn_model_close(s->model);
    if (status != LIMN_OK) return report_failure(s->options, &s->error);
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}

static void announce(const struct options *options, const char *path, int pictures)
{
    if (options->given[OPTION_JSON]) {
        event_write(json_pack("{s:s, s:o, s:i}", "event", "image", "path", event_text(path), "pictures", pictures));
    } else if (!options->given[OPTION_QUIET]) {
        print_clean(stdout, path);
        printf("  %d picture%s\n", pictures, pictures == 1 ? "" : "s");
    }
}

/* One picture of a list as it is, several as a sheet in rows of `columns`, or as an animation. */
static enum limn_status write_pictures(struct session *s, const struct limn_picture *pictures, int count, int columns)
{
    const char *path = output_path(s->options);
    const int milliseconds =
        s->options->given[OPTION_FRAME_TIME] ? (int)s->options->value[OPTION_FRAME_TIME].whole : FRAME_TIME;
    struct limn_picture sheet = {0};
    enum limn_status status;
    if (count == 1) {
        status = limn_picture_write(&pictures[0], path, &s->error);
    } else if (is_animation(path)) {
        status = limn_animation_write(pictures, count, milliseconds, path, &s->error);
    } else {
        status = limn_picture_sheet(&sheet, pictures, count, columns, &s->error);
        if (status == LIMN_OK) status = limn_picture_write(&sheet, path, &s->error);
    }
    limn_picture_clear(&sheet);
    display_clear(&s->display);
    if (status == LIMN_OK) announce(s->options, path, count);
    return status;
}

static enum limn_status draw(struct session *s, uint64_t seed, float *latent)
{
    s->request.seed = seed;
    return limn_latent_draw(s->model, &s->request, latent, &s->error);
}

/* ---- walk ---- */

/* A row for each way from seed to seed; with --frames 1 there is none, but a sheet of the seeds' pictures. An animation
 * goes back from the last seed to the first, so that it has no seam. */
static enum limn_status walk(struct session *s, const struct seeds *seeds, struct limn_picture *pictures)
{
    static const char *const too_many = "a walk of %d pictures: at most %d are allowed; take fewer seeds or --frames";
    float from[MOST_LATENT], to[MOST_LATENT], at[MOST_LATENT];
    const bool loops = is_animation(output_path(s->options));
    const int frames = s->options->given[OPTION_FRAMES] ? (int)s->options->value[OPTION_FRAMES].whole : FRAMES;
    const int legs = loops ? seeds->count : seeds->count - 1;
    const int64_t count = (int64_t)legs * frames + (loops ? 0 : 1);
    if (count > MOST_FRAMES) {
        snprintf(s->error.text, sizeof s->error.text, too_many, (int)(count > INT32_MAX ? INT32_MAX : count),
                 MOST_FRAMES);
        return s->error.status = LIMN_ARGUMENT;
    }
    s->display.pictures = (int)count;
    enum limn_status status = draw(s, seeds_at(seeds, 0), from);
    for (int i = 0; i < count && status == LIMN_OK; i++) {
        const int leg = i / frames, frame = i % frames;
        if (frame == 0 && leg > 0) memcpy(from, to, (size_t)s->size * sizeof *from);
        if (frame == 0 && leg < legs) status = draw(s, seeds_at(seeds, (leg + 1) % seeds->count), to);
        if (status != LIMN_OK) break;
        limn_latent_between(at, from, to, s->size, leg < legs ? (double)frame / frames : 0);
        s->display.picture = i + 1;
        status = limn_latent_paint(s->model, &s->request, at, &pictures[i], &s->error);
    }
    return status == LIMN_OK ? write_pictures(s, pictures, (int)count, frames > 1 ? frames : 0) : status;
}

static int command_walk(const struct options *options)
{
    struct seeds seeds;
    struct session s;
    static const char *const what = "walk goes from seed to seed: say which with --seeds, as in limn latent walk "
                                    "--seeds 1,5,9";
    if (options->word_count > 1 || !options->given[OPTION_SEEDS]) return usage_error("%s", what);
    if (!seeds_parse(&seeds, "--seeds", options->value[OPTION_SEEDS].text)) return EXIT_USAGE;
    if (seeds.count < 2) return usage_error("%s", what);
    struct limn_picture pictures[MOST_FRAMES] = {{{0}, NULL, 0, 0}};
    enum limn_status status = session_open(&s, options);
    if (status == LIMN_OK) status = walk(&s, &seeds, pictures);
    for (int i = 0; i < MOST_FRAMES; i++) limn_picture_clear(&pictures[i]);
    return session_close(&s, status);
}

/* ---- mix ---- */

/* "1,5 - 7-9 + 3": lists of seeds with signs between. Inside a list, a minus sign between digits means a run. */
struct term {
    struct seeds seeds;
    int sign;
};

static int parse_terms(struct term terms[MOST_TERMS], const char *text)
{
    int count = 0, sign = 1;
    char list[256];
    while (*text == ' ') text++;
    while (*text && count < MOST_TERMS) {
        const size_t length = strcspn(text, " +");
        if (length == 0 || length >= sizeof list) break;
        snprintf(list, sizeof list, "%.*s", (int)length, text);
        if (!seeds_parse(&terms[count].seeds, "mix", list)) return 0;
        terms[count++].sign = sign;
        text += length;
        text += strspn(text, " ");
        if (*text == '\0') return count;
        if (*text != '+' && *text != '-') break;
        sign = *text++ == '-' ? -1 : 1;
        text += strspn(text, " ");
    }
    usage_error("mix: '%s' is not understood; write lists of seeds with plus and minus between, and blanks around a "
                "minus, as in \"1,5 - 7-9 + 3\"; at most %d lists",
                text, MOST_TERMS);
    return 0;
}

/* Pictures of each term's average, and last that of the sum. */
static enum limn_status mix(struct session *s, const struct term *terms, int count, struct limn_picture *pictures)
{
    float sum[MOST_LATENT] = {0}, average[MOST_LATENT], one[MOST_LATENT];
    enum limn_status status = LIMN_OK;
    for (int i = 0; i < count && status == LIMN_OK; i++) {
        const struct seeds *seeds = &terms[i].seeds;
        memset(average, 0, sizeof average);
        for (int k = 0; k < seeds->count && status == LIMN_OK; k++) {
            status = draw(s, seeds_at(seeds, k), one);
            for (int c = 0; c < s->size && status == LIMN_OK; c++) average[c] += one[c] / (float)seeds->count;
        }
        for (int c = 0; c < s->size; c++) sum[c] += (float)terms[i].sign * average[c];
        if (status == LIMN_OK) status = limn_latent_paint(s->model, &s->request, average, &pictures[i], &s->error);
    }
    if (status == LIMN_OK) status = limn_latent_paint(s->model, &s->request, sum, &pictures[count], &s->error);
    return status == LIMN_OK ? write_pictures(s, pictures, count + 1, count + 1) : status;
}

static int command_mix(const struct options *options)
{
    struct term terms[MOST_TERMS];
    struct limn_picture pictures[MOST_TERMS + 1] = {{{0}, NULL, 0, 0}};
    struct session s;
    if (options->word_count != 2)
        return usage_error("mix takes one expression, as in limn latent mix \"1,5 - 7-9 + 3\"");
    const int count = parse_terms(terms, options->words[1]);
    if (count == 0) return EXIT_USAGE;
    enum limn_status status = session_open(&s, options);
    if (status == LIMN_OK) status = mix(&s, terms, count, pictures);
    for (int i = 0; i <= MOST_TERMS; i++) limn_picture_clear(&pictures[i]);
    return session_close(&s, status);
}

/* ---- find and judge ---- */

static void tell_found(const struct session *s, const float *latent, float rms)
{
    if (s->options->given[OPTION_JSON]) {
        json_t *numbers = json_array();
        for (int i = 0; i < s->size; i++) json_array_append_new(numbers, json_real((double)latent[i]));
        event_write(json_pack("{s:s, s:f, s:o}", "event", "latent", "rms", (double)rms, "latent", numbers));
    } else if (!s->options->given[OPTION_QUIET]) {
        printf("found; off by %.1f %% of the range\n", 100 * (double)rms);
    }
}

static int command_find(const struct options *options)
{
    float latent[MOST_LATENT], rms = 0;
    struct limn_image image = {0};
    struct limn_picture picture = {0};
    struct session s;
    if (options->word_count != 2) return usage_error("find takes one picture, as in limn latent find shoe.png");
    enum limn_status status = session_open(&s, options);
    if (status == LIMN_OK) status = limn_image_read(&image, options->words[1], &s.error);
    s.request.image = &image;
    if (status == LIMN_OK) status = limn_latent_find(s.model, &s.request, latent, &rms, &s.error);
    display_clear(&s.display);
    if (status == LIMN_OK) tell_found(&s, latent, rms);
    s.request.image = NULL;
    if (status == LIMN_OK) status = limn_latent_paint(s.model, &s.request, latent, &picture, &s.error);
    if (status == LIMN_OK && (options->given[OPTION_STRIP] || !options->given[OPTION_JSON]))
        status = write_pictures(&s, &picture, 1, 1);
    limn_picture_clear(&picture);
    limn_image_clear(&image);
    return session_close(&s, status);
}

static int command_judge(const struct options *options)
{
    struct session s;
    if (options->word_count < 2) return usage_error("judge takes pictures, as in limn latent judge shoe.png boot.png");
    enum limn_status status = session_open(&s, options);
    for (int i = 1; i < options->word_count && status == LIMN_OK; i++) {
        struct limn_image image = {0};
        float score = 0;
        status = limn_image_read(&image, options->words[i], &s.error);
        s.request.image = &image;
        if (status == LIMN_OK) status = limn_latent_judge(s.model, &s.request, &score, &s.error);
        limn_image_clear(&image);
        if (status != LIMN_OK) break;
        const double real = 1 / (1 + exp(-(double)score));
        if (options->given[OPTION_JSON]) {
            event_write(json_pack("{s:s, s:o, s:f, s:f}", "event", "judgement", "path", event_text(options->words[i]),
                                  "score", (double)score, "probability", real));
        } else if (!options->given[OPTION_QUIET]) {
            printf("%+8.3f  real with %5.1f %%  ", (double)score, 100 * real);
            print_clean(stdout, options->words[i]);
            putchar('\n');
        }
    }
    return session_close(&s, status);
}

int command_latent(const struct options *options)
{
    const char *path = output_path(options);
    const bool walks = options->kind == FOR_LATENT_WALK;
    if (!ends_in(path, ".png") && !(walks && is_animation(path)))
        return usage_error("--output %s: must end in .png%s", path,
                           walks ? ", or in .apng or .gif for an animation" : "");
    switch (options->kind) {
    case FOR_LATENT_WALK: return command_walk(options);
    case FOR_LATENT_MIX: return command_mix(options);
    case FOR_LATENT_FIND: return command_find(options);
    case FOR_LATENT_JUDGE: return command_judge(options);
    default: break;
    }
    return usage_error("latent '%s' is not known; there are walk, mix, find and judge", options->words[0]);
}
