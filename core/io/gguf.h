/* SPDX-License-Identifier: MIT
 *
 * The GGUF format, version 2 and 3, in which stable-diffusion.cpp keeps models; numbers are little-endian.
 *
 *     +--------+---------+------------+----------+-------+--------------+---------+------- - -
 *     | "GGUF" | u32 3   | u64 number | u64      | pairs | descriptions | padding | data
 *     |        | version | of tensors | of pairs |       |  of tensors  |         |
 *     +--------+---------+------------+----------+-------+--------------+---------+------- - -
 *       string        u64 length, so many bytes
 *       pair          string key, u32 kind of value, value (text, number, or many of one kind)
 *       description   string name, u32 rank, u64 size of each dimension, the innermost first, u32 type, u64 offset
 *
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Offsets count from the data's start. The data and each
 * tensor begin at multiples of the alignment, 32 if no pair "general.alignment" says another, and each tensor where the
 * last one ends: ggml holds files to that, and so it is held to here.
 */
#ifndef IO_GGUF_H
#define IO_GGUF_H

#include "core/io/checkpoint_build.h"

bool gguf_recognise(const unsigned char *bytes, size_t size);
MUST_CHECK enum status gguf_read(struct checkpoint *c, const unsigned char *bytes, size_t size, const char *name,
                                 const char *prefix, struct error *err);

#endif
