/* SPDX-License-Identifier: MIT
 *
 * limn vary IMAGE [PROMPT]
 */
#include "cli/commands.h"

int command_vary(const struct options *options)
{
    struct limn_error error = {0};
    struct limn_image image = {0};
    if (limn_image_read(&image, options->words[0], &error) != LIMN_OK) return report_failure(options, &error);
    struct limn_request request = {.prompt = options->word_count > 1 ? options->words[1] : NULL, .image = &image};
    const int exit_status = paint_pictures(options, &request);
    limn_image_clear(&image);
    return exit_status;
}
