/* SPDX-License-Identifier: MIT
 *
 * Slots for processors with AVX2, FMA and F16C: the vector kernels, compiled for this width.
 */
#include "core/cpu/vec_avx2.h"

#include "core/cpu/vec_math.inc.h"

#include "core/cpu/vec_product.inc.h"

#include "core/cpu/vec_attention.inc.h"

void cpu_kernels_avx2(struct cpu_kernels *table)
{
    table->slot[OP_LINEAR] = (struct cpu_slot){product, product_scratch};
    table->slot[OP_CONV2D] = (struct cpu_slot){product, product_scratch};
    table->slot[OP_ATTENTION] = (struct cpu_slot){attention, attention_scratch};
}
