/* SPDX-License-Identifier: MIT */
#include "tests/support/safetensors_write.h"

#include "core/base/memory.h"

#include <stdio.h>
#include <string.h>

enum { PIECE_ELEMENTS = 1 << 18 };

static int64_t count_of(const struct tensor *tensor)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++) count *= tensor->dim[i];
    return count;
}

static void write_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < 0x20) {
            fprintf(out, "\\u%04x", c);
            continue;
        }
        if (c == '"' || c == '\\') fputc('\\', out);
        fputc(c, out);
    }
    fputc('"', out);
}

static void write_header(FILE *out, const struct safetensors_file *file)
{
    unsigned long long at = 0;
    fputc('{', out);
    if (file->note_count) fputs("\"__metadata__\":{", out);
    for (int i = 0; i < file->note_count; i++) {
        if (i) fputc(',', out);
        write_text(out, file->notes[i].key);
        fputc(':', out);
        write_text(out, file->notes[i].value);
    }
    if (file->note_count) fputs(file->count ? "}," : "}", out);
    for (int i = 0; i < file->count; i++) {
        const struct tensor *t = &file->tensors[i];
        const unsigned long long bytes = (unsigned long long)count_of(t) * dtype_bytes(t->dtype);
        if (i) fputc(',', out);
        write_text(out, t->name);
        fprintf(out, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(t->dtype));
        for (int d = 0; d < t->rank; d++) fprintf(out, d ? ",%lld" : "%lld", (long long)t->dim[d]);
        fprintf(out, "],\"data_offsets\":[%llu,%llu]}", at, at + bytes);
        at += bytes;
    }
    fputc('}', out);
}

/* The length is known after the header is written, and goes before it. Spaces fill the header to a multiple of 8. */
static void write_front(FILE *out, const struct safetensors_file *file)
{
    unsigned char length[8] = {0};
    fwrite(length, 1, sizeof length, out);
    write_header(out, file);
    while (ftell(out) % 8 != 0) fputc(' ', out);
    const unsigned long long bytes = (unsigned long long)ftell(out) - sizeof length;
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)(bytes >> 8 * i);
    fseek(out, 0, SEEK_SET);
    fwrite(length, 1, sizeof length, out);
    fseek(out, 0, SEEK_END);
}

static void write_tensor(FILE *out, const struct safetensors_file *file, int i, void *piece)
{
    const struct tensor *t = &file->tensors[i];
    const size_t element = dtype_bytes(t->dtype);
    const int64_t count = count_of(t);
    if (!file->fill) {
        fwrite(t->data, element, (size_t)count, out);
        return;
    }
    for (int64_t first = 0; first < count; first += PIECE_ELEMENTS) {
        const int64_t n = count - first < PIECE_ELEMENTS ? count - first : PIECE_ELEMENTS;
        file->fill(file->context, i, first, n, piece);
        fwrite(piece, element, (size_t)n, out);
    }
}

enum status safetensors_write(const char *path, const struct safetensors_file *file, struct error *err)
{
    const size_t bytes = (size_t)PIECE_ELEMENTS * sizeof(double);
    void *piece = memory_alloc_raw(bytes);
    if (!piece) return fail_no_memory(err, "a test's file", bytes);
    FILE *out = fopen(path, "wb");
    if (out) {
        write_front(out, file);
        for (int i = 0; i < file->count; i++) write_tensor(out, file, i, piece);
    }
    const int broken = !out || ferror(out);
    if ((out && fclose(out) != 0) || broken) fail(err, STATUS_IO, "%s: could not be written", path);
    memory_free(piece);
    return err->status;
}
