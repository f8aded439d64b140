/* SPDX-License-Identifier: MIT
 *
 * limn generate PROMPT
 */
#include "cli/commands.h"

#include <string.h>

/* Only a GAN paints without a prompt: all that most of them take is a seed. Of a file that nothing can be painted with,
 * opening says what is wrong. */
static bool needs_prompt(const struct options *options)
{
    struct limn_info info = {0};
    if (!options->given[OPTION_MODEL]) return true;
    if (limn_info_read(&info, options->value[OPTION_MODEL].text, NULL) != LIMN_OK) return false; /* opening says why */
    const bool needed = strcmp(info.kind, "gan") != 0 && !info.missing;
    limn_info_clear(&info);
    return needed;
}

int command_generate(const struct options *options)
{
    if (options->word_count == 0 && !options->given[OPTION_FROM] && needs_prompt(options))
        return usage_error("generate needs a PROMPT, as in: limn generate \"a red apple\"");
    struct limn_request request = {.prompt = options->word_count > 0 ? options->words[0] : NULL};
    return paint_pictures(options, &request);
}
