/* SPDX-License-Identifier: MIT
 *
 * Status codes and the one sentence that goes with a failure.
 *
 * Every function that can fail for a reason outside the program returns an `enum status` and writes a sentence into
 * the caller's `struct error`. The sentence names the thing, the value and what is allowed:
 *
 *     if (end > size) return fail(err, STATUS_FORMAT, "%s: tensor '%s' ends at %zu of %zu", path, name, end, size);
 *
 * The first error wins: `fail` on an error that already holds one keeps the older sentence. Our own bugs are `assert`s.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#define STATUS_MAP(X)                                                                                                  \
    X(OK, "ok")                                                                                                        \
    X(ARGUMENT, "an argument is not allowed")                                                                          \
    X(FORMAT, "a file is not what it should be")                                                                       \
    X(IO, "a file could not be read or written")                                                                       \
    X(NO_MEMORY, "memory could not be had")                                                                            \
    X(UNSUPPORTED, "this is not supported")                                                                            \
    X(LIMIT, "a limit the caller set is exceeded")                                                                     \
    X(CANCELLED, "the caller asked to stop")                                                                           \
    X(DEVICE, "a GPU or its driver failed")

enum status {
#define X(name, text) STATUS_##name,
    STATUS_MAP(X)
#undef X
};

enum { ERROR_TEXT_BYTES = 1024 };

/* Zero-initialised it is "no error". Owned by the caller, passed by pointer, never NULL. */
struct error {
    enum status status;
    char text[ERROR_TEXT_BYTES];
};

#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))

/* Records status and sentence (unless `err` already holds a failure) and returns the status that `err` now holds. */
enum status fail(struct error *err, enum status status, const char *format, ...) PRINTF_LIKE(3, 4);

/* The sentence for memory that could not be had; `what` names what the bytes were for. */
enum status fail_no_memory(struct error *err, const char *what, unsigned long long bytes);

void error_clear(struct error *err);

/* "ARGUMENT", "FORMAT", ... for logs and tests. */
const char *status_name(enum status status);

#endif
