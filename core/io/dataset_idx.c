/* SPDX-License-Identifier: MIT
 *
 * MNIST and those who look like it. The two best known have the same file names; which of them it is shows in the
 * first labels.
 */
#include "core/io/dataset_build.h"
#include "core/io/image.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { FASHION_CLASSES = 10, MARK = 16, MAX_CLASSES = 256 };

/* Xiao, Rasul and Vollgraf 2017 (arXiv 1708.07747), table 2. */
static const char *const fashion[FASHION_CLASSES] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                                     "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
/* The first labels of its two files, train and t10k. */
static const uint8_t fashion_marks[][MARK] = {{9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9},
                                              {9, 2, 1, 1, 6, 1, 4, 6, 5, 7, 4, 5, 7, 3, 4, 1}};

static bool is_fashion(const struct idx *labels)
{
    for (size_t i = 0; i < sizeof fashion_marks / sizeof *fashion_marks; i++)
        if (labels->dim[0] >= MARK && memcmp(labels->data, fashion_marks[i], MARK) == 0) return true;
    return false;
}

/* Classes are all numbers up to the largest label; digits are named by themselves. */
static enum status name_classes(struct dataset *set, const struct idx *labels, struct error *err)
{
    int most = 0;
    for (int64_t i = 0; i < labels->dim[0]; i++)
        if (labels->data[i] > most) most = labels->data[i];
    const bool named = is_fashion(labels) && most < FASHION_CLASSES;
    set->class_count = most + 1;
    set->classes = arena_alloc(&set->arena, (size_t)set->class_count * sizeof *set->classes);
    if (!set->classes) return fail_no_memory(err, "class names", 0);
    for (int i = 0; i <= most; i++) {
        set->classes[i] = named ? fashion[i] : arena_printf(&set->arena, "%d", i);
        if (!set->classes[i]) return fail_no_memory(err, "class names", 0);
    }
    return STATUS_OK;
}

static bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

/* Writes `with` over the last occurrence of `what` in the file's own name; both are of one length. */
static bool put_over(char *path, const char *what, const char *with)
{
    const char *slash = strrchr(path, '/');
    char *at = NULL;
    for (char *next = path + (slash ? slash + 1 - path : 0); (next = strstr(next, what)); next++) at = next;
    if (at) memcpy(at, with, strlen(with));
    return at != NULL;
}

/* train-images-idx3-ubyte -> train-labels-idx1-ubyte, whether or not either is compressed. NULL: there is none, or no
 * memory (see `err`). */
static const char *find_labels(struct dataset *set, const char *path, struct error *err)
{
    static const char packed[] = ".gz";
    const size_t length = strlen(path);
    char *labels = arena_alloc(&set->arena, length + sizeof packed);
    if (!labels) {
        (void)fail_no_memory(err, path, length);
        return NULL;
    }
    memcpy(labels, path, length);
    if (!put_over(labels, "images", "labels") || !put_over(labels, "idx3", "idx1")) return NULL;
    if (exists(labels)) return labels;
    if (length > 3 && strcmp(labels + length - 3, packed) == 0)
        labels[length - 3] = '\0';
    else
        memcpy(labels + length, packed, sizeof packed);
    return exists(labels) ? labels : NULL;
}

static enum status read_labels(struct dataset *set, const char *path, struct error *err)
{
    struct idx labels = {0};
    const char *labels_path = find_labels(set, path, err);
    if (err->status != STATUS_OK) return err->status;
    if (!labels_path) {
        dataset_skip(set, "%s: there is no file of labels beside it, so its pictures have no captions", path);
        return STATUS_OK;
    }
    enum status status = idx_open(&labels, labels_path, err);
    if (status == STATUS_OK && (labels.rank != 1 || labels.dim[0] != set->count))
        status = fail(err, STATUS_FORMAT, "%s: has %lld labels for the %lld pictures of %s", labels_path,
                      (long long)labels.dim[0], (long long)set->count, path);
    if (status == STATUS_OK) status = name_classes(set, &labels, err);
    for (int64_t i = 0; i < set->count && status == STATUS_OK; i++) {
        struct dataset_item *item = &set->items[i];
        item->class = labels.data[i];
        item->captions = set->classes[item->class];
        item->caption_count = 1;
    }
    idx_close(&labels);
    return status;
}

enum status dataset_read_idx(struct dataset *set, const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    set->layout = "pictures in an IDX file";
    enum status status = idx_open(&set->pictures, path, err);
    if (status != STATUS_OK) return status;
    const struct idx *p = &set->pictures;
    if (p->rank != 3)
        return fail(err, STATUS_FORMAT, "%s: has %d dimensions; pictures have 3 (number, height, width)", path,
                    p->rank);
    if (p->dim[0] > DATASET_MAX_ITEMS)
        return fail(err, STATUS_LIMIT, "%s: has %lld pictures; at most %d are allowed", path, (long long)p->dim[0],
                    DATASET_MAX_ITEMS);
    if (p->dim[0] == 0) return fail(err, STATUS_FORMAT, "%s: has no pictures", path);
    if (p->dim[1] < 1 || p->dim[1] > IMAGE_MAX_SIDE || p->dim[2] < 1 || p->dim[2] > IMAGE_MAX_SIDE)
        return fail(err, STATUS_FORMAT, "%s: has pictures of %lld x %lld pixels; 1 to %d a side are allowed", path,
                    (long long)p->dim[2], (long long)p->dim[1], IMAGE_MAX_SIDE);
    for (int64_t i = 0; i < p->dim[0]; i++) {
        char name[300];
        snprintf(name, sizeof name, "%.255s#%lld", file, (long long)i);
        struct dataset_item *item = dataset_add(set, name, err);
        if (!item) return err->status;
        item->place = i;
    }
    return read_labels(set, path, err);
}
