/* SPDX-License-Identifier: MIT
 *
 * limn: from a prompt to a picture.
 *
 *     struct limn_error error = {0};
 *     struct limn_model *model = NULL;
 *     struct limn_picture picture = {0};
 *     if (limn_model_open(&model, NULL, &error) == LIMN_OK &&
 *         limn_paint(model, &(struct limn_request){.prompt = "a red apple", .seed = 7}, &picture, &error) == LIMN_OK &&
 *         limn_picture_write(&picture, "apple.png", &error) == LIMN_OK)
 *         puts("apple.png");
 *     else
 *         fprintf(stderr, "%s\n", error.text);
 *     limn_picture_clear(&picture);
 *     limn_model_close(model);
 *
 * The library never prints, exits or aborts, and has no mutable globals. A function that can fail returns a status and
 * writes one sentence into the caller's `struct limn_error` (which may be NULL); what it was to fill in is then left
 * empty. Structs without a body here are opaque and the library's; all others are the caller's, are valid when
 * zero-initialised, and where a field says "0: ..." that is its default. Text is UTF-8. A model serves one thread at a
 * time; different models may be used by different threads.
 */
#ifndef LIMN_H
#define LIMN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LIMN_VERSION "0.1.0"

const char *limn_version(void); /* of the library that is linked */

/* ---- errors ---- */

enum limn_status {
    LIMN_OK,
    LIMN_ARGUMENT, /* a value in a request is not allowed */
    LIMN_FORMAT,   /* a file is not what it should be */
    LIMN_IO,       /* a file could not be read or written */
    LIMN_NO_MEMORY,
    LIMN_UNSUPPORTED, /* a file is sound, but of a kind that limn does not run */
    LIMN_LIMIT,       /* more memory is needed than `max_memory` allows */
    LIMN_CANCELLED,   /* a watch asked to stop */
    LIMN_DEVICE       /* a GPU or its driver failed; the CPU may do what it could not */
};

enum { LIMN_ERROR_BYTES = 1024 };

struct limn_error {
    enum limn_status status;
    char text[LIMN_ERROR_BYTES]; /* names the thing, the value and what is allowed */
};

const char *limn_status_name(enum limn_status status); /* "OK", "ARGUMENT", ...; NULL for what is none */

/* ---- pictures ---- */

struct limn_image {
    int width, height;
    int channels;    /* 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA; 8 bits each */
    uint8_t *pixels; /* height rows of width * channels bytes; freed by limn_image_clear */
    int file_bits;   /* bits a channel in the PNG it was read from, of which 8 are kept; 0: of another origin */
};

/* PNG and JPEG, told apart by their first bytes. */
enum limn_status limn_image_read(struct limn_image *image, const char *path, struct limn_error *error);
enum limn_status limn_image_read_memory(struct limn_image *image, const void *bytes, size_t size,
                                        struct limn_error *error);
/* PNG or JPEG by the ending of the path. The file appears whole or not at all. */
enum limn_status limn_image_write(const struct limn_image *image, const char *path, struct limn_error *error);
void limn_image_clear(struct limn_image *image);

/* ---- watching ---- every function may be NULL; all are called on the thread that called limn */

enum limn_stage {
    LIMN_STAGE_LOAD,
    LIMN_STAGE_TEXT,
    LIMN_STAGE_ENCODE,
    LIMN_STAGE_STEP,
    LIMN_STAGE_DECODE,
    LIMN_STAGE_PICTURES, /* of limn_compare: pictures painted or found, by all models together */
    LIMN_STAGE_DATA,     /* of limn_train: the data set is read and made ready */
    LIMN_STAGE_FEATURES  /* of limn_compare: pictures looked at by the CLIP model */
};

struct limn_progress {
    enum limn_stage stage;
    int done, total; /* steps, or pictures of the last two; 0 of 1 and 1 of 1 for the others */
    double seconds;  /* since the stage began */
};

struct limn_watch {
    void *context; /* handed to each function */
    void (*progress)(void *context, const struct limn_progress *progress);
    int (*cancelled)(void *context); /* asked between steps; not 0: stop with LIMN_CANCELLED */
    /* Something the user should know and that is no error; one sentence without a line end. */
    void (*note)(void *context, const char *sentence);
    /* The picture as it is after step `step`; it is the library's, gone after the call. Each one costs a decode. */
    void (*preview)(void *context, const struct limn_image *image, int step);
    int preview_every; /* steps from one preview to the next; 0: none */
    int preview_noisy; /* not 0: the picture as the model sees it, noise and all, and first of all at step 0 */
};

/* ---- models ---- */

struct limn_model;

struct limn_model_options {
    const char *path;               /* a checkpoint file or a diffusers folder; NULL: the pack that comes with limn */
    int gan;                        /* with no path, not 0: the GAN that comes with limn instead */
    const char *vae;                /* a file whose VAE is used instead of the model's own; NULL: none */
    const char *prediction;         /* "eps", "v" or "x0": what the U-Net predicts; NULL: as the file says */
    const char *weights;            /* limn_weights_name: what weights are converted to as they are loaded; NULL: kept
                                       as the file has them. Biases and norms are f32, and q8_0 and q4_0 only those
                                       whose input channels are a multiple of 32; others stay as in the file */
    const char *device;             /* "cpu", "vulkan", "vulkan:1", "vulkan:part of a name", or "auto": the best real
                                       GPU, else the CPU; NULL: the CPU */
    const char *compute;            /* "f32"; "bf16": matrix products of the CPU round their operands, if it can, which
                                       is faster; "f16": a Vulkan device stores values so, in half the memory. Sums are
                                       f32, but pictures differ a little. NULL: "f32" */
    int no_fallback;                /* not 0: what a GPU fails at is an error and not done on the CPU */
    int threads;                    /* 1..256; 0: one for each processor */
    uint64_t max_memory;            /* bytes, weights included; 0: no limit */
    const struct limn_watch *watch; /* borrowed for the call; may be NULL */
};

/* options may be NULL. The model's files stay mapped until it is closed: they may be replaced or removed meanwhile, but
 * must not be shortened. */
enum limn_status limn_model_open(struct limn_model **model, const struct limn_model_options *options,
                                 struct limn_error *error);
void limn_model_close(struct limn_model *model); /* NULL is a no-op */
const char *limn_compute_name(int i);            /* NULL past the last */

/* ---- painting ---- */

enum {
    LIMN_MIN_SIDE = 16,
    LIMN_MAX_SIDE = 4096,
    LIMN_MAX_STEPS = 1000,
    LIMN_MAX_CFG = 100,
    LIMN_MAX_CLIP_SKIP = 12,
    LIMN_MAX_MASK_BLUR = 64,
    LIMN_MAX_TRUNCATION = 10,
    LIMN_MAX_THREADS = 256
};

/* Without `image` the prompt is painted from noise. With `image` it is varied: noise is added to it as far as
 * `strength` says and taken away again. With `mask` too it is edited: only what the mask names is painted anew, the
 * result has the size of `image`, and every pixel that the mask leaves alone is the pixel of `image`.
 * The same request, seed and model give the same bytes, at any number of threads. */
struct limn_request {
    const char *prompt;     /* NULL: empty */
    const char *negative;   /* what should not be in the picture; NULL: empty */
    int width, height;      /* pixels, multiples of 8, 16..4096; 0: the model's own, or near the image's */
    int steps;              /* 1..1000; 0: the model's own (20, or the pack's) */
    float cfg;              /* guidance scale 1..100, 1: none; 0: the model's own (7.5, or the pack's) */
    const char *sampler;    /* limn_sampler_name; NULL: the model's own (dpmpp-2m, or the pack's) */
    const char *schedule;   /* limn_schedule_name; NULL: the sampler's own */
    float eta;              /* 0..1: how much of DDPM's noise DDIM adds back */
    uint64_t seed;          /* 0..2^63-1 */
    uint64_t subseed;       /* of a second noise, mixed in on the arc (slerp) as far as ... */
    float subseed_strength; /* ... 0..1 says */
    int clip_skip;          /* 1..12: text states before so many last blocks' end; 0: the model's own */
    float truncation;       /* of a GAN's latent vector: numbers above it are drawn again; 0: any */
    const char *rng;        /* "philox" (torch on CUDA) or "mt19937" (torch on the CPU); NULL: philox */

    const struct limn_image *image; /* borrowed; NULL: none */
    const struct limn_image *mask;  /* borrowed, any size and channels; white: repaint, black: keep, grey: in between;
                                       transparent: keep; NULL: none */
    float strength;                 /* above 0, to 1: how far from `image`; 0: 0.75, and 1 with a mask */
    int mask_blur;                  /* 0..64 pixels: standard deviation of the blur of the mask */
    int invert_mask;                /* not 0: black is repainted */

    const struct limn_watch *watch; /* borrowed; may be NULL */
};

struct limn_picture {
    struct limn_image image;
    char *parameters; /* how it was made, in the layout of the A1111 web UI; freed by limn_picture_clear */
    uint64_t seed;
    double seconds;
};

/* Paints one picture. For several, call again with seed + 1: what can be kept from one call to the next is kept. */
enum limn_status limn_paint(struct limn_model *model, const struct limn_request *request, struct limn_picture *picture,
                            struct limn_error *error);
/* As limn_image_write, with `parameters` and a mark that the picture is made by a trained model (IPTC
 * DigitalSourceType, in XMP). */
enum limn_status limn_picture_write(const struct limn_picture *picture, const char *path, struct limn_error *error);
void limn_picture_clear(struct limn_picture *picture);

/* Names for requests and options; NULL past the last. */
const char *limn_sampler_name(int i);
const char *limn_schedule_name(int i);
const char *limn_rng_name(int i);
const char *limn_prediction_name(int i);
const char *limn_weights_name(int i); /* "f32", "f16", "bf16", "q8_0", "q4_0" */

/* ---- recipes: requests read back from pictures ---- */

struct limn_recipe;

/* From a picture that carries A1111 parameters, or from the text alone. Fields limn does not know are passed over, and
 * so are those named in `except`, which ends with NULL and may be NULL: what is overridden anyway need not be right. */
enum limn_status limn_recipe_read(struct limn_recipe **recipe, const char *path, const char *const *except,
                                  struct limn_error *error);
enum limn_status limn_recipe_parse(struct limn_recipe **recipe, const char *parameters, const char *const *except,
                                   struct limn_error *error);
void limn_recipe_close(struct limn_recipe *recipe); /* NULL is a no-op */

/* What follows is the recipe's, and gone with it. */
const struct limn_request *limn_recipe_request(const struct limn_recipe *recipe);
const char *limn_recipe_text(const struct limn_recipe *recipe);
const char *limn_recipe_field(const struct limn_recipe *recipe, const char *name); /* "Model hash"; NULL: not there */
/* Names of fields that changed the picture in the program that made it, but that limn does not follow ("Hires upscale",
 * "Lora hashes"); NULL past the last. */
const char *limn_recipe_unfollowed(const struct limn_recipe *recipe, int i);

/* ---- a GAN's latent space ---- */

/* How many numbers a latent vector has: what a GAN paints from beside the prompt. 0: the model is no GAN. */
int limn_latent_size(const struct limn_model *model);

/* The vector that limn_paint takes for this request: of its seed, subseed, truncation and rng. */
enum limn_status limn_latent_draw(struct limn_model *model, const struct limn_request *request, float *latent,
                                  struct limn_error *error);

/* out = the point between a and b on the arc, t from 0 to 1: vectors between are as long as those at the ends (White
 * 2016, arXiv 1609.04468). out may be a or b. */
void limn_latent_between(float *out, const float *a, const float *b, int size, double t);

/* Paints any vector; of the request only prompt and watch count. `parameters` are left NULL: no seed gives the picture
 * again. */
enum limn_status limn_latent_paint(struct limn_model *model, const struct limn_request *request, const float *latent,
                                   struct limn_picture *picture, struct limn_error *error);

/* The vector whose picture is nearest to request->image, by gradient descent from several drawn ones; with a mask,
 * where the mask is black. rms (may be NULL): how far off it is, as a share of the range of values. */
enum limn_status limn_latent_find(struct limn_model *model, const struct limn_request *request, float *latent,
                                  float *rms, struct limn_error *error);

/* What the GAN's discriminator says of request->image (with the prompt, if it is conditional): below 0 that it is made,
 * above 0 that it is real. LIMN_UNSUPPORTED if the file holds none. */
enum limn_status limn_latent_judge(struct limn_model *model, const struct limn_request *request, float *score,
                                   struct limn_error *error);

/* Pictures side by side in rows of `columns`, 0: about as many columns as rows. Pictures below 64 pixels are shown
 * larger. */
enum limn_status limn_picture_sheet(struct limn_picture *sheet, const struct limn_picture *pictures, int count,
                                    int columns, struct limn_error *error);

/* An animation that plays for ever, a GIF if the path ends in .gif, else a PNG; pictures of one size, each shown so
 * many milliseconds. */
enum limn_status limn_animation_write(const struct limn_picture *pictures, int count, int milliseconds,
                                      const char *path, struct limn_error *error);

/* ---- what is in a file ---- */

struct limn_part {
    const char *name; /* "text encoder", "U-Net", "VAE encoder", "VAE decoder"; of a GAN "text encoder", "generator",
                         "discriminator" */
    int present;
    int tensors;
    uint64_t parameters, bytes;
};

struct limn_dtype_count {
    const char *name; /* "F16" */
    int tensors;
    uint64_t bytes;
};

enum { LIMN_PARTS = 4, LIMN_DTYPES = 16 }; /* parts past the last have a NULL name */

struct limn_info {
    const char *path;
    const char *format; /* "safetensors", "GGUF", "pickle", "diffusers folder" */
    const char *kind;   /* "sd1", "sd1-inpaint", "sd2", "sd2-inpaint", "pix2pix", "pack", "gan", "clip", "unknown" */
    const char *title;  /* "Stable Diffusion 1.x" */
    const char *prediction; /* "eps", "v", "x0"; NULL: no U-Net */
    const char *missing;    /* "a U-Net only; needs a text encoder and a VAE"; NULL: limn can paint with it */
    struct limn_part parts[LIMN_PARTS];
    struct limn_dtype_count dtypes[LIMN_DTYPES]; /* until a NULL name */
    int tensors;
    uint64_t parameters, bytes; /* elements of all tensors; bytes of the files */
    int width, height;          /* of a picture, by default; 0: cannot paint */
    /* A pack says what it knows. Lists end with NULL and are never NULL; concepts_ko[i] belongs to concepts[i]. */
    const char *name;
    const char *licence;
    const char *const *concepts;
    const char *const *concepts_ko;
    const char *const *styles;
    const char *const *colours;
    const char *const *colours_ko;
    void *memory; /* all of the above, freed by limn_info_clear */
};

/* path: NULL for the pack that comes with limn. Reads names and shapes, no weights. */
enum limn_status limn_info_read(struct limn_info *info, const char *path, struct limn_error *error);
void limn_info_clear(struct limn_info *info);

/* ---- how well pictures and texts go together ---- */

struct limn_clip; /* an opened CLIP model; serves one thread at a time */

struct limn_clip_options {
    const char *path;       /* a file, or a folder with config.json; NULL: the pair that comes with limn */
    const char *activation; /* limn_activation_name, for files that do not say and are not OpenAI's; NULL: as found */
    const char *device;     /* as in limn_model_options, like the next two */
    int threads;
    uint64_t max_memory;
};

/* options may be NULL. Files of OpenAI's, OpenCLIP's and Hugging Face's names open as they are. */
enum limn_status limn_clip_open(struct limn_clip **clip, const struct limn_clip_options *options,
                                struct limn_error *error);
void limn_clip_close(struct limn_clip *clip); /* NULL is a no-op */

struct limn_score_request {
    const struct limn_image *image; /* borrowed; colours count even where they are transparent, as in other programs */
    const char *const *texts;       /* borrowed */
    int count;                      /* 1..4096 */
    const struct limn_watch *watch; /* borrowed; may be NULL */
};

enum { LIMN_MAX_TEXTS = 4096 };

struct limn_score {
    float cosine;      /* -1..1: how near the text is to the picture */
    float logit;       /* that times the model's own scale */
    float probability; /* that of all the texts this one is the picture's */
};

/* scores: `count` of them, in the order of the texts. A text longer than the model reads is cut, with a note. */
enum limn_status limn_clip_score(struct limn_clip *clip, const struct limn_score_request *request,
                                 struct limn_score *scores, struct limn_error *error);
const char *limn_activation_name(int i); /* NULL past the last */

struct limn_retrieval_request {
    const char *folder;             /* as limn_train_options' data; pictures with captions */
    const struct limn_watch *watch; /* borrowed; may be NULL */
};

/* How often a caption finds its picture among all: the one with the nearest direction (top1), or one of the nearest
 * five. A picture with the very same caption counts as its own too. */
struct limn_retrieval_row {
    int64_t captions;  /* that were asked with */
    double top1, top5; /* share of them, 0..1 */
};

enum { LIMN_RETRIEVAL_ROWS = 16 };

/* Row 0 is of each picture's first caption, row 1 of the second, where there is one: say, of another language. */
struct limn_retrieval {
    int64_t pictures;
    int count; /* of rows */
    struct limn_retrieval_row rows[LIMN_RETRIEVAL_ROWS];
};

enum limn_status limn_clip_retrieve(struct limn_clip *clip, const struct limn_retrieval_request *request,
                                    struct limn_retrieval *retrieval, struct limn_error *error);

/* ---- comparing models ---- */

enum {
    LIMN_MAX_COMPARED = 4,
    LIMN_MAX_PROMPTS = 1000,
    LIMN_MAX_COMPARE_COUNT = 10000,  /* pictures of one prompt */
    LIMN_MAX_COMPARE_TOTAL = 100000, /* pictures of one model or folder */
};

/* Each model paints each prompt `count` times; picture k (from 0) of prompt p (from 0) has the seed
 * seed + 10000 p + k with every model. `output` is filled with report.html, report.json, grid.png and, in pictures/,
 * the pictures themselves. Those that are there already and agree in model, prompt, seed and settings are not painted
 * again, so a comparison that was stopped goes on where it was. */
struct limn_compare_request {
    const char *const *models; /* paths, 2..4; NULL: the pack's diffusion model and its GAN, unless there are folders */
    int model_count;
    const char *const *folders; /* of finished pictures, 2..4, compared instead of models; NULL: none */
    int folder_count;
    const char *const *prompts; /* NULL: sixteen that the pack knows; of folders, what the pictures' metadata says */
    int prompt_count;           /* up to 1000 */
    int count;                  /* pictures of each prompt; 0: 64 of a single one, else 16 */
    const char *reference; /* a folder of real pictures that the painted ones should be like; NULL: none, but of the
                              pack's models what they have learnt from */
    const char *clip;      /* the CLIP model that features come from; NULL: the pack's */
    const char *output;    /* a folder, made if it is not there; NULL: "limn-compare" */
    uint64_t seed;
    const char *device;  /* as in limn_model_options, like the next three */
    const char *compute; /* of painting; features are always seen in f32 */
    int threads;
    uint64_t max_memory;            /* of each model */
    const struct limn_watch *watch; /* borrowed; may be NULL */
};

struct limn_comparison {
    char *verdict; /* which paints this better, at what cost, in a few sentences; freed by limn_comparison_clear */
    char *report;  /* the text of report.json; so too */
};

enum limn_status limn_compare(const struct limn_compare_request *request, struct limn_comparison *comparison,
                              struct limn_error *error);
void limn_comparison_clear(struct limn_comparison *comparison);

/* ---- training ---- */

/* One step's news. */
struct limn_train_record {
    int64_t step, steps; /* done, of */
    int logged;          /* not 0: it is also in train.jsonl, and what follows is the mean since the last that was */
    double loss;
    const char *const *names; /* of the losses that there were, `loss` first; `count` of them */
    const double *values;
    int count;
    double learning_rate;
    double images_per_second;
    double seconds, seconds_left; /* of this run; of what is still to do */
};

/* Numbers: 0 is the family's own default for the pictures' size; where 0 has a meaning, "none" is a number below it. A
 * training that is resumed takes from its checkpoint what is not given. */
struct limn_train_options {
    const char *family; /* limn_train_family_name */
    const char *data;   /* a folder of pictures with metadata.jsonl, .txt captions or class folders, or of IDX files */
    const char *out;    /* the model, a .safetensors file; beside it: checkpoint, train.jsonl, sheets, loss curve */
    const char *init;   /* a model to begin with; NULL: random weights */
    const char *config; /* a JSON file of network shapes and settings; NULL: none */
    const char *vae;    /* diffusion: whose VAE makes latents; NULL: init's; without any, pixels are painted */
    int resume;         /* not 0: go on from the checkpoint beside `out`, if there is one */
    int restart;        /* not 0: a checkpoint or model that is there is replaced; else that is refused */

    int64_t steps;
    int batch, size; /* pictures of a step on each machine; pixels a side */
    double learning_rate;
    const char *schedule;                       /* limn_train_schedule_name; NULL: the family's */
    int64_t warm_up;                            /* steps */
    double decay, clip, ema;                    /* of weights; of the gradients' norm; factor of the average */
    int accumulate, recompute;                  /* parts of a batch; pieces of a network: less memory, more time */
    int flip;                                   /* not 0: pictures are mirrored by chance; below 0: never */
    double caption_dropout, min_snr;            /* share of captions left out; diffusion: gamma of Hang et al. 2023 */
    const char *prediction;                     /* diffusion: limn_prediction_name */
    const char *dtype;                          /* of the result: "f32", "f16" or "bf16" */
    int64_t save_every, sheet_every, log_every; /* steps */
    uint64_t seed;
    int has_seed; /* not 0: the seed is given, even if it is 0 */

    int threads;        /* as in limn_model_options */
    const char *device; /* as there, like the next */
    const char *compute;
    uint64_t max_memory;
    const struct limn_watch *watch; /* borrowed; asked between steps: on cancelled, the training is saved and ends */
    void (*record)(void *context, const struct limn_train_record *record); /* may be NULL; after every step */
    void *record_context;
};

/* The same options, data and number of machines give the same weights, bit for bit, however often the training was
 * stopped, killed and resumed. */
enum limn_status limn_train(const struct limn_train_options *options, struct limn_error *error);

const char *limn_train_family_name(int i); /* NULL past the last, like the next */
const char *limn_train_schedule_name(int i);

/* ---- devices ---- */

struct limn_device {
    const char *name;    /* "NVIDIA H200" */
    const char *type;    /* "processor", "discrete GPU", "software device", ... */
    const char *driver;  /* its name and version; "" for the CPU */
    const char *version; /* of Vulkan; "" for the CPU */
    const char *kernels; /* the families of kernels it can run, the fastest first */
    const char *problem; /* why it cannot be used; "": it can */
    uint64_t memory;     /* bytes */
    int number;          /* "vulkan:N" names it; -1: "cpu" does */
    int usual;           /* not 0: what "auto" takes */
};

struct limn_devices {
    struct limn_device *list; /* the CPU first */
    int count;
    const char *problem; /* why there are no others; NULL: nothing is in the way */
    void *memory;        /* all of the above, freed by limn_devices_clear */
};

enum limn_status limn_devices_read(struct limn_devices *devices, struct limn_error *error);
void limn_devices_clear(struct limn_devices *devices);

/* What a device makes of one operation, against the CPU. */
struct limn_device_result {
    const char *op; /* "conv2d" */
    int cases, wrong;
    const char *fault; /* of the first wrong one, in words; NULL: all are right */
};

struct limn_device_check_options {
    const char *device;                                                     /* as in limn_model_options, */
    const char *compute;                                                    /* like this */
    void (*result)(void *context, const struct limn_device_result *result); /* once for each operation; may be NULL */
    void *context;
    const struct limn_watch *watch;
};

/* Runs every operation on the device and on the CPU. LIMN_DEVICE if something differs. */
enum limn_status limn_device_check(const struct limn_device_check_options *options, struct limn_error *error);

/* ---- how fast it is ---- */

/* One step of a run that was timed: an operation with all that was fused into it. */
struct limn_bench_step {
    const char *op;        /* "conv2d" */
    const char *kernel;    /* what the device ran: "conv2d_subgroup" */
    const char *shape;     /* of its result: "[2, 32, 32, 64]" */
    const char *weight;    /* of a layer; NULL: it has none */
    double begin, seconds; /* begin: since the run began */
    double gflop, gbytes;  /* as in limn_bench_result */
};

/* A file of what was timed, in Chrome's trace format: chrome://tracing and Perfetto show it. It comes into place whole
 * when it is closed with keep, and not at all otherwise. */
struct limn_trace;
enum limn_status limn_trace_open(struct limn_trace **trace, const char *path, struct limn_error *error);
enum limn_status limn_trace_close(struct limn_trace *trace, int keep, struct limn_error *error);

struct limn_bench_options {
    const char *model;   /* of the cases that need one; NULL: the pack that comes with limn */
    const char *weights; /* as in limn_model_options, like the next three; made-up weights are f16 */
    const char *device;
    const char *compute;
    int threads;
    int rounds;               /* how often it runs, and then is timed step by step; 0: as often as the case is worth */
    int steps;                /* of a picture; 0: the model's own number */
    int batch;                /* pictures of a training step; 0: 32 */
    struct limn_trace *trace; /* gets the steps; may be NULL */
    void (*step)(void *context, const struct limn_bench_step *step); /* is told them in their order; may be NULL */
    void *context;
    const struct limn_watch *watch;
};

/* What the device does at best, measured before the runs and after them; the better counts. Products of large matrices
 * in GFLOP/s, by the second one's stored type; on the CPU, f32 is that of the BLAS that limn uses. Copies from memory
 * to memory in GB/s, each byte counted as it is read and as it is written. */
struct limn_bench_rates {
    double f32, f16, bf16, q8_0, q4_0, copy;
};

struct limn_bench_op {
    const char *name; /* "conv2d" */
    int count;        /* how often it runs */
    double gflop, gbytes, seconds;
    double product_share,
        copy_share; /* of the time, what its products and its bytes would take at the device's rates */
};

enum { LIMN_BENCH_OPS = 64, LIMN_BENCH_DEVICE_BYTES = 256 };

struct limn_bench_result {
    char device[LIMN_BENCH_DEVICE_BYTES];
    double gflop;         /* of one run: 2 for each multiplication and addition in its products and convolutions */
    double gbytes;        /* operands and results of its steps, as they lie in memory */
    double seconds;       /* of the fastest run */
    double timed_seconds; /* of the fastest whose steps were timed, so that each waited for the one before */
    struct limn_bench_rates rates;
    double sgemm_gflops; /* rates.f32 */
    double ratio;        /* seconds / (gflop / sgemm_gflops) */
    double product_share, copy_share;
    struct limn_bench_op ops[LIMN_BENCH_OPS]; /* of the timed run, the longest first; until a NULL name */
};

/* One case by name. Weights are made up in memory where the case needs Stable Diffusion's size. */
enum limn_status limn_bench_run(struct limn_bench_result *result, const char *name,
                                const struct limn_bench_options *options, struct limn_error *error);
const char *limn_bench_name(int i); /* NULL past the last */

#ifdef __cplusplus
}
#endif

#endif
