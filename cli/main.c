/* SPDX-License-Identifier: MIT
 *
 * limn: a text-to-image program. This file finds the command and runs it.
 */
#define _POSIX_C_SOURCE 200809L /* sigaction */
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/sentence.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static int command_help(const struct options *options);
static int command_version(const struct options *options);

static const struct command_kind train_kinds[] = {{"diffusion", FOR_TRAIN_DIFFUSION},
                                                  {"vae", FOR_TRAIN_VAE},
                                                  {"gan", FOR_TRAIN_GAN},
                                                  {"clip", FOR_TRAIN_CLIP},
                                                  {NULL, 0}};
static const struct command_kind latent_kinds[] = {{"walk", FOR_LATENT_WALK},
                                                   {"mix", FOR_LATENT_MIX},
                                                   {"find", FOR_LATENT_FIND},
                                                   {"judge", FOR_LATENT_JUDGE},
                                                   {NULL, 0}};

static const struct command commands[] = {
    {"generate", FOR_GENERATE, "PROMPT", 0, 1, "Paints a picture from a prompt.", command_generate, NULL},
    {"edit", FOR_EDIT, "IMAGE [PROMPT]", 1, 2,
     "Paints anew what a mask names in a picture; every other pixel stays as it is.", command_edit, NULL},
    {"vary", FOR_VARY, "IMAGE [PROMPT]", 1, 2, "Paints variations of a picture.", command_vary, NULL},
    {"info", FOR_INFO, "[FILE]", 0, 1,
     "Says what a checkpoint or pack is, what is in it and what is missing; without FILE, of the pack that comes with "
     "limn.",
     command_info, NULL},
    {"score", FOR_SCORE, "IMAGE TEXT...", 0, MAX_WORDS - 1,
     "Says how well texts go with a picture, the likeliest first, by a CLIP model.", command_score, NULL},
    {"compare", FOR_COMPARE, "[PROMPT...]", 0, MAX_WORDS - 1,
     "Says which of two or more models paints prompts better, at what cost, with figures and pictures side by side.",
     command_compare, NULL},
    {"bench", FOR_BENCH, "[CASE...]", 0, MAX_WORDS, "Measures how near the engine comes to the machine's own speed.",
     command_bench, NULL},
    {"latent", FOR_LATENT, "walk|mix|find|judge ...", 1, MAX_WORDS - 1,
     "Looks into a GAN: walks from seed to seed, adds and subtracts them, finds the vector of a picture, and says what "
     "the discriminator thinks of pictures.",
     command_latent, latent_kinds},
    {"train", FOR_TRAIN, "KIND", 1, 1,
     "Trains a model from a folder of pictures; KIND is diffusion, vae, gan or clip. As in: limn train diffusion "
     "--data "
     "pictures --out mine.safetensors",
     command_train, train_kinds},
    {"devices", FOR_DEVICES, "", 0, 0,
     "Lists what limn can compute on; with --check, says whether a device computes rightly.", command_devices, NULL},
    {"help", 0, "[COMMAND]", 0, 1, "Says how a command is used.", command_help, NULL},
    {"version", 0, "", 0, 0, "Prints the version.", command_version, NULL},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static volatile sig_atomic_t interrupt_seen;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupt_seen = 1;
}

bool interrupted(void)
{
    return interrupt_seen != 0;
}

bool flush_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return true;
    print_sentence("standard output could not be written");
    return false;
}

int report_failure(const struct options *options, const struct limn_error *error)
{
    if (options->given[OPTION_JSON]) {
        event_write(json_pack("{s:s, s:s, s:o}", "event", "error", "status", limn_status_name(error->status), "message",
                              event_text(error->text)));
        flush_output();
    }
    print_sentence(error->text);
    if (error->status == LIMN_CANCELLED) return EXIT_INTERRUPTED;
    return error->status == LIMN_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
}

static const struct command *find_command(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

static const char *command_name(int i)
{
    return i < COMMANDS ? commands[i].name : NULL;
}

static int unknown_command(const char *name)
{
    const char *nearest = nearest_name(name, command_name);
    if (nearest) return usage_error("unknown command '%s'; did you mean 'limn %s'?", name, nearest);
    return usage_error("unknown command '%s'; limn help lists those there are", name);
}

static void print_overview(FILE *file)
{
    fputs("usage: limn COMMAND ...\n\n", file);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(file, "  limn %-8s %-15s %s\n", commands[i].name, commands[i].arguments, commands[i].summary);
    fputs("\nTry: limn generate \"a red apple\"\n     limn help generate\n", file);
}

static int print_help(const struct command *command)
{
    printf("usage: limn %s %s%s\n\n%s\n", command->name, command->arguments, command->bit ? " [OPTION...]" : "",
           command->summary);
    if (command->bit == FOR_BENCH) {
        fputs("\ncases:", stdout);
        for (int i = 0; limn_bench_name(i); i++) printf("%s %s", i ? "," : "", limn_bench_name(i));
        puts(" (default: all)");
    }
    if (command->bit) {
        puts("\noptions:");
        options_print(command);
    }
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}

static int command_help(const struct options *options)
{
    if (options->word_count > 0) {
        const struct command *command = find_command(options->words[0]);
        return command ? print_help(command) : unknown_command(options->words[0]);
    }
    print_overview(stdout);
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}

static int command_version(const struct options *options)
{
    (void)options;
    printf("limn %s\n", limn_version());
    return flush_output() ? EXIT_OK : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    const struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);

    if (argc < 2) {
        print_overview(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    if (strcmp(name, "--version") == 0) name = "version";
    const struct command *command = find_command(name);
    if (!command && name[0] == '-')
        return usage_error("a command comes first, as in: limn generate \"a red apple\"; limn help lists them");
    if (!command) return unknown_command(name);

    struct options options = {0};
    if (!options_parse(&options, command, argc - 2, argv + 2)) return EXIT_USAGE;
    return options.given[OPTION_HELP] ? print_help(command) : command->run(&options);
}
