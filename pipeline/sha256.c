/* SPDX-License-Identifier: MIT */
#include "pipeline/sha256.h"

#include "core/base/memory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

enum { BLOCK = 64, ROUNDS = 64, FILE_PIECE = 1 << 18 };

typedef void block_function(uint32_t h[8], const uint8_t *block);

struct sha256 {
    block_function *add_block;
    uint32_t h[8];
    uint64_t bytes; /* so far */
    uint8_t block[BLOCK];
};

/* FIPS 180-4, section 4.2.2: fractions of the cube roots of the first 64 primes. */
static const uint32_t round_constants[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

/* Section 6.2.2. */
static void add_block_plain(uint32_t h[8], const uint8_t *block)
{
    uint32_t w[ROUNDS];
    for (int t = 0; t < 16; t++)
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 | (uint32_t)block[4 * t + 2] << 8 |
               block[4 * t + 3];
    for (int t = 16; t < ROUNDS; t++) {
        const uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        const uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    uint32_t v[8];
    memcpy(v, h, sizeof v);
    for (int t = 0; t < ROUNDS; t++) {
        const uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        const uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + round_constants[t] + w[t];
        const uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        const uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        for (int i = 7; i > 0; i--) v[i] = v[i - 1];
        v[4] += t1;
        v[0] = t1 + s0 + majority;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
}

#if defined(__x86_64__)

/* The same with the processor's own instructions, eight times as fast: they want the state as two vectors, a b e f and
 * c d g h from the highest element down, and make four rounds of four message words at a time. */
__attribute__((target("sha,sse4.1"))) static void add_block_sha(uint32_t h[8], const uint8_t *block)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const __m128i dcba = _mm_loadu_si128((const __m128i *)h), hgfe = _mm_loadu_si128((const __m128i *)(h + 4));
    const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    const __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
    __m128i x = abef, y = cdgh, w[4];
    for (int i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * i)), big_endian);
    for (int i = 0; i < 16; i++) {
        __m128i *const now = &w[i % 4], last = w[(i + 3) % 4];
        const __m128i k = _mm_loadu_si128((const __m128i *)(round_constants + 4 * i)), sum = _mm_add_epi32(*now, k);
        y = _mm_sha256rnds2_epu32(y, x, sum);
        x = _mm_sha256rnds2_epu32(x, y, _mm_shuffle_epi32(sum, 0x0e));
        const __m128i seven_back = _mm_alignr_epi8(last, w[(i + 2) % 4], 4);
        *now = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(*now, w[(i + 1) % 4]), seven_back), last);
    }
    x = _mm_shuffle_epi32(_mm_add_epi32(x, abef), 0x1b);
    y = _mm_shuffle_epi32(_mm_add_epi32(y, cdgh), 0xb1);
    _mm_storeu_si128((__m128i *)h, _mm_blend_epi16(x, y, 0xf0));
    _mm_storeu_si128((__m128i *)(h + 4), _mm_alignr_epi8(y, x, 8));
}

static block_function *find_block_function(void)
{
    unsigned a, b = 0, c, d;
    const bool known = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0; /* leaf 7, EBX bit 29: SHA */
    return known && (b >> 29 & 1) && __builtin_cpu_supports("sse4.1") ? add_block_sha : add_block_plain;
}

#else

static block_function *find_block_function(void)
{
    return add_block_plain;
}

#endif

static struct sha256 start(block_function *add_block)
{
    return (struct sha256){
        .add_block = add_block,
        .h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
    };
}

static void add_bytes(struct sha256 *s, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        const size_t used = (size_t)(s->bytes % BLOCK);
        if (used == 0 && size >= BLOCK) {
            s->add_block(s->h, bytes);
            s->bytes += BLOCK;
            bytes += BLOCK;
            size -= BLOCK;
            continue;
        }
        const size_t part = size < BLOCK - used ? size : BLOCK - used;
        memcpy(s->block + used, bytes, part);
        s->bytes += part;
        bytes += part;
        size -= part;
        if (used + part == BLOCK) s->add_block(s->h, s->block);
    }
}

/* Section 5.1.1: a one bit, zeros, and the length in bits as the last eight bytes of a block. */
static void finish(struct sha256 *s, char hex[SHA256_HEX_BYTES])
{
    static const uint8_t padding[BLOCK] = {0x80};
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(s->bytes * 8 >> (56 - 8 * i));
    const size_t used = (size_t)(s->bytes % BLOCK);
    add_bytes(s, padding, used < 56 ? 56 - used : 120 - used);
    add_bytes(s, length, sizeof length);
    for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", s->h[i]);
}

void sha256_hex(const void *bytes, size_t size, bool plain, char hex[SHA256_HEX_BYTES])
{
    struct sha256 s = start(plain ? add_block_plain : find_block_function());
    add_bytes(&s, bytes, size);
    finish(&s, hex);
}

enum status sha256_file(const char *path, char hex[SHA256_HEX_BYTES], struct error *err)
{
    struct sha256 s = start(find_block_function());
    uint8_t *piece = memory_alloc_raw(FILE_PIECE);
    if (!piece) return fail_no_memory(err, "a file's hash", FILE_PIECE);
    enum status status = STATUS_OK;
    FILE *file = fopen(path, "rb");
    if (file) {
        size_t count;
        while ((count = fread(piece, 1, FILE_PIECE, file)) > 0) add_bytes(&s, piece, count);
    }
    if (!file || ferror(file)) status = fail(err, STATUS_IO, "%s: cannot be read: %s", path, strerror(errno));
    if (file) fclose(file);
    memory_free(piece);
    if (status == STATUS_OK) finish(&s, hex);
    return status;
}
