/* SPDX-License-Identifier: MIT */
#include "pipeline/training_text.h"

#include "clip/learn_merges.h"
#include "clip/text.h"
#include "clip/text_tower.h"
#include "core/io/dataset.h"
#include "pipeline/api.h"

#include <string.h>

enum { CONCEPTS_MOST = 500, CONCEPT_BYTES = 64 };

json_t *training_text_concepts(const struct training *t)
{
    json_t *list = json_array(), *seen = json_object();
    const int classes = dataset_classes(t->data);
    for (int i = 0; i < classes && i < CONCEPTS_MOST; i++)
        json_array_append_new(list, json_string(dataset_class_name(t->data, i)));
    for (int64_t i = 0; classes == 0 && i < dataset_count(t->data) && json_array_size(list) < CONCEPTS_MOST; i++) {
        const char *caption = dataset_captions(t->data, i) > 0 ? dataset_caption(t->data, i, 0) : "";
        if (caption[0] == '\0' || strlen(caption) > CONCEPT_BYTES || json_object_get(seen, caption)) continue;
        json_object_set_new(seen, caption, json_true());
        json_array_append_new(list, json_string(caption));
    }
    json_decref(seen);
    return list;
}

void training_text_close(struct training_text *text)
{
    tokenizer_destroy(text->tokenizer);
    memory_free(text->merges);
    memory_free(text->ids);
    memory_free(text->ends);
    memory_free(text->first);
    *text = (struct training_text){0};
}

/* A tokenizer refuses texts beyond TEXT_MAX_BYTES; a tower reads a few hundred bytes of any. `cut` has room for that
 * many and a NUL. */
static const char *within_limit(const char *caption, char cut[TEXT_MAX_BYTES + 1])
{
    size_t length = strlen(caption);
    if (length <= TEXT_MAX_BYTES) return caption;
    length = TEXT_MAX_BYTES;
    while (length > 0 && ((unsigned char)caption[length] & 0xc0) == 0x80) length--; /* not within a UTF-8 letter */
    memcpy(cut, caption, length);
    cut[length] = '\0';
    return cut;
}

static enum status learn(struct training_text *text, const struct training *t, int most, struct error *err)
{
    char cut[TEXT_MAX_BYTES + 1];
    struct merges_learner *learner = NULL;
    enum status status = merges_learner_create(&learner, err);
    const int64_t pictures = dataset_count(t->data);
    for (int64_t i = 0; i < pictures && status == STATUS_OK; i++)
        for (int k = 0; k < dataset_captions(t->data, i) && status == STATUS_OK; k++)
            status = merges_learner_add(learner, within_limit(dataset_caption(t->data, i, k), cut), err);
    if (status == STATUS_OK) {
        text->merges = merges_learner_finish(learner, most, err);
        status = text->merges ? STATUS_OK : err->status;
    }
    merges_learner_destroy(learner);
    return status;
}

/* The tokenizer must be the one that the text tower was trained with, also if the captions have changed since. */
static enum status find_merges(struct training_text *text, const struct training *t, int most, struct error *err)
{
    const bool given = t->init && text_present(t->init);
    const char *merges = training_saved_merges(t);
    if (!merges && given) merges = checkpoint_metadata(t->init, "limn.merges");
    if (!merges) return given ? STATUS_OK : learn(text, t, most, err);
    text->merges = memory_strdup(merges);
    return text->merges ? STATUS_OK : fail_no_memory(err, "a tokenizer", strlen(merges));
}

static enum status allocate(struct training_text *text, struct training *t, struct error *err)
{
    const int64_t pictures = dataset_count(t->data);
    text->captions = 0;
    for (int64_t i = 0; i < pictures; i++) text->captions += dataset_captions(t->data, i);
    const size_t rows = (size_t)text->captions + 1;
    const size_t bytes = rows * (size_t)(text->length + 1) * sizeof(int32_t) + (size_t)pictures * sizeof(int64_t);
    enum status status = training_reserve(t, "the captions", bytes, err);
    if (status != STATUS_OK) return status;
    text->ids = memory_alloc(rows * (size_t)text->length * sizeof *text->ids);
    text->ends = memory_alloc(rows * sizeof *text->ends);
    text->first = memory_alloc((size_t)pictures * sizeof *text->first);
    return text->ids && text->ends && text->first ? STATUS_OK : fail_no_memory(err, "the captions", bytes);
}

static enum status fill(struct training_text *text, const struct training *t, struct error *err)
{
    char room[TEXT_MAX_BYTES + 1];
    int64_t row = 0, cut = 0;
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < dataset_count(t->data); i++) {
        text->first[i] = row;
        for (int k = 0; k < dataset_captions(t->data, i) && status == STATUS_OK; k++, row++) {
            size_t left_out = 0;
            const char *caption = within_limit(dataset_caption(t->data, i, k), room);
            status = tokenizer_fill(text->tokenizer, caption, text->ids + row * text->length, text->length,
                                    &text->ends[row], &left_out, err);
            cut += left_out > 0;
        }
    }
    if (status == STATUS_OK)
        status = tokenizer_fill(text->tokenizer, "", text->ids + row * text->length, text->length, &text->ends[row],
                                NULL, err);
    if (cut > 0)
        watch_note(t->watch, "%lld of %lld captions are longer than %d tokens and are cut", (long long)cut,
                   (long long)text->captions, text->length);
    return status;
}

enum status training_text_open(struct training_text *text, struct training *t, int length, int most_merges,
                               struct error *err)
{
    *text = (struct training_text){.length = length};
    enum status status = find_merges(text, t, most_merges, err);
    if (status == STATUS_OK) status = tokenizer_create(&text->tokenizer, text->merges, err);
    training_keep_merges(t, text->merges);
    if (status == STATUS_OK) text->vocabulary = tokenizer_names(text->tokenizer).size;
    if (status == STATUS_OK) status = allocate(text, t, err);
    if (status == STATUS_OK) status = fill(text, t, err);
    if (status != STATUS_OK) training_text_close(text);
    return status;
}

int64_t training_text_row(const struct training_text *text, const struct training *t, int64_t item)
{
    const int alternative = training_alternative(t, item);
    return alternative < 0 ? text->captions : text->first[training_picture(t, item)] + alternative;
}

const int32_t *training_text_ids(const struct training_text *text, int64_t row)
{
    return text->ids + row * text->length;
}
