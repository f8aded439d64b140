/* SPDX-License-Identifier: MIT
 *
 * What generate, edit and vary have in common.
 */
#define _DEFAULT_SOURCE /* getrandom, unlink */
#include "cli/commands.h"
#include "cli/display.h"
#include "cli/events.h"
#include "cli/output.h"
#include "cli/sentence.h"
#include "cli/show.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

enum { DEFAULT_MASK_BLUR = 4 };

/* A seed for those who gave none: 32 bits, short enough to be typed again. */
static uint64_t new_seed(void)
{
    uint32_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) return 42;
    return seed;
}

/* Each option that was given replaces what the request holds (nothing, or what --from brought). What neither says has
 * the same default as without --from. recipe: of --from, or NULL. */
static void apply_options(const struct options *options, const struct limn_recipe *recipe, struct limn_request *request)
{
    const bool *given = options->given;
    if (given[OPTION_NEGATIVE]) request->negative = options->value[OPTION_NEGATIVE].text;
    if (given[OPTION_STEPS]) request->steps = (int)options->value[OPTION_STEPS].whole;
    if (given[OPTION_CFG]) request->cfg = (float)options->value[OPTION_CFG].real;
    if (given[OPTION_SAMPLER]) request->sampler = options->value[OPTION_SAMPLER].text;
    if (given[OPTION_SCHEDULE]) request->schedule = options->value[OPTION_SCHEDULE].text;
    if (given[OPTION_ETA]) request->eta = (float)options->value[OPTION_ETA].real;
    if (given[OPTION_CLIP_SKIP]) request->clip_skip = (int)options->value[OPTION_CLIP_SKIP].whole;
    if (given[OPTION_TRUNCATION]) request->truncation = (float)options->value[OPTION_TRUNCATION].real;
    if (given[OPTION_RNG]) request->rng = options->value[OPTION_RNG].text;
    if (given[OPTION_STRENGTH]) request->strength = (float)options->value[OPTION_STRENGTH].real;
    if (given[OPTION_INVERT_MASK]) request->invert_mask = 1;
    if (given[OPTION_SIZE]) {
        request->width = options->value[OPTION_SIZE].size.width;
        request->height = options->value[OPTION_SIZE].size.height;
    }
    if (given[OPTION_MASK_BLUR])
        request->mask_blur = (int)options->value[OPTION_MASK_BLUR].whole;
    else if (!recipe || !limn_recipe_field(recipe, "Mask blur"))
        request->mask_blur = DEFAULT_MASK_BLUR;

    if (given[OPTION_SEED])
        request->seed = (uint64_t)options->value[OPTION_SEED].whole;
    else if (!recipe || !limn_recipe_field(recipe, "Seed"))
        request->seed = new_seed();
    if (given[OPTION_SUBSEED_STRENGTH])
        request->subseed_strength = (float)options->value[OPTION_SUBSEED_STRENGTH].real;
    else if (given[OPTION_SUBSEED] && request->subseed_strength == 0)
        request->subseed_strength = 0.3F;
    if (given[OPTION_SUBSEED])
        request->subseed = (uint64_t)options->value[OPTION_SUBSEED].whole;
    else if (request->subseed_strength > 0 && (!recipe || !limn_recipe_field(recipe, "Variation seed")))
        request->subseed = new_seed();
}

/* recipe: of --from, or NULL. What it says of the arithmetic is followed where this machine can. */
static enum limn_status open_model(const struct options *options, const struct limn_recipe *recipe,
                                   const struct limn_watch *watch, struct limn_model **model, struct limn_error *error)
{
    struct limn_model_options model_options = {
        .path = options->given[OPTION_MODEL] ? options->value[OPTION_MODEL].text : NULL,
        .vae = options->given[OPTION_VAE] ? options->value[OPTION_VAE].text : NULL,
        .prediction = options->given[OPTION_PREDICTION] ? options->value[OPTION_PREDICTION].text
                      : recipe                          ? limn_recipe_field(recipe, "Prediction type")
                                                        : NULL,
        .weights = options->given[OPTION_WEIGHTS] ? options->value[OPTION_WEIGHTS].text
                   : recipe                       ? limn_recipe_field(recipe, "Weights")
                                                  : NULL,
        .device = options_device(options),
        .compute = options->given[OPTION_COMPUTE] ? options->value[OPTION_COMPUTE].text
                   : recipe                       ? limn_recipe_field(recipe, "Compute")
                                                  : NULL,
        .no_fallback = options->given[OPTION_NO_FALLBACK],
        .threads = options->given[OPTION_THREADS] ? (int)options->value[OPTION_THREADS].whole : 0,
        .max_memory = options->given[OPTION_MAX_MEMORY] ? (uint64_t)options->value[OPTION_MAX_MEMORY].whole : 0,
        .watch = watch,
    };
    const enum limn_status status = limn_model_open(model, &model_options, error);
    if (status != LIMN_UNSUPPORTED || !model_options.compute || options->given[OPTION_COMPUTE]) return status;
    struct limn_error why = *error;
    model_options.compute = NULL;
    const enum limn_status again = limn_model_open(model, &model_options, error);
    if (again == LIMN_OK) {
        char note[sizeof why.text + 64];
        snprintf(note, sizeof note, "%s; painted in f32, the picture will differ a little", why.text);
        watch->note(watch->context, note);
    }
    return again;
}

static void announce(const struct options *options, const struct limn_picture *picture, const char *path)
{
    if (options->given[OPTION_JSON]) {
        event_write(json_pack("{s:s, s:o, s:I, s:f, s:i, s:i}", "event", "image", "path", event_text(path), "seed",
                              (json_int_t)picture->seed, "seconds", picture->seconds, "width", picture->image.width,
                              "height", picture->image.height));
    } else if (!options->given[OPTION_QUIET]) {
        print_clean(stdout, path);
        printf("  seed %llu  %.1f s\n", (unsigned long long)picture->seed, picture->seconds);
        fflush(stdout);
    }
    if (options->given[OPTION_SHOW]) show_picture(&picture->image, path);
}

/* A recipe names the model that made its picture; with another model the picture will not be the same. */
static void compare_model(const struct limn_recipe *recipe, const struct limn_picture *picture,
                          const struct limn_watch *watch)
{
    const char *const wanted = limn_recipe_field(recipe, "Model hash");
    struct limn_recipe *made = NULL;
    if (!wanted || limn_recipe_parse(&made, picture->parameters, NULL, NULL) != LIMN_OK) return;
    const char *const used = limn_recipe_field(made, "Model hash");
    if (used && strcmp(used, wanted) != 0) {
        char note[256];
        snprintf(note, sizeof note,
                 "the picture given to --from was made by another model (hash %.20s, this one is %s)", wanted, used);
        watch->note(watch->context, note);
    }
    limn_recipe_close(made);
}

/* What the recipe asks for and does not get. */
static void note_unfollowed(const struct options *options, const struct limn_recipe *recipe,
                            const struct limn_watch *watch)
{
    char note[400];
    const char *const vae = limn_recipe_field(recipe, "VAE");
    if (vae && !options->given[OPTION_VAE]) {
        snprintf(note, sizeof note, "the picture given to --from was made with the VAE %.60s; --vae takes it", vae);
        watch->note(watch->context, note);
    }
    if (!limn_recipe_unfollowed(recipe, 0)) return;
    int length = snprintf(note, sizeof note, "limn does not follow all that the picture given to --from says:");
    for (int i = 0; i < 5 && limn_recipe_unfollowed(recipe, i); i++)
        length += snprintf(note + length, sizeof note - (size_t)length, "%s %.40s", i ? "," : "",
                           limn_recipe_unfollowed(recipe, i));
    watch->note(watch->context, note);
}

static const char *output_pattern(const struct options *options)
{
    return options->given[OPTION_OUTPUT] ? options->value[OPTION_OUTPUT].text : NULL;
}

/* Which pictures there are to be; request->seed is the first of --count. */
static bool take_seeds(const struct options *options, const struct limn_request *request, struct seeds *seeds)
{
    const bool *given = options->given;
    if (!given[OPTION_SEEDS])
        return seeds_follow(seeds, request->seed, given[OPTION_COUNT] ? (int)options->value[OPTION_COUNT].whole : 1);
    if (given[OPTION_SEED] || given[OPTION_COUNT]) {
        usage_error("--seeds says which pictures there are to be, and so does --%s; give one of them",
                    given[OPTION_SEED] ? "seed" : "count");
        return false;
    }
    return seeds_parse(seeds, "--seeds", options->value[OPTION_SEEDS].text);
}

static enum limn_status paint_one(const struct options *options, struct limn_model *model,
                                  const struct limn_request *request, int number, int count, char *path,
                                  struct limn_picture *picture, struct limn_error *error)
{
    bool claimed;
    enum limn_status status = limn_paint(model, request, picture, error);
    if (status != LIMN_OK) return status;
    if (!output_name(path, output_pattern(options), number, count, picture->seed, &claimed)) {
        snprintf(error->text, sizeof error->text, "the picture of seed %llu has no name to be written to",
                 (unsigned long long)picture->seed);
        return error->status = LIMN_IO;
    }
    if (options->given[OPTION_NO_METADATA])
        status = limn_image_write(&picture->image, path, error);
    else
        status = limn_picture_write(picture, path, error);
    if (status != LIMN_OK && claimed) unlink(path);
    return status;
}

static int paint_all(const struct options *options, struct limn_request *request, const struct seeds *seeds,
                     const struct limn_recipe *recipe)
{
    const int count = seeds->count;
    struct display display;
    const struct limn_watch watch = display_watch(&display, options, count);
    struct limn_error error = {0};
    struct limn_model *model = NULL;
    int finished = 0;
    enum limn_status status = open_model(options, recipe, &watch, &model, &error);
    request->watch = &watch;
    if (recipe && status == LIMN_OK) note_unfollowed(options, recipe, &watch);
    while (status == LIMN_OK && finished < count) {
        struct limn_picture picture = {0};
        char path[OUTPUT_NAME_BYTES];
        display.picture = finished + 1;
        request->seed = seeds_at(seeds, finished);
        status = paint_one(options, model, request, finished + 1, count, path, &picture, &error);
        display_clear(&display);
        if (status == LIMN_OK) {
            announce(options, &picture, path);
            if (recipe && finished == 0) compare_model(recipe, &picture, &watch);
            finished++;
        }
        limn_picture_clear(&picture);
    }
    display_clear(&display);
    limn_model_close(model);
    if (status == LIMN_CANCELLED)
        snprintf(error.text, sizeof error.text, "stopped by Ctrl-C; %d of %d pictures %s finished", finished, count,
                 finished == 1 ? "is" : "are");
    if (status != LIMN_OK) return report_failure(options, &error);
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}

/* A picture that limn made from another one cannot be painted again without it. */
static bool needs_its_image(const struct limn_recipe *recipe)
{
    const char *version = limn_recipe_field(recipe, "Version");
    return version && strncmp(version, "limn", 4) == 0 && limn_recipe_field(recipe, "Denoising strength");
}

/* Reads the recipe of --from, less what other options say, into the request. Returns the exit status. */
static int take_recipe(const struct options *options, struct limn_recipe **recipe, struct limn_request *request)
{
    static const struct {
        enum option option;
        const char *field;
    } overrides[] = {
        {OPTION_STEPS, "Steps"},
        {OPTION_CFG, "CFG scale"},
        {OPTION_SAMPLER, "Sampler"},
        {OPTION_SCHEDULE, "Schedule type"},
        {OPTION_ETA, "Eta DDIM"},
        {OPTION_SEED, "Seed"},
        {OPTION_SEEDS, "Seed"},
        {OPTION_TRUNCATION, "Truncation"},
        {OPTION_SIZE, "Size"},
        {OPTION_CLIP_SKIP, "Clip skip"},
        {OPTION_SUBSEED, "Variation seed"},
        {OPTION_SUBSEED_STRENGTH, "Variation seed strength"},
        {OPTION_STRENGTH, "Denoising strength"},
        {OPTION_MASK_BLUR, "Mask blur"},
    };
    enum { OVERRIDES = sizeof overrides / sizeof *overrides };
    const char *const path = options->value[OPTION_FROM].text;
    const char *except[OVERRIDES + 1] = {0};
    int count = 0;
    for (int i = 0; i < OVERRIDES; i++)
        if (options->given[overrides[i].option]) except[count++] = overrides[i].field;
    struct limn_error error = {0};
    if (limn_recipe_read(recipe, path, except, &error) != LIMN_OK) return report_failure(options, &error);
    const struct limn_request given = *request;
    if (!given.image && needs_its_image(*recipe))
        return usage_error("--from %s: this picture was made from another one; give that one again with limn vary "
                           "IMAGE --from, or limn edit IMAGE --mask MASK --from",
                           path);
    *request = *limn_recipe_request(*recipe);
    request->image = given.image;
    request->mask = given.mask;
    if (given.prompt) request->prompt = given.prompt;
    return EXIT_OK;
}

/* A JPEG's metadata has room for 64 KiB, two bytes a letter, and prompts that hold line ends are in it twice. */
static size_t room_for(const char *prompt)
{
    size_t bytes = 0;
    for (const char *c = prompt; c && *c; c++) bytes += (unsigned char)*c < 0x20 ? 4 : 1;
    return bytes;
}

static bool check_prompt_fits(const struct options *options, const struct limn_request *request)
{
    enum { MOST = 8000 };
    const char *const pattern = output_pattern(options), *const dot = pattern ? strrchr(pattern, '.') : NULL;
    if (!dot || strcasecmp(dot, ".png") == 0 || options->given[OPTION_NO_METADATA]) return true;
    const size_t bytes = room_for(request->prompt) + room_for(request->negative);
    if (bytes <= MOST) return true;
    usage_error(
        "--output %s: a JPEG's metadata has room for prompts of %d bytes (line ends and other control characters "
        "count four times), and these have %zu; write a .png, or give --no-metadata",
        pattern, MOST, bytes);
    return false;
}

/* limn works with 8 bits a channel. */
static void note_depth(const struct options *options, const struct limn_request *request)
{
    if (request->image && request->image->file_bits > 8 && !options->given[OPTION_QUIET])
        print_sentence("the picture has 16 bits a channel; the result has 8");
}

int paint_pictures(const struct options *options, struct limn_request *request)
{
    if (options->given[OPTION_SHOW] && options->given[OPTION_JSON])
        return usage_error("--show and --json both write to standard output; give one of them");

    struct limn_recipe *recipe = NULL;
    int exit_status = options->given[OPTION_FROM] ? take_recipe(options, &recipe, request) : EXIT_OK;
    if (exit_status == EXIT_OK) {
        apply_options(options, recipe, request);
        struct seeds seeds;
        const bool ready = take_seeds(options, request, &seeds) && output_check(output_pattern(options), &seeds) &&
                           check_prompt_fits(options, request);
        if (ready) note_depth(options, request);
        exit_status = ready ? paint_all(options, request, &seeds, recipe) : EXIT_USAGE;
    }
    limn_recipe_close(recipe);
    return exit_status;
}
