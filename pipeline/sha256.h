/* SPDX-License-Identifier: MIT
 *
 * SHA-256 of a file (FIPS 180-4), for the `Model hash` that the web UI and galleries know checkpoints by.
 */
#ifndef PIPELINE_SHA256_H
#define PIPELINE_SHA256_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHA256_HEX_BYTES = 65 };

/* plain: without the instructions that some processors have for it. */
void sha256_hex(const void *bytes, size_t size, bool plain, char hex[SHA256_HEX_BYTES]);
/* Reads the file once, from start to end, in small pieces. */
MUST_CHECK enum status sha256_file(const char *path, char hex[SHA256_HEX_BYTES], struct error *err);

#endif
