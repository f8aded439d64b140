/* SPDX-License-Identifier: MIT */
#include "tests/support/tiny.h"

#include "core/io/safetensors_write.h"
#include "tests/support/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static const struct safetensors_note zero_snr = {
    "scheduler/scheduler_config.json",
    "{\"prediction_type\": \"v_prediction\", \"rescale_betas_zero_snr\": true, \"timestep_spacing\": \"trailing\"}"};

static const struct safetensors_note pack = {
    "limn.pack", "{\"format\": 1, \"name\": \"tiny\", \"size\": 32, \"latent_scale\": 1.0, \"prediction\": \"v\","
                 " \"schedule\": {\"kind\": \"cosine\", \"steps\": 1000, \"zero_snr\": false},"
                 " \"unet\": {\"heads\": 4, \"groups\": 16}, \"vae\": {\"groups\": 16},"
                 " \"text\": {\"heads\": 2, \"activation\": \"quick_gelu\"},"
                 " \"defaults\": {\"steps\": 3, \"cfg\": 2.5, \"sampler\": \"ddim\"},"
                 " \"concepts\": [{\"en\": [\"apple\", \"red apple\"], \"ko\": [\"사과\"]},"
                 " {\"en\": [\"cat face\"], \"ko\": [\"고양이 얼굴\"]}],"
                 " \"styles\": [{\"en\": \"flat style\", \"ko\": \"플랫 스타일\"}],"
                 " \"colours\": [{\"en\": \"red\", \"ko\": \"빨간\"}], \"licence\": \"MIT\"}"};

static const struct {
    const char *name;
    const char *lists[3];
    int count;
    const struct safetensors_note *note;
} models[TINY_COUNT] = {
    [TINY_SD1] = {"sd1", {"text-sd1", "unet-sd1", "vae-sd"}, 3, NULL},
    [TINY_SD1_INPAINT] = {"sd1-inpaint", {"text-sd1", "unet-sd1-inpaint", "vae-sd"}, 3, NULL},
    [TINY_SD2] = {"sd2", {"text-sd2", "unet-sd2", "vae-sd"}, 3, NULL},
    [TINY_SD2_ZERO_SNR] = {"sd2-zero-snr", {"text-sd2", "unet-sd2", "vae-sd"}, 3, &zero_snr},
    [TINY_PACK] = {"pack", {"text-sd1", "unet-pack", "vae-pack"}, 3, &pack},
    [TINY_UNET] = {"unet", {"unet-sd1"}, 1, NULL},
    [TINY_VAE] = {"vae", {"vae-sd"}, 1, NULL},
};

void tiny_write(char path[TINY_PATH_BYTES], enum tiny kind)
{
    struct error err = {0};
    snprintf(path, TINY_PATH_BYTES, "tiny-%s-%d.safetensors", models[kind].name, (int)getpid());
    if (weights_write_noted(path, models[kind].lists, models[kind].count, DTYPE_F32, models[kind].note,
                            models[kind].note != NULL, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

void tiny_remove(const char *path)
{
    unlink(path);
}
