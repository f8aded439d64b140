/* SPDX-License-Identifier: MIT
 *
 * The commands of the program. Each has a file of its own; the table of them is in main.c.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/options.h"

/* Each returns the exit status: EXIT_OK, EXIT_FAILED, EXIT_USAGE or EXIT_INTERRUPTED. */
int command_generate(const struct options *options);
int command_edit(const struct options *options);
int command_vary(const struct options *options);
int command_info(const struct options *options);
int command_score(const struct options *options);
int command_bench(const struct options *options);
int command_compare(const struct options *options);
int command_train(const struct options *options);
int command_latent(const struct options *options);
int command_devices(const struct options *options);

/* What generate, edit and vary share: settings from the options (and --from), one picture after the other, files,
 * progress, notes. `request` comes with its prompt, image and mask set. */
int paint_pictures(const struct options *options, struct limn_request *request);

/* Writes the sentence to stderr (and as JSON if asked for); returns the exit status that goes with it. */
int report_failure(const struct options *options, const struct limn_error *error);

/* Writes out what standard output still holds; false, with a sentence, if it could not be written. */
bool flush_output(void);

/* True after the first Ctrl-C. A second one ends the program at once. */
bool interrupted(void);

#endif
