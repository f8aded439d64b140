/* SPDX-License-Identifier: MIT
 *
 * PyTorch's files, both kinds: a zip file, or pickles and storages one after the other.
 */
#include "core/io/torch_file.h"
#include "tests/fuzz/touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (torch_zip_recognise(data, size) || torch_legacy_recognise(data, size)) touch_checkpoint(data, size);
    return 0;
}
