/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/touch.h"

#include "core/io/charset.h"
#include "core/io/checkpoint_build.h"
#include "core/io/image.h"

#include <assert.h>
#include <string.h>

void touch_bytes(const void *bytes, size_t size)
{
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < size; i++) sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
}

void touch_text(const char *text)
{
    if (text) assert(utf8_valid(text, strlen(text)));
}

void touch_checkpoint(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct checkpoint *c;
    if (checkpoint_open_memory(&c, data, size, "input", &err) != STATUS_OK) {
        assert(!c && strncmp(err.text, "input: ", 7) == 0);
        return;
    }
    for (int i = 0; i < checkpoint_count(c); i++) {
        const struct tensor *t = checkpoint_at(c, i);
        assert(checkpoint_find(c, t->name) == t);
        touch_text(t->name);
        touch_bytes(t->data, dtype_bytes(t->dtype, (size_t)t->count));
        checkpoint_release(c, t);
    }
    checkpoint_close(c);
}

void touch_image(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct image image;
    struct image_text text;
    if (image_read_memory(&image, data, size, "input", &text, &err) != STATUS_OK) {
        assert(!image.pixels && !text.parameters && !text.xmp && err.text[0]);
        return;
    }
    assert(image.width >= 1 && image.width <= IMAGE_MAX_SIDE && image.height >= 1 && image.height <= IMAGE_MAX_SIDE);
    touch_bytes(image.pixels, (size_t)image.width * (size_t)image.height * (size_t)image.channels);
    touch_text(text.parameters);
    if (text.xmp) touch_bytes(text.xmp, strlen(text.xmp));
    image_text_clear(&text);
    image_clear(&image);
}
