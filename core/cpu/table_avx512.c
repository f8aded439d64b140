/* SPDX-License-Identifier: MIT
 *
 * Slots for processors with AVX-512 F, BW, DQ and VL: the vector kernels, compiled for this width.
 */
#include "core/cpu/vec_avx512.h"

#include "core/cpu/vec_math.inc.h"

#include "core/cpu/vec_product.inc.h"

#include "core/cpu/vec_attention.inc.h"

void cpu_kernels_avx512(struct cpu_kernels *table)
{
    table->slot[OP_LINEAR] = (struct cpu_slot){product, product_scratch};
    table->slot[OP_CONV2D] = (struct cpu_slot){product, product_scratch};
    table->slot[OP_ATTENTION] = (struct cpu_slot){attention, attention_scratch};
}
