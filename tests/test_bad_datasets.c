/* SPDX-License-Identifier: MIT
 *
 * Data sets as people have them: with pictures that are damaged, odd or huge, captions that are none, lists that lie.
 * What can be used is used; everything else gets a sentence.
 */
#define _DEFAULT_SOURCE /* seteuid */
#include "core/base/memory.h"
#include "core/io/dataset.h"
#include "tests/support/pieces.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIDE = 8, NOBODY = 65534, MOST_PIECES = 6 };

static struct scratch scratch;

/* clang-format off */
#define PNG(at, w, h) {at, .kind = PIECE_PNG, .width = w, .height = h}
#define GOOD(at) PNG(at, 9, 7)
#define GOLDEN_FILE(at, golden, cut) {at, .kind = PIECE_GOLDEN, .text = golden, .size = cut}
#define TEXT(at, string) {at, .text = string}
#define BYTES(at, string) {at, .kind = PIECE_TEXT, .text = string, .size = sizeof string - 1}
#define PACKED(at, string) {at, .kind = PIECE_GZIP, .text = string, .size = sizeof string - 1}
#define LONG(at, string, length) {at, .kind = PIECE_LONG, .text = string, .size = length}
#define OTHER(at, other, string) {at, .kind = other, .text = string}
#define LIST(lines) TEXT("metadata.jsonl", lines)
/* clang-format on */
#define TWO    "\0\0\x08\x03\0\0\0\2\0\0\0\2\0\0\0\2abcdefgh" /* two pictures of 2 x 2 */
#define IMAGES "train-images-idx3-ubyte"
#define LABELS "train-labels-idx1-ubyte"

struct bad {
    const char *name;
    struct piece pieces[MOST_PIECES];
    int items;        /* that are left; 0: the set is refused */
    const char *says; /* what one of the sentences holds; NULL: there is none */
    const char *open; /* relative to the set's folder */
};

static const struct bad pictures[] = {
    {"truncated PNG", {GOLDEN_FILE("a.png", "images/rgb.png", -40), GOOD("b.png")}, 1, "/a.png: ", 0},
    {"truncated JPEG", {GOLDEN_FILE("a.jpg", "images/rgb420.jpg", -20), GOOD("b.png")}, 1, "/a.jpg: ", 0},
    {"PNG of its first bytes", {GOLDEN_FILE("a.png", "images/rgb.png", 20), GOOD("b.png")}, 1, "/a.png: ", 0},
    {"JPEG of its first bytes", {GOLDEN_FILE("a.jpg", "images/grey.jpg", 9), GOOD("b.png")}, 1, "/a.jpg: ", 0},
    {"empty picture", {TEXT("a.png", ""), GOOD("b.png")}, 1, "a.png: is empty; PNG and JPEG files can be read", 0},
    {"text for a picture", {TEXT("a.JPG", "hello"), GOOD("b.png")}, 1, "a.JPG: is not a picture that limn knows", 0},
    {"WebP", {TEXT("a.webp", "RIFF\xff\xff\xff\xffWEBP"), GOOD("b.png")}, 1, "a.webp: is not a picture that", 0},
    {"GIF", {TEXT("a.gif", "GIF89a"), GOOD("b.png")}, 1, "a.gif: is not a picture that limn knows", 0},
    {"huge chunk", {GOLDEN_FILE("a.png", "bad/png-huge-chunk.png", 0), GOOD("b.png")}, 1, "/a.png: ", 0},
    {"PNG named .jpg", {GOLDEN_FILE("a.jpg", "images/rgb.png", 0)}, 1, NULL, 0},
    {"1 x 1", {PNG("a.png", 1, 1)}, 1, NULL, 0},
    {"16384 x 1", {PNG("a.png", 16384, 1)}, 1, NULL, 0},
    {"1 x 16384", {PNG("a.png", 1, 16384)}, 1, NULL, 0},
    {"20000 x 1", {PNG("a.png", 20000, 1), GOOD("b.png")}, 1, "a.png: is 20000 x 1 pixels", 0},
    {"1 x 20000", {PNG("a.png", 1, 20000), GOOD("b.png")}, 1, "a.png: is 1 x 20000 pixels", 0},
    {"0 x 5", {PNG("a.png", 0, 5), GOOD("b.png")}, 1, "/a.png: ", 0},
    {"CMYK JPEG", {GOLDEN_FILE("a.jpg", "images/cmyk.jpg", 0)}, 1, NULL, 0},
    {"16-bit PNG", {GOLDEN_FILE("a.png", "images/rgb16.png", 0)}, 1, NULL, 0},
    {"16-bit grey PNG", {GOLDEN_FILE("a.png", "images/grey16.png", 0)}, 1, NULL, 0},
    {"1-bit PNG", {GOLDEN_FILE("a.png", "images/bits.png", 0)}, 1, NULL, 0},
    {"palette PNG", {GOLDEN_FILE("a.png", "images/palette.png", 0)}, 1, NULL, 0},
    {"palette PNG with clear places", {GOLDEN_FILE("a.png", "images/palette-clear.png", 0)}, 1, NULL, 0},
    {"grey PNG with alpha", {GOLDEN_FILE("a.png", "images/grey-alpha.png", 0)}, 1, NULL, 0},
    {"interlaced PNG with alpha", {GOLDEN_FILE("a.png", "images/interlaced-rgba.png", 0)}, 1, NULL, 0},
    {"progressive JPEG", {GOLDEN_FILE("a.jpg", "images/progressive.jpg", 0)}, 1, NULL, 0},
    {"turned JPEG", {GOLDEN_FILE("a.jpg", "images/turned6.jpg", 0)}, 1, NULL, 0},
};

static const struct bad folders[] = {
    {"no permission",
     {GOOD("a.png"), OTHER("a.png", PIECE_CLOSED, NULL), GOOD("b.png")},
     1,
     "/a.png: could not be opened: Perm",
     0},
    {"a folder without permission",
     {GOOD("c/a.png"), OTHER("c", PIECE_CLOSED, NULL), GOOD("b.png")},
     1,
     "/c: could not be opened",
     0},
    {"the set without permission",
     {GOOD("c/a.png"), OTHER("c", PIECE_CLOSED, NULL)},
     0,
     "/c: could not be opened: Permiss",
     "/c"},
    {"a pipe", {OTHER("a.png", PIECE_PIPE, NULL), GOOD("b.png")}, 1, "a.png: is a pipe; a file is needed", 0},
    {"a folder named as a picture", {OTHER("a.png", PIECE_FOLDER, NULL), GOOD("b.png")}, 1, NULL, 0},
    {"a link to nothing",
     {OTHER("a.png", PIECE_LINK, "none"), GOOD("b.png")},
     1,
     "a.png: could not be examined: No such",
     0},
    {"a link to itself",
     {OTHER("a.png", PIECE_LINK, "a.png"), GOOD("b.png")},
     1,
     "a.png: could not be examined: Too many",
     0},
    {"a link to a picture", {OTHER("a.png", PIECE_LINK, "b.png"), GOOD("b.png")}, 2, NULL, 0},
    {"a link to its folder",
     {GOOD("a.png"), OTHER("in/loop", PIECE_LINK, "..")},
     1,
     "/in/loop: is a link back to a folder",
     0},
    {"too many folders",
     {PNG("1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/a.png", 2, 2), GOOD("b.png")},
     1,
     "lies more than 32 folders deep",
     0},
    {"an empty folder", {{0}}, 0, "holds no picture that can be used", 0},
    {"no folder", {{0}}, 0, "/missing: could not be opened: No such file or directory", "/missing"},
    {"a text file for a set",
     {TEXT("a.text", "hello")},
     0,
     "a.text: is a file; a data set is a folder of pic",
     "/a.text"},
    {"a picture for a set", {GOOD("a.png")}, 0, "a.png: is a file; a data set is a folder of pictures", "/a.png"},
    {"bad pictures only", {TEXT("a.png", "a"), TEXT("b.jpg", "b")}, 0, "none of its 2 pictures can be read", 0},
    {"hidden pictures only",
     {GOOD(".a.png"), GOOD("._b.png"), GOOD("__MACOSX/c.png")},
     0,
     "holds no picture that can",
     0},
    {"a table",
     {GOOD("a.png"), TEXT("metadata.csv", "file_name,text\n")},
     0,
     "csv: tables are not read; write metada",
     0},
    {"a class that is no text",
     {GOOD("c\xff/a.png"), GOOD("cat/b.png")},
     1,
     "name of its folder is not valid UTF-8",
     0},
    {"two classes of one name", {GOOD("a-b/a.png"), GOOD("a_b/a.png")}, 2, NULL, 0},
    {"a strange name", {TEXT("\x1b[2J.png", "a"), GOOD("b.png")}, 1, "is not a picture that limn knows", 0},
};

static const struct bad captions[] = {
    {"a caption of 1 MB",
     {GOOD("a.png"), GOOD("b.png"), LONG("a.txt", "red ", 1 << 20)},
     1,
     "a.txt: is longer than the 65536 bytes",
     0},
    {"a caption of 64 KB", {GOOD("a.png"), LONG("a.txt", "red ", 1 << 16)}, 1, NULL, 0},
    {"32768 captions",
     {GOOD("a.png"), GOOD("b.png"), LONG("a.txt", "r\n", 1 << 16)},
     1,
     "a.txt: has more than the 1024 lines that are allowed",
     0},
    {"1024 captions", {GOOD("a.png"), LONG("a.txt", "r\n", 2048)}, 1, NULL, 0},
    {"a caption in Latin-1",
     {GOOD("a.png"), GOOD("b.png"), TEXT("a.txt", "caf\xe9")},
     1,
     "a.txt: is not valid UTF-8 text",
     0},
    {"a caption in UTF-16",
     {GOOD("a.png"), GOOD("b.png"),
      BYTES("a.txt", "\xff\xfe"
                     "c\0a\0t\0")},
     1,
     "a.txt: is not valid UTF-8",
     0},
    {"a caption with a zero byte",
     {GOOD("a.png"), GOOD("b.png"), BYTES("a.txt", "a\0b")},
     1,
     "a.txt: is not valid UTF-8",
     0},
    {"a folder for a caption",
     {GOOD("a.png"), GOOD("b.png"), OTHER("a.txt", PIECE_FOLDER, NULL)},
     1,
     "a.txt: is a folder; a file is need",
     0},
    {"a link for a caption",
     {GOOD("a.png"), GOOD("b.png"), OTHER("a.txt", PIECE_LINK, "none")},
     1,
     "a.txt: could not be opened",
     0},
    {"a closed caption",
     {GOOD("a.png"), GOOD("b.png"), TEXT("a.txt", "a"), OTHER("a.txt", PIECE_CLOSED, NULL)},
     1,
     "a.txt: could not be opened",
     0},
    {"an empty caption", {GOOD("a.png"), TEXT("a.txt", " \n\r\n\t")}, 1, NULL, 0},
    {"two pictures of one name", {GOOD("a.png"), GOOD("a.jpg"), TEXT("a.txt", "both")}, 2, NULL, 0},
};

#define LINE(file) "{\"file_name\": \"" file "\", \"text\": \"a\"}\n"
static const struct bad lists[] = {
    {"a broken line",
     {GOOD("b.png"), LIST("{\"file_name\": a.png}\n" LINE("b.png"))},
     1,
     "jsonl, line 1: is not a JSON object: ",
     0},
    {"a line that is cut off",
     {GOOD("b.png"), LIST(LINE("b.png") "{\"file_name\": \"a.pn")},
     1,
     "jsonl, line 2: is not a JSON",
     0},
    {"a line that goes on",
     {GOOD("b.png"), LIST(LINE("b.png") "{} {}\n")},
     1,
     "jsonl, line 2: is not a JSON object: ",
     0},
    {"a list for a line", {GOOD("b.png"), LIST("[1]\n" LINE("b.png"))}, 1, "jsonl, line 1: is not a JSON object", 0},
    {"no file_name", {GOOD("b.png"), LIST("{\"text\": \"a\"}\n" LINE("b.png"))}, 1, "line 1: there is no file_name", 0},
    {"a number for a name",
     {GOOD("b.png"), LIST("{\"file_name\": 1}\n" LINE("b.png"))},
     1,
     "line 1: file_name is not the name",
     0},
    {"an empty name",
     {GOOD("b.png"), LIST(LINE("") LINE("b.png"))},
     1,
     "line 1: file_name is not the name of a file",
     0},
    {"a name outside",
     {GOOD("b.png"), LIST(LINE("../x.png") LINE("b.png"))},
     1,
     "'../x.png' leads out of the folder",
     0},
    {"a name outside, hidden",
     {GOOD("b.png"), LIST(LINE("a/../../x.png") LINE("b.png"))},
     1,
     "x.png' leads out of the fold",
     0},
    {"a name that ends outside",
     {GOOD("b.png"), LIST(LINE("a/..") LINE("b.png"))},
     1,
     "'a/..' leads out of the folder",
     0},
    {"an absolute name",
     {GOOD("b.png"), LIST(LINE("/etc/passwd") LINE("b.png"))},
     1,
     "'/etc/passwd' leads out of the folder",
     0},
    {"names with dots", {GOOD("a..b/..c.png"), LIST(LINE("./a..b/..c.png"))}, 1, NULL, 0},
    {"a name twice",
     {GOOD("b.png"), LIST(LINE("b.png") LINE("./b.png"))},
     1,
     "line 2: names 'b.png' again; its first line",
     0},
    {"a missing file",
     {GOOD("b.png"), LIST(LINE("a.png") LINE("b.png"))},
     1,
     "/a.png: could not be opened: No such file",
     0},
    {"itself for a picture",
     {GOOD("b.png"), LIST(LINE("metadata.jsonl") LINE("b.png"))},
     1,
     "metadata.jsonl: is not a picture",
     0},
    {"a number for a text",
     {GOOD("b.png"), LIST("{\"file_name\": \"a\", \"text\": 1}\n" LINE("b.png"))},
     1,
     "the text of 'a' is neither text nor a list",
     0},
    {"a number among texts",
     {GOOD("b.png"), LIST("{\"file_name\": \"a\", \"text\": [\"a\", 1]}\n" LINE("b.png"))},
     1,
     "'a' is neither text nor a list of texts",
     0},
    {"a list among texts",
     {GOOD("b.png"), LIST("{\"file_name\": \"a\", \"text\": [[]]}\n" LINE("b.png"))},
     1,
     "'a' is neither text nor",
     0},
    {"a zero byte in a text",
     {GOOD("b.png"), LIST("{\"file_name\": \"a\", \"text\": \"\\u0000\"}\n" LINE("b.png"))},
     1,
     "line 1: is not a JSON object: ",
     0},
    {"a text that is none",
     {GOOD("b.png"), LIST("{\"file_name\": \"a\", \"text\": \"\xe9\"}\n" LINE("b.png"))},
     1,
     "line 1: is not a JSON object: ",
     0},
    {"no text", {GOOD("b.png"), LIST("{\"file_name\": \"b.png\", \"text\": null}")}, 1, NULL, 0},
    {"a line of 2 MB",
     {GOOD("b.png"), LONG("metadata.jsonl", "{\"file_name\":", 2 << 20)},
     0,
     "line 1: has 2097152 bytes; at most 1048576",
     0},
    {"100000 brackets", {GOOD("b.png"), LONG("metadata.jsonl", "[", 100000)}, 0, "line 1: is not a JSON object: ", 0},
    {"no lines", {GOOD("b.png"), LIST("")}, 0, "holds no picture that can be used", 0},
    {"blank lines", {GOOD("b.png"), LIST("\xef\xbb\xbf\r\n  \n\n")}, 0, "holds no picture that can be used", 0},
    {"a folder for a list", {GOOD("b.png"), OTHER("metadata.jsonl", PIECE_FOLDER, NULL)}, 1, NULL, 0},
    {"a list without permission",
     {GOOD("b.png"), LIST(LINE("b.png")), OTHER("metadata.jsonl", PIECE_CLOSED, NULL)},
     0,
     "jsonl: could not be opened: Perm",
     0},
    {"a list as other systems write it",
     {GOOD("b.png"), LIST("\xef\xbb\xbf{\"file_name\": \"b.png\"}\r\n\r\n")},
     1,
     NULL,
     0},
};

static const struct bad arrays[] = {
    {"pictures without labels", {BYTES(IMAGES, TWO)}, 2, IMAGES ": there is no file of labels beside it", 0},
    {"more claimed than there is",
     {BYTES(IMAGES, "\0\0\x08\x03\0\0\0\3\0\0\0\2\0\0\0\2abcdefgh")},
     0,
     "claims 12 bytes of data; there are 8",
     0},
    {"less claimed than there is",
     {BYTES(IMAGES, "\0\0\x08\x03\0\0\0\1\0\0\0\2\0\0\0\2abcdefgh")},
     0,
     "claims 4 bytes of data; there are 8",
     0},
    {"an empty file", {TEXT(IMAGES, "")}, 0, IMAGES ": is empty", 0},
    {"an empty .gz file", {TEXT(IMAGES ".gz", "")}, 0, IMAGES ".gz: is empty", 0},
    {"nothing, compressed", {PACKED(IMAGES ".gz", "")}, 0, IMAGES ".gz: is empty", 0},
    {"compressed data that end too early",
     {BYTES(IMAGES ".gz", "\x1f\x8b\x08\0\0\0\0\0\0\3\x63\x60")},
     0,
     "end too early; the file is truncated",
     0},
    {"compressed data that are damaged",
     {BYTES(IMAGES ".gz", "\x1f\x8b\x08\0\0\0\0\0\0\3\xff\xff\xff")},
     0,
     "compressed data are damaged",
     0},
    {"a wrong sum of compressed data",
     {BYTES(IMAGES ".gz", "\x1f\x8b\x08\0\0\0\0\0\0\3\x03\0\1\0\0\0\0\0\0\0")},
     0,
     "compressed data are damaged",
     0},
    {"something after compressed data",
     {BYTES(IMAGES ".gz", "\x1f\x8b\x08\0\0\0\0\0\0\3\x03\0\0\0\0\0\0\0\0\0abc")},
     0,
     "goes on after the end of its",
     0},
    {"no IDX file", {TEXT(IMAGES, "hello")}, 0, IMAGES ": is no IDX file", 0},
    {"floats",
     {BYTES(IMAGES, "\0\0\x0d\x03\0\0\0\2\0\0\0\2\0\0\0\2abcdefgh")},
     0,
     "holds numbers of type 0x0d; bytes (0x08)",
     0},
    {"two dimensions", {BYTES(IMAGES, "\0\0\x08\x02\0\0\0\2\0\0\0\2abcd")}, 0, "has 2 dimensions; pictures have 3", 0},
    {"no dimensions", {BYTES(IMAGES, "\0\0\x08\0a")}, 0, "has 0 dimensions; 1 to 4 can be read", 0},
    {"nine dimensions",
     {BYTES(IMAGES, "\0\0\x08\x09\0\0\0\2\0\0\0\2\0\0\0\2abcdefgh")},
     0,
     "has 9 dimensions; 1 to 4 can",
     0},
    {"a header that is cut off",
     {BYTES(IMAGES, "\0\0\x08\x03\0\0\0\2\0")},
     0,
     "ends at byte 9, within its header of 16",
     0},
    {"endless dimensions",
     {BYTES(IMAGES, "\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")},
     0,
     "more numbers than memory can",
     0},
    {"endless dimensions of nothing",
     {BYTES(IMAGES, "\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0")},
     0,
     "more numbers than memory can",
     0},
    {"no pictures", {BYTES(IMAGES, "\0\0\x08\x03\0\0\0\0\0\0\0\2\0\0\0\2")}, 0, IMAGES ": has no pictures", 0},
    {"too many pictures of nothing",
     {BYTES(IMAGES, "\0\0\x08\x03\xff\0\0\0\0\0\0\0\0\0\0\2")},
     0,
     "pictures; at most 16777216",
     0},
    {"pictures of nothing",
     {BYTES(IMAGES, "\0\0\x08\x03\0\0\0\2\0\0\0\0\0\0\0\2")},
     0,
     "has pictures of 2 x 0 pixels",
     0},
    {"pictures that are too wide",
     {BYTES(IMAGES, "\0\0\x08\x03\0\0\0\1\0\0\0\0\0\0\xff\xff")},
     0,
     "has pictures of 65535 x 0 pixels",
     0},
    {"too few labels",
     {BYTES(IMAGES, TWO), BYTES(LABELS, "\0\0\x08\1\0\0\0\1a")},
     0,
     "has 1 labels for the 2 pictures of",
     0},
    {"labels of three dimensions",
     {BYTES(IMAGES, TWO), BYTES(LABELS, TWO)},
     0,
     "has 2 labels for the 2 pictures of",
     0},
    {"labels that are none", {BYTES(IMAGES, TWO), TEXT(LABELS, "hello")}, 0, LABELS ": is no IDX file", 0},
    {"labels that are damaged",
     {PACKED(IMAGES ".gz", TWO), BYTES(LABELS ".gz", "\x1f\x8b\x08\0\0")},
     0,
     LABELS ".gz: its compressed",
     0},
    {"an IDX file that is missing", {TEXT("a", "")}, 0, "could not be opened: No such file", "/" IMAGES},
    {"a labels file for a set",
     {BYTES(LABELS, "\0\0\x08\1\0\0\0\1a")},
     0,
     "has 1 dimensions; pictures have 3",
     "/" LABELS},
};

/* ---- */

struct heard {
    const struct bad *bad;
    int sentences;
    bool said;
    char last[1024];
};

static void hear(void *context, const char *sentence)
{
    struct heard *heard = context;
    heard->sentences++;
    if (heard->bad->says && strstr(sentence, heard->bad->says)) heard->said = true;
    snprintf(heard->last, sizeof heard->last, "%s", sentence);
}

/* Every picture that is left can be fetched, and is in range. */
static void fetch_all(const struct dataset *set, const struct bad *bad)
{
    float values[SIDE * SIDE * 3];
    if (dataset_count(set) != bad->items) fail_msg("%s: %d items", bad->name, (int)dataset_count(set));
    for (int64_t i = 0; i < dataset_count(set); i++) {
        struct error err = {0};
        assert_int_equal(dataset_fetch(set, i, i % 2 == 0, values, &err), STATUS_OK);
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) assert_true(fabsf(values[k]) <= 1);
        for (int k = 0; k < dataset_captions(set, i); k++) assert_true(strlen(dataset_caption(set, i, k)) > 0);
        assert_true(strlen(dataset_name(set, i)) > 0);
        assert_in_range(dataset_class(set, i) + 1, 0, dataset_classes(set));
    }
}

static void open_bad(const struct bad *bad, size_t cache_bytes)
{
    char path[600];
    struct error err = {0};
    struct dataset *set;
    struct heard heard = {.bad = bad};
    const struct dataset_options options = {.width = SIDE,
                                            .height = SIDE,
                                            .channels = 3,
                                            .cache_bytes = cache_bytes,
                                            .threads = 1,
                                            .skipped = hear,
                                            .context = &heard};
    snprintf(path, sizeof path, "%s/set%s", scratch.folder, bad->open ? bad->open : "");
    /* Root may read everything. */
    const bool is_root = geteuid() == 0;
    if (is_root) assert_int_equal(seteuid(NOBODY), 0);
    const enum status status = dataset_open(&set, path, &options, &err);
    if (bad->items == 0 && status != STATUS_OK) hear(&heard, err.text);
    if ((bad->items > 0) != (status == STATUS_OK))
        fail_msg("%s: opened with %s: %s", bad->name, status_name(status), err.text);
    if (status == STATUS_OK) fetch_all(set, bad);
    dataset_close(set);
    if (is_root) assert_int_equal(seteuid(0), 0);
    if (bad->says ? !heard.said : heard.sentences > 0)
        fail_msg("%s: this was not to be said: %s", bad->name, heard.last);
}

/* Once with all pictures in memory, once with none. */
static void try_all(const struct bad *bad, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        scratch_open(&scratch);
        assert_int_equal(chmod(scratch.folder, 0755), 0);
        pieces_lay(&scratch, "set", bad[i].pieces);
        open_bad(&bad[i], 0);
        open_bad(&bad[i], 1);
        for (const struct piece *piece = bad[i].pieces; piece->name; piece++) { /* or they cannot be removed */
            char path[600];
            snprintf(path, sizeof path, "%s/set/%s", scratch.folder, piece->name);
            if (piece->kind == PIECE_CLOSED) assert_int_equal(chmod(path, 0755), 0);
        }
        scratch_close(&scratch);
    }
}

#define TRY(table)                                                                                                     \
    static void bad_##table(void **state)                                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        try_all(table, sizeof table / sizeof *table);                                                                  \
    }
TRY(pictures)
TRY(folders)
TRY(captions)
TRY(lists)
TRY(arrays)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_pictures), cmocka_unit_test(bad_folders), cmocka_unit_test(bad_captions),
        cmocka_unit_test(bad_lists),    cmocka_unit_test(bad_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
