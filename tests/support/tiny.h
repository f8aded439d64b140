/* SPDX-License-Identifier: MIT
 *
 * Tiny models with made-up weights (tests/support/weights.h), each a file in the folder where the test runs.
 *
 *     char path[TINY_PATH_BYTES];
 *     tiny_write(path, TINY_SD1);      "tiny-sd1-1234.safetensors"; any failure fails the test
 *     tiny_remove(path);
 */
#ifndef SUPPORT_TINY_H
#define SUPPORT_TINY_H

enum tiny {
    TINY_SD1,
    TINY_SD1_INPAINT,
    TINY_SD2,
    TINY_SD2_ZERO_SNR, /* says that it predicts v and that its last time is pure noise */
    TINY_PACK,         /* knows "apple" (사과) and "cat face" */
    TINY_UNET,         /* SD 1's U-Net alone */
    TINY_VAE,          /* SD 1's VAE alone */
    TINY_COUNT
};

enum { TINY_PATH_BYTES = 64 };

void tiny_write(char path[TINY_PATH_BYTES], enum tiny kind);
void tiny_remove(const char *path);

#endif
