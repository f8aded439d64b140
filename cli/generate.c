/* SPDX-License-Identifier: MIT
 *
 * limn generate PROMPT
 */
#include "cli/commands.h"

int command_generate(const struct options *options)
{
    if (options->word_count == 0 && !options->given[OPTION_FROM])
        return usage_error("generate needs a PROMPT, as in: limn generate \"a red apple\"");
    struct limn_request request = {.prompt = options->word_count > 0 ? options->words[0] : NULL};
    return paint_pictures(options, &request);
}
