/* SPDX-License-Identifier: MIT */
#include "core/io/torch_file.h"

#include "core/io/quote.h"
#include "core/io/torch_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zip.h>

enum { KEY_BYTES = 256, LEGACY_VERSION = 1001 };

/* A zip file in memory that libzip reads through `on_source`. libzip does not say where an entry's bytes lie, but it
 * has to read them from there: `first_read` is the place of the first read since it was set to NOWHERE. */
struct zip_memory {
    const unsigned char *bytes;
    size_t size, at;
    size_t first_read;
    zip_error_t error;
};

static const size_t nowhere = SIZE_MAX;

struct container {
    struct torch_state state;
    struct zip_memory memory;
    zip_t *zip;
    char folder[KEY_BYTES]; /* "archive/": what all entries begin with */
};

static zip_int64_t read_memory(struct zip_memory *m, void *to, zip_uint64_t length)
{
    if (m->first_read == nowhere) m->first_read = m->at;
    const size_t left = m->size - m->at, count = length < left ? (size_t)length : left;
    memcpy(to, m->bytes + m->at, count);
    m->at += count;
    return (zip_int64_t)count;
}

static zip_int64_t on_source(void *user, void *data, zip_uint64_t length, zip_source_cmd_t command)
{
    struct zip_memory *m = user;
    zip_int64_t place;
    zip_stat_t *info = data;
    switch (command) {
    case ZIP_SOURCE_OPEN: m->at = 0; return 0;
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE: return 0;
    case ZIP_SOURCE_READ: return read_memory(m, data, length);
    case ZIP_SOURCE_TELL: return (zip_int64_t)m->at;
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&m->error, data, length);
    case ZIP_SOURCE_SEEK:
        place = zip_source_seek_compute_offset(m->at, m->size, data, length, &m->error);
        if (place < 0) return -1;
        m->at = (size_t)place;
        return 0;
    case ZIP_SOURCE_STAT:
        zip_stat_init(info);
        info->size = m->size;
        info->valid |= ZIP_STAT_SIZE;
        return (zip_int64_t)sizeof *info;
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
                                              ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
                                              ZIP_SOURCE_SUPPORTS, -1);
    default: zip_error_set(&m->error, ZIP_ER_OPNOTSUPP, 0); return -1;
    }
}

static enum status damaged(const struct container *z, const char *what, const char *why)
{
    return fail(z->state.err, STATUS_FORMAT, "%s: is a damaged zip file: %s: %s", z->state.name, quote(what).text, why);
}

static enum status open_zip(struct container *z)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_function_create(on_source, &z->memory, &error);
    if (source) z->zip = zip_open_from_source(source, ZIP_RDONLY, &error);
    if (!z->zip) {
        zip_source_free(source);
        if (zip_error_code_zip(&error) == ZIP_ER_MEMORY)
            (void)fail_no_memory(z->state.err, z->state.name, z->memory.size);
        else
            (void)fail(z->state.err, STATUS_FORMAT, "%s: is a damaged zip file: %s", z->state.name,
                       zip_error_strerror(&error));
    }
    zip_error_fini(&error);
    return z->state.err->status;
}

/* Where the bytes of an entry lie that is stored as it is. */
static enum status locate_stored(struct container *z, const zip_stat_t *info, const unsigned char **data)
{
    unsigned char first;
    zip_file_t *file = zip_fopen_index(z->zip, info->index, ZIP_FL_COMPRESSED);
    if (!file) return damaged(z, info->name, zip_strerror(z->zip));
    z->memory.first_read = nowhere;
    const bool good = zip_fread(file, &first, 1) == 1;
    zip_fclose(file);
    const size_t place = z->memory.first_read;
    if (!good || place > z->memory.size || info->size > z->memory.size - place)
        return damaged(z, info->name, "its bytes are not all in the file");
    *data = z->memory.bytes + place;
    return STATUS_OK;
}

static enum status inflate_entry(struct container *z, const zip_stat_t *info, const unsigned char **data)
{
    void *block;
    const enum status status = checkpoint_block(z->state.c, (size_t)info->size, z->state.name, &block, z->state.err);
    if (status != STATUS_OK) return status;
    zip_file_t *file = zip_fopen_index(z->zip, info->index, 0);
    if (!file) return damaged(z, info->name, zip_strerror(z->zip));
    unsigned char more;
    /* The read behind the end makes libzip compare the checksum. */
    const bool good = zip_fread(file, block, info->size) == (zip_int64_t)info->size && zip_fread(file, &more, 1) == 0;
    zip_fclose(file);
    if (!good) return damaged(z, info->name, "it does not unpack to what it should");
    *data = block;
    return STATUS_OK;
}

/* The bytes of an entry, mapped where possible. */
static enum status entry_data(struct container *z, zip_uint64_t index, const unsigned char **data, uint64_t *size)
{
    const zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_INDEX | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    zip_stat_t info;
    if (zip_stat_index(z->zip, index, 0, &info) != 0) return damaged(z, "an entry", zip_strerror(z->zip));
    if ((info.valid & needed) != needed) return damaged(z, "an entry", "its description is not complete");
    if (info.encryption_method != ZIP_EM_NONE) return damaged(z, info.name, "it is encrypted");
    *size = info.size;
    *data = (const unsigned char *)"";
    if (info.size == 0) return STATUS_OK;
    if (info.comp_method == ZIP_CM_STORE && info.comp_size == info.size) return locate_stored(z, &info, data);
    return inflate_entry(z, &info, data);
}

/* A storage's bytes: the entry FOLDER/data/KEY, which must be exactly as long as the pickle says. */
static enum status locate_storage(void *context, struct torch_storage *storage)
{
    struct container *z = context;
    char path[2 * KEY_BYTES];
    const struct quoted key = quote_bytes(storage->key, storage->key_size);
    uint64_t expected, size;
    if (!torch_storage_bytes(storage, &expected) || storage->key_size >= KEY_BYTES)
        return fail(z->state.err, STATUS_FORMAT, "%s: storage '%s' cannot be in a file", z->state.name, key.text);
    snprintf(path, sizeof path, "%sdata/%.*s", z->folder, (int)storage->key_size, storage->key);
    const zip_int64_t index = zip_name_locate(z->zip, path, 0);
    if (index < 0)
        return fail(z->state.err, STATUS_FORMAT, "%s: storage '%s' is missing; the file is not whole", z->state.name,
                    key.text);
    const unsigned char *data;
    const enum status status = entry_data(z, (zip_uint64_t)index, &data, &size);
    if (status != STATUS_OK) return status;
    if (size != expected)
        return fail(z->state.err, STATUS_FORMAT,
                    "%s: storage '%s' has %" PRIu64 " bytes, but %" PRIu64 " are described", z->state.name, key.text,
                    size, expected);
    storage->data = data;
    return STATUS_OK;
}

/* The entry FOLDER/data.pkl; sets z->folder. */
static zip_int64_t find_pickle(struct container *z)
{
    static const char tail[] = "data.pkl";
    const size_t tail_size = sizeof tail - 1;
    const zip_int64_t count = zip_get_num_entries(z->zip, 0);
    for (zip_int64_t i = 0; i < count; i++) {
        const char *name = zip_get_name(z->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        const size_t size = name ? strlen(name) : 0;
        if (size < tail_size || size - tail_size >= KEY_BYTES || strcmp(name + size - tail_size, tail) != 0) continue;
        const char *slash = strchr(name, '/');
        if (slash ? slash != name + size - tail_size - 1 : size != tail_size) continue;
        memcpy(z->folder, name, size - tail_size);
        z->folder[size - tail_size] = '\0';
        return i;
    }
    return -1;
}

/* torch 2 notes the byte order in an entry of its own. */
static enum status check_byte_order(struct container *z)
{
    char path[2 * KEY_BYTES];
    snprintf(path, sizeof path, "%sbyteorder", z->folder);
    const zip_int64_t index = zip_name_locate(z->zip, path, 0);
    if (index < 0) return STATUS_OK;
    const unsigned char *text;
    uint64_t size;
    const enum status status = entry_data(z, (zip_uint64_t)index, &text, &size);
    if (status != STATUS_OK || (size == 6 && memcmp(text, "little", 6) == 0)) return status;
    return fail(z->state.err, STATUS_UNSUPPORTED, "%s: its byte order is '%s'; only 'little' can be read",
                z->state.name, quote_bytes((const char *)text, (size_t)size).text);
}

static enum status read_zip(struct container *z)
{
    struct torch_state *s = &z->state;
    enum status status = open_zip(z);
    if (status != STATUS_OK) return status;
    const zip_int64_t index = find_pickle(z);
    if (index < 0)
        return fail(s->err, STATUS_FORMAT, "%s: is a zip file without a data.pkl, so no PyTorch checkpoint", s->name);
    const unsigned char *bytes;
    uint64_t size;
    status = check_byte_order(z);
    if (status == STATUS_OK) status = entry_data(z, (zip_uint64_t)index, &bytes, &size);
    if (status != STATUS_OK) return status;
    if (size > PICKLE_MAX_BYTES)
        return fail(s->err, STATUS_FORMAT, "%s: data.pkl has %" PRIu64 " bytes; at most %d are allowed", s->name, size,
                    PICKLE_MAX_BYTES);
    status = pickle_parse(&s->pickle, &s->arena, bytes, (size_t)size, s->name, s->err);
    if (status == STATUS_OK) status = torch_state_index(s);
    return status == STATUS_OK ? torch_state_add(s) : status;
}

bool torch_zip_recognise(const unsigned char *bytes, size_t size)
{
    return size >= 4 && (memcmp(bytes, "PK\3\4", 4) == 0 || memcmp(bytes, "PK\5\6", 4) == 0);
}

enum status torch_zip_read(struct checkpoint *c, const unsigned char *bytes, size_t size, const char *name,
                           const char *prefix, struct error *err)
{
    struct container z = {
        .state = {.c = c, .name = name, .prefix = prefix, .err = err, .locate = locate_storage},
        .memory = {.bytes = bytes, .size = size},
    };
    z.state.context = &z;
    zip_error_init(&z.memory.error);
    const enum status status = read_zip(&z);
    if (z.zip) zip_discard(z.zip);
    zip_error_fini(&z.memory.error);
    torch_state_clear(&z.state);
    return status;
}

/* The pickle of the number 0x1950a86a20f9469cfc6c, with which the old files begin. */
static const unsigned char legacy_magic[] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                             0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

bool torch_legacy_recognise(const unsigned char *bytes, size_t size)
{
    return size >= 2 + sizeof legacy_magic && bytes[0] == 0x80 &&
           memcmp(bytes + 2, legacy_magic, sizeof legacy_magic) == 0;
}

/* One pickle of an old file; `at` moves behind it. */
static enum status next_pickle(struct torch_state *s, struct pickle *out, const unsigned char *bytes, size_t size,
                               size_t *at)
{
    const size_t left = size - *at;
    const enum status status =
        pickle_parse(out, &s->arena, bytes + *at, left < PICKLE_MAX_BYTES ? left : PICKLE_MAX_BYTES, s->name, s->err);
    *at += out->end;
    return status;
}

/* The storages follow the pickles in the order of the list of keys: a count of elements, then the elements. */
static enum status locate_legacy(struct torch_state *s, const struct value *keys, const unsigned char *bytes,
                                 size_t size, size_t at)
{
    if (keys->kind != VALUE_LIST)
        return fail(s->err, STATUS_FORMAT, "%s: is damaged: it has no list of storages", s->name);
    for (size_t i = 0; i < keys->list.count; i++) {
        const struct value *key = keys->list.items[i];
        struct torch_storage *storage =
            key->kind == VALUE_STRING ? torch_state_storage(s, key->string.text, key->string.size) : NULL;
        if (!storage || storage->data)
            return fail(s->err, STATUS_FORMAT, "%s: is damaged: storage %zu has no tensor or comes twice", s->name, i);
        const struct quoted name = quote_bytes(storage->key, storage->key_size);
        uint64_t bytes_needed;
        int64_t count;
        if (size - at < sizeof count)
            return fail(s->err, STATUS_FORMAT, "%s: is truncated before storage '%s'", s->name, name.text);
        memcpy(&count, bytes + at, sizeof count);
        at += sizeof count;
        if (count != storage->count || !torch_storage_bytes(storage, &bytes_needed))
            return fail(s->err, STATUS_FORMAT,
                        "%s: storage '%s' has %" PRId64 " elements, but %" PRId64 " are described", s->name, name.text,
                        count, storage->count);
        if (bytes_needed > size - at)
            return fail(s->err, STATUS_FORMAT, "%s: is truncated: storage '%s' ends at byte %" PRIu64 " of %zu",
                        s->name, name.text, at + bytes_needed, size);
        storage->data = bytes + at;
        at += (size_t)bytes_needed;
    }
    return STATUS_OK;
}

static enum status read_legacy(struct torch_state *s, const unsigned char *bytes, size_t size)
{
    struct pickle version, system, keys;
    size_t at = 2 + sizeof legacy_magic;
    enum status status = next_pickle(s, &version, bytes, size, &at);
    if (status == STATUS_OK && (version.root->kind != VALUE_INTEGER || version.root->integer != LEGACY_VERSION))
        return fail(s->err, STATUS_UNSUPPORTED, "%s: is of an unknown version of PyTorch's old format; save it again",
                    s->name);
    if (status == STATUS_OK) status = next_pickle(s, &system, bytes, size, &at);
    if (status != STATUS_OK) return status;
    const struct value *little = value_get(system.root, "little_endian");
    if (little && little->kind == VALUE_BOOL && !little->integer)
        return fail(s->err, STATUS_UNSUPPORTED, "%s: its byte order is 'big'; only 'little' can be read", s->name);
    status = next_pickle(s, &s->pickle, bytes, size, &at);
    if (status == STATUS_OK) status = torch_state_index(s);
    if (status == STATUS_OK) status = next_pickle(s, &keys, bytes, size, &at);
    if (status == STATUS_OK) status = locate_legacy(s, keys.root, bytes, size, at);
    return status == STATUS_OK ? torch_state_add(s) : status;
}

enum status torch_legacy_read(struct checkpoint *c, const unsigned char *bytes, size_t size, const char *name,
                              const char *prefix, struct error *err)
{
    struct torch_state state = {.c = c, .name = name, .prefix = prefix, .err = err};
    const enum status status = read_legacy(&state, bytes, size);
    torch_state_clear(&state);
    return status;
}
