/* SPDX-License-Identifier: MIT
 *
 * limn edit IMAGE --mask MASK [PROMPT]
 */
#include "cli/commands.h"

int command_edit(const struct options *options)
{
    if (!options->given[OPTION_MASK])
        return usage_error("edit needs --mask MASK, a picture that is white where IMAGE is to be painted anew");
    struct limn_error error = {0};
    struct limn_image image = {0}, mask = {0};
    int exit_status;
    if (limn_image_read(&image, options->words[0], &error) != LIMN_OK ||
        limn_image_read(&mask, options->value[OPTION_MASK].text, &error) != LIMN_OK) {
        exit_status = report_failure(options, &error);
    } else {
        struct limn_request request = {
            .prompt = options->word_count > 1 ? options->words[1] : NULL, .image = &image, .mask = &mask};
        exit_status = paint_pictures(options, &request);
    }
    limn_image_clear(&mask);
    limn_image_clear(&image);
    return exit_status;
}
