/* SPDX-License-Identifier: MIT
 *
 * The one table of options. Parsing, range checks and help text all come from it, so they cannot disagree.
 *
 *     struct options options = {0};
 *     if (!options_parse(&options, command, argc, argv)) return EXIT_USAGE;      the sentence is on stderr
 *     if (options.given[OPTION_STEPS]) steps = (int)options.value[OPTION_STEPS].whole;
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "include/limn.h"

#include <stdbool.h>
#include <stdint.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

enum option_kind {
    KIND_FLAG,  /* no argument */
    KIND_TEXT,  /* any */
    KIND_WHOLE, /* whole number low..high */
    KIND_REAL,  /* decimal number low..high */
    KIND_SIZE,  /* WIDTHxHEIGHT, each low..high */
    KIND_BYTES, /* a number with K, M or G behind it */
    KIND_NAME,  /* one of names(0), names(1), ... */
};

/* Bits of the commands that an option belongs to; where a command's first word names a kind, of its kinds. */
enum {
    FOR_GENERATE = 1,
    FOR_EDIT = 2,
    FOR_VARY = 4,
    FOR_INFO = 8,
    FOR_BENCH = 16,
    FOR_SCORE = 32,
    FOR_COMPARE = 64,
    FOR_DEVICES = 128,
    FOR_TRAIN_DIFFUSION = 256,
    FOR_TRAIN_VAE = 512,
    FOR_TRAIN_GAN = 1024,
    FOR_TRAIN_CLIP = 2048,
    FOR_LATENT_WALK = 4096,
    FOR_LATENT_MIX = 8192,
    FOR_LATENT_FIND = 16384,
    FOR_LATENT_JUDGE = 32768,
};
#define FOR_TRAIN    (FOR_TRAIN_DIFFUSION | FOR_TRAIN_VAE | FOR_TRAIN_GAN | FOR_TRAIN_CLIP)
#define FOR_LATENT   (FOR_LATENT_WALK | FOR_LATENT_MIX | FOR_LATENT_FIND | FOR_LATENT_JUDGE)
#define FOR_PAINTING (FOR_GENERATE | FOR_EDIT | FOR_VARY)
#define FOR_RUNNING  (FOR_PAINTING | FOR_BENCH | FOR_SCORE | FOR_TRAIN | FOR_LATENT | FOR_COMPARE)
#define FOR_ALL      (FOR_RUNNING | FOR_INFO | FOR_DEVICES)

/* X(ID, "name", letter or 0, kind, "ARGUMENT", low, high, names, commands, "help") */
#define OPTION_MAP(X)                                                                                                  \
    X(MODEL, "model", 'm', KIND_TEXT, "PATH", 0, 0, NULL, FOR_PAINTING | FOR_BENCH | FOR_SCORE | FOR_LATENT,           \
      "checkpoint file or diffusers folder (default: the pack that comes with limn, of latent its GAN); score: a "     \
      "CLIP model (default: the pair that comes with limn)")                                                           \
    X(VAE, "vae", 0, KIND_TEXT, "FILE", 0, 0, NULL, FOR_PAINTING, "take the VAE from this file")                       \
    X(OUTPUT, "output", 'o', KIND_TEXT, "PATH", 0, 0, NULL, FOR_PAINTING,                                              \
      ".png or .jpg; %d or %03d is the picture's number, {seed} its seed (default: the first free limn-0001.png)")     \
    X(COUNT, "count", 'n', KIND_WHOLE, "N", 1, 100000, NULL, FOR_PAINTING,                                             \
      "paint so many, with seeds that follow each other (default: 1)")                                                 \
    X(A, "a", 0, KIND_TEXT, "MODEL", 0, 0, NULL, FOR_COMPARE,                                                          \
      "first model (without models: the pack's diffusion model against its GAN)")                                      \
    X(B, "b", 0, KIND_TEXT, "MODEL", 0, 0, NULL, FOR_COMPARE, "second model")                                          \
    X(C, "c", 0, KIND_TEXT, "MODEL", 0, 0, NULL, FOR_COMPARE, "third model, if there is one")                          \
    X(D, "d", 0, KIND_TEXT, "MODEL", 0, 0, NULL, FOR_COMPARE, "fourth model, if there is one")                         \
    X(PICTURES, "pictures", 0, KIND_FLAG, NULL, 0, 0, NULL, FOR_COMPARE,                                               \
      "compare folders of finished pictures: the words are their names and not prompts")                               \
    X(PROMPTS, "prompts", 0, KIND_TEXT, "FILE", 0, 0, NULL, FOR_COMPARE,                                               \
      "prompts from a text file, one a line (default: sixteen that the pack knows)")                                   \
    X(EACH, "count", 'n', KIND_WHOLE, "N", 1, LIMN_MAX_COMPARE_COUNT, NULL, FOR_COMPARE,                               \
      "pictures of each prompt by each model (default: 64 of a single prompt, else 16)")                               \
    X(REFERENCE, "reference", 0, KIND_TEXT, "FOLDER", 0, 0, NULL, FOR_COMPARE,                                         \
      "real pictures that the painted ones should be like; copies of them are looked for too")                         \
    X(CLIP, "clip", 0, KIND_TEXT, "FILE", 0, 0, NULL, FOR_COMPARE,                                                     \
      "CLIP model that features come from (default: the pack's)")                                                      \
    X(REPORT, "output", 'o', KIND_TEXT, "FOLDER", 0, 0, NULL, FOR_COMPARE,                                             \
      "gets report.html, report.json, grid.png and the pictures; those that are there are used again (default: "       \
      "limn-compare)")                                                                                                 \
    X(FIRST_SEED, "seed", 's', KIND_WHOLE, "N", 0, INT64_MAX, NULL, FOR_COMPARE,                                       \
      "of the first prompt's first picture (default: 0)")                                                              \
    X(FROM, "from", 0, KIND_TEXT, "PICTURE", 0, 0, NULL, FOR_PAINTING,                                                 \
      "begin with the settings that this picture's metadata holds; other options override them")                       \
    X(MASK, "mask", 0, KIND_TEXT, "MASK", 0, 0, NULL, FOR_EDIT,                                                        \
      "white is repainted, black and transparent is kept, grey is in between; any size")                               \
    X(MASK_BLUR, "mask-blur", 0, KIND_WHOLE, "PIXELS", 0, LIMN_MAX_MASK_BLUR, NULL, FOR_EDIT,                          \
      "soften the mask's edge (default: 4)")                                                                           \
    X(INVERT_MASK, "invert-mask", 0, KIND_FLAG, NULL, 0, 0, NULL, FOR_EDIT, "repaint black, keep white")               \
    X(STRENGTH, "strength", 0, KIND_REAL, "S", 0.01, 1, NULL, FOR_EDIT | FOR_VARY,                                     \
      "how far to go from the picture, 0.01 to 1 (default: 0.75; edit: 1)")                                            \
    X(NEGATIVE, "negative", 0, KIND_TEXT, "TEXT", 0, 0, NULL, FOR_PAINTING, "what should not be in the picture")       \
    X(STEPS, "steps", 0, KIND_WHOLE, "N", 1, LIMN_MAX_STEPS, NULL, FOR_PAINTING,                                       \
      "denoising steps (default: the pack's own; 20 for checkpoints)")                                                 \
    X(CFG, "cfg", 0, KIND_REAL, "SCALE", 1, LIMN_MAX_CFG, NULL, FOR_PAINTING,                                          \
      "guidance: how closely to follow the prompt; 1 is none (default: the pack's own; 7.5 for checkpoints)")          \
    X(SAMPLER, "sampler", 0, KIND_NAME, "NAME", 0, 0, limn_sampler_name, FOR_PAINTING, "one of:")                      \
    X(SCHEDULE, "schedule", 0, KIND_NAME, "NAME", 0, 0, limn_schedule_name, FOR_PAINTING,                              \
      "how the steps are spread over the noise levels; one of:")                                                       \
    X(ETA, "eta", 0, KIND_REAL, "E", 0, 1, NULL, FOR_PAINTING, "noise that ddim adds back, 0 to 1 (default: 0)")       \
    X(SEED, "seed", 's', KIND_WHOLE, "N", 0, INT64_MAX, NULL, FOR_PAINTING,                                            \
      "the same seed gives the same picture (default: a new one each time)")                                           \
    X(SEEDS, "seeds", 0, KIND_TEXT, "LIST", 0, 0, NULL, FOR_PAINTING | FOR_LATENT_WALK,                                \
      "a picture for each of these, such as 0,3,10-19, in place of --seed and --count")                                \
    X(STRIP, "output", 'o', KIND_TEXT, "FILE", 0, 0, NULL, FOR_LATENT & ~FOR_LATENT_JUDGE,                             \
      ".png; walk: .apng or .gif is an animation that plays for ever (default: limn-latent.png)")                      \
    X(FRAMES, "frames", 0, KIND_WHOLE, "N", 1, 1000, NULL, FOR_LATENT_WALK,                                            \
      "pictures from one seed to the next (default: 8)")                                                               \
    X(FRAME_TIME, "frame-time", 0, KIND_WHOLE, "MS", 1, 60000, NULL, FOR_LATENT_WALK,                                  \
      "milliseconds that a picture of an animation is shown (default: 80)")                                            \
    X(PROMPT, "prompt", 0, KIND_TEXT, "TEXT", 0, 0, NULL, FOR_LATENT, "what a GAN that follows texts is to paint")     \
    X(SUBSEED, "subseed", 0, KIND_WHOLE, "N", 0, INT64_MAX, NULL, FOR_PAINTING,                                        \
      "seed of a second noise to mix in (default: a new one each time)")                                               \
    X(SUBSEED_STRENGTH, "subseed-strength", 0, KIND_REAL, "S", 0, 1, NULL, FOR_PAINTING,                               \
      "how much of the second noise, 0 to 1 (default: 0; 0.3 if --subseed is given)")                                  \
    X(SIZE, "size", 0, KIND_SIZE, "WxH", LIMN_MIN_SIDE, LIMN_MAX_SIDE, NULL, FOR_PAINTING,                             \
      "pixels, multiples of 8 (default: the model's own; edit and vary: near the picture's)")                          \
    X(CLIP_SKIP, "clip-skip", 0, KIND_WHOLE, "N", 1, LIMN_MAX_CLIP_SKIP, NULL, FOR_PAINTING,                           \
      "take the text states of the N-th last layer (default: the model's own)")                                        \
    X(TRUNCATION, "truncation", 0, KIND_REAL, "T", 0.01, LIMN_MAX_TRUNCATION, NULL,                                    \
      FOR_PAINTING | FOR_LATENT_WALK | FOR_LATENT_MIX,                                                                 \
      "of a GAN: numbers of the latent vector beyond this are drawn again; less is more usual and less varied")        \
    X(RNG, "rng", 0, KIND_NAME, "NAME", 0, 0, limn_rng_name, FOR_PAINTING | FOR_LATENT_WALK | FOR_LATENT_MIX,          \
      "whose random numbers: torch's on CUDA (philox, the default) or on the CPU; one of:")                            \
    X(PREDICTION, "prediction", 0, KIND_NAME, "NAME", 0, 0, limn_prediction_name, FOR_PAINTING | FOR_TRAIN_DIFFUSION,  \
      "what the U-Net predicts, where the file does not say; one of:")                                                 \
    X(WEIGHTS, "weights", 0, KIND_NAME, "TYPE", 0, 0, limn_weights_name, FOR_PAINTING | FOR_LATENT | FOR_BENCH,        \
      "convert the model's weights as they are loaded, for less memory (default: as in the file); one of:")            \
    X(RETRIEVAL, "retrieval", 0, KIND_TEXT, "DIR", 0, 0, NULL, FOR_SCORE,                                              \
      "instead: how often a caption finds its picture among all pictures of a folder")                                 \
    X(TRAIN_DATA, "data", 'd', KIND_TEXT, "DIR", 0, 0, NULL, FOR_TRAIN,                                                \
      "pictures: with metadata.jsonl, with .txt captions, in class folders, or IDX files")                             \
    X(TRAIN_OUT, "out", 'o', KIND_TEXT, "FILE", 0, 0, NULL, FOR_TRAIN,                                                 \
      "the model, a .safetensors file; its checkpoint, train.jsonl and sheets are beside it")                          \
    X(TRAIN_INIT, "init", 0, KIND_TEXT, "FILE", 0, 0, NULL, FOR_TRAIN, "begin with this model's weights and shapes")   \
    X(TRAIN_CONFIG, "config", 0, KIND_TEXT, "FILE", 0, 0, NULL, FOR_TRAIN, "JSON of network shapes and settings")      \
    X(TRAIN_RESUME, "resume", 0, KIND_FLAG, NULL, 0, 0, NULL, FOR_TRAIN,                                               \
      "go on from the last checkpoint, if there is one, with its settings")                                            \
    X(TRAIN_RESTART, "restart", 0, KIND_FLAG, NULL, 0, 0, NULL, FOR_TRAIN,                                             \
      "begin anew where an earlier training or a model is")                                                            \
    X(TRAIN_STEPS, "steps", 0, KIND_WHOLE, "N", 1, 1e9, NULL, FOR_TRAIN, "steps in all (default: the family's)")       \
    X(TRAIN_BATCH, "batch", 0, KIND_WHOLE, "N", 1, 65536, NULL, FOR_TRAIN, "pictures of a step, on each machine")      \
    X(TRAIN_SIZE, "size", 0, KIND_WHOLE, "PIXELS", 8, 1024, NULL, FOR_TRAIN, "side of a picture")                      \
    X(TRAIN_LR, "lr", 0, KIND_REAL, "RATE", 1e-12, 100, NULL, FOR_TRAIN, "learning rate at its highest")               \
    X(TRAIN_SCHEDULE, "schedule", 0, KIND_NAME, "NAME", 0, 0, limn_train_schedule_name, FOR_TRAIN,                     \
      "of the learning rate; one of:")                                                                                 \
    X(TRAIN_WARM_UP, "warm-up", 0, KIND_WHOLE, "STEPS", 0, 1e9, NULL, FOR_TRAIN, "over which the learning rate grows") \
    X(TRAIN_DECAY, "decay", 0, KIND_REAL, "D", 0, 100, NULL, FOR_TRAIN, "weight decay")                                \
    X(TRAIN_CLIP, "clip", 0, KIND_REAL, "NORM", 0, 1e9, NULL, FOR_TRAIN, "largest norm of the gradients; 0: any")      \
    X(TRAIN_EMA, "ema", 0, KIND_REAL, "FACTOR", 0, 0.9999999, NULL, FOR_TRAIN,                                         \
      "of the running average of the weights, which is the result; 0: none")                                           \
    X(TRAIN_ACCUMULATE, "accumulate", 0, KIND_WHOLE, "N", 1, 65536, NULL, FOR_TRAIN,                                   \
      "compute a batch in N parts one after the other, in less memory")                                                \
    X(TRAIN_RECOMPUTE, "recompute", 0, KIND_WHOLE, "N", 1, 1024, NULL, FOR_TRAIN,                                      \
      "cut the network into N pieces whose results are computed again when needed, in less memory")                    \
    X(TRAIN_FLIP, "flip", 0, KIND_FLAG, NULL, 0, 0, NULL, FOR_TRAIN, "mirror every other picture")                     \
    X(TRAIN_CAPTION_DROPOUT, "caption-dropout", 0, KIND_REAL, "SHARE", 0, 1, NULL, FOR_TRAIN & ~FOR_TRAIN_VAE,         \
      "share of captions left out, for guidance")                                                                      \
    X(TRAIN_MIN_SNR, "min-snr", 0, KIND_REAL, "GAMMA", 0, 1e6, NULL, FOR_TRAIN_DIFFUSION,                              \
      "weigh times by min(snr, GAMMA), often 5; 0: all the same")                                                      \
    X(TRAIN_VAE, "vae", 0, KIND_TEXT, "FILE", 0, 0, NULL, FOR_TRAIN_DIFFUSION,                                         \
      "paint latents of this file's VAE (default: pixels)")                                                            \
    X(TRAIN_DTYPE, "dtype", 0, KIND_TEXT, "TYPE", 0, 0, NULL, FOR_TRAIN, "of the result's weights: f32, f16 or bf16")  \
    X(TRAIN_SAVE_EVERY, "save-every", 0, KIND_WHOLE, "STEPS", 1, 1e9, NULL, FOR_TRAIN,                                 \
      "from one checkpoint to the next")                                                                               \
    X(TRAIN_SHEET_EVERY, "sheet-every", 0, KIND_WHOLE, "STEPS", 0, 1e9, NULL, FOR_TRAIN,                               \
      "from one sheet of samples to the next; 0: none")                                                                \
    X(TRAIN_LOG_EVERY, "log-every", 0, KIND_WHOLE, "STEPS", 1, 1e9, NULL, FOR_TRAIN, "from one record to the next")    \
    X(TRAIN_SEED, "seed", 's', KIND_WHOLE, "N", 0, INT64_MAX, NULL, FOR_TRAIN,                                         \
      "the same seed gives the same weights (default: 0)")                                                             \
    X(ACTIVATION, "activation", 0, KIND_NAME, "NAME", 0, 0, limn_activation_name, FOR_SCORE,                           \
      "of a CLIP model whose file does not say and which is not OpenAI's; one of:")                                    \
    X(ROUNDS, "rounds", 0, KIND_WHOLE, "N", 1, 1000, NULL, FOR_BENCH,                                                  \
      "runs that are measured; the fastest counts (default: by the case)")                                             \
    X(BENCH_STEPS, "steps", 0, KIND_WHOLE, "N", 1, LIMN_MAX_STEPS, NULL, FOR_BENCH,                                    \
      "denoising steps of pack-picture (default: the pack's own)")                                                     \
    X(BENCH_BATCH, "batch", 0, KIND_WHOLE, "N", 1, 65536, NULL, FOR_BENCH,                                             \
      "pictures of train-unet-pack (default: 32)")                                                                     \
    X(EVERY_STEP, "every-step", 0, KIND_FLAG, NULL, 0, 0, NULL, FOR_BENCH,                                             \
      "show each step of the fastest run too, in their order")                                                         \
    X(TRACE, "trace", 0, KIND_TEXT, "FILE", 0, 0, NULL, FOR_BENCH,                                                     \
      "write the steps and their times as JSON that chrome://tracing and Perfetto show")                               \
    X(DEVICE, "device", 0, KIND_TEXT, "DEVICE", 0, 0, NULL,                                                            \
      FOR_PAINTING | FOR_BENCH | FOR_SCORE | FOR_TRAIN | FOR_LATENT | FOR_COMPARE | FOR_DEVICES,                       \
      "cpu, vulkan, vulkan:NUMBER or vulkan:NAME; limn devices lists them (default: $LIMN_DEVICE, else the best real " \
      "GPU, else the CPU)")                                                                                            \
    X(COMPUTE, "compute", 0, KIND_NAME, "NAME", 0, 0, limn_compute_name,                                               \
      FOR_PAINTING | FOR_BENCH | FOR_TRAIN | FOR_LATENT | FOR_COMPARE | FOR_DEVICES,                                   \
      "how exactly: f32 throughout; bf16: the CPU's products round their operands, faster where the processor can; "   \
      "f16: a Vulkan device stores values so, in half the memory; sums are always f32 (default: f32); one of:")        \
    X(CHECK, "check", 0, KIND_FLAG, NULL, 0, 0, NULL, FOR_DEVICES,                                                     \
      "run every operation on the device and on the CPU, and say what differs")                                        \
    X(NO_FALLBACK, "no-fallback", 0, KIND_FLAG, NULL, 0, 0, NULL, FOR_PAINTING | FOR_LATENT,                           \
      "what a GPU fails at is an error (default: the CPU goes on)")                                                    \
    X(THREADS, "threads", 't', KIND_WHOLE, "N", 1, LIMN_MAX_THREADS, NULL,                                             \
      FOR_PAINTING | FOR_BENCH | FOR_SCORE | FOR_TRAIN | FOR_LATENT | FOR_COMPARE,                                     \
      "default: one for each processor; what comes out is the same at any number")                                     \
    X(MAX_MEMORY, "max-memory", 0, KIND_BYTES, "BYTES", 0, 0, NULL,                                                    \
      FOR_PAINTING | FOR_SCORE | FOR_TRAIN | FOR_LATENT | FOR_COMPARE,                                                 \
      "most memory for weights and activations, such as 3G or 800M; a VAE works in tiles if it must (default: no "     \
      "limit)")                                                                                                        \
    X(NO_METADATA, "no-metadata", 0, KIND_FLAG, NULL, 0, 0, NULL, FOR_PAINTING,                                        \
      "write neither the settings nor the mark that the picture is made by a model")                                   \
    X(SHOW, "show", 0, KIND_FLAG, NULL, 0, 0, NULL, FOR_PAINTING, "draw the picture in the terminal too")              \
    X(JSON, "json", 0, KIND_FLAG, NULL, 0, 0, NULL, FOR_ALL, "write JSON to standard output, an object a line")        \
    X(QUIET, "quiet", 'q', KIND_FLAG, NULL, 0, 0, NULL, FOR_ALL, "write nothing but errors, and what --json asks for") \
    X(HELP, "help", 'h', KIND_FLAG, NULL, 0, 0, NULL, FOR_ALL, "show this")

enum option {
#define X(id, name, letter, kind, argument, low, high, names, commands, help) OPTION_##id,
    OPTION_MAP(X)
#undef X
        OPTION_ROWS
};

enum { MAX_WORDS = 64 };

struct options {
    bool given[OPTION_ROWS];
    union {
        int64_t whole; /* KIND_WHOLE, KIND_BYTES */
        double real;
        const char *text; /* KIND_TEXT, KIND_NAME; borrowed from argv */
        struct {
            int width, height;
        } size;
    } value[OPTION_ROWS];
    const char *words[MAX_WORDS]; /* what is not an option; borrowed from argv */
    int word_count;
    unsigned kind; /* bit of the kind that the first word names; 0: the command has none, or not this one */
};

struct command_kind {
    const char *name; /* "gan" */
    unsigned bit;     /* FOR_TRAIN_GAN */
};

struct command {
    const char *name;
    unsigned bit;          /* FOR_GENERATE ..., or all of its kinds'; 0: takes no options */
    const char *arguments; /* "PROMPT" */
    int fewest, most;      /* of those */
    const char *summary;
    int (*run)(const struct options *options); /* returns the exit status */
    const struct command_kind *kinds;          /* that its first word names; ends with a NULL name; NULL: it has none */
};

/* argv[0] is the first word after the command's name. False: the sentence has been written to stderr. */
bool options_parse(struct options *options, const struct command *command, int argc, char **argv);
/* The options of a command, each with its help, to standard output. */
void options_print(const struct command *command);

/* The option's text or name; NULL if it was not given. */
const char *options_text(const struct options *options, enum option option);

/* What --device says; without it $LIMN_DEVICE, without that "auto". */
const char *options_device(const struct options *options);

/* Writes "limn: ..." and a hint where help is to be had to stderr; returns EXIT_USAGE. */
int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The one of names(0), names(1), ... that is most like `word`, or NULL if none is near. */
const char *nearest_name(const char *word, const char *(*names)(int i));

#endif
