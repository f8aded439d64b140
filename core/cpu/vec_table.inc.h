/* SPDX-License-Identifier: MIT
 *
 * All vector kernels and their slots. Included after one of vec_avx2.h and vec_avx512.h by the table of that width.
 */
#include "core/cpu/vec_math.inc.h"

#include "core/cpu/vec_product.inc.h"

#include "core/cpu/vec_attention.inc.h"
#include "core/cpu/vec_winograd.inc.h"

#include "core/cpu/vec_elements.inc.h"
#include "core/cpu/vec_norms.inc.h"

#include "core/cpu/vec_gradients.inc.h"

static void fill_slots(struct cpu_kernels *table)
{
    table->slot[OP_LINEAR] = (struct cpu_slot){product, product_scratch};
    table->slot[OP_MATMUL] = (struct cpu_slot){matmul, matmul_scratch};
    table->slot[OP_CONV2D_WEIGHT] = (struct cpu_slot){product_weight, product_weight_scratch};
    table->slot[OP_CONV2D] = (struct cpu_slot){convolution, convolution_scratch};
    table->slot[OP_CONV2D_TRANSPOSE] = (struct cpu_slot){product_transpose, product_transpose_scratch};
    table->slot[OP_ATTENTION] = (struct cpu_slot){attention, attention_scratch};
    table->slot[OP_GROUP_NORM] = (struct cpu_slot){group_norm, group_norm_scratch};
    table->slot[OP_LAYER_NORM] = (struct cpu_slot){layer_norm, NULL};
    table->slot[OP_UNARY] = (struct cpu_slot){unary, NULL};
    table->slot[OP_SCALE] = (struct cpu_slot){scale, NULL};
    table->slot[OP_BINARY] = (struct cpu_slot){binary, NULL};
    table->slot[OP_GEGLU] = (struct cpu_slot){geglu, NULL};
    table->slot[OP_REDUCE] = (struct cpu_slot){reduce, reduce_scratch};
    table->slot[OP_UNARY_GRADIENT] = (struct cpu_slot){unary_gradient, NULL};
    table->slot[OP_NORM_GRADIENT] = (struct cpu_slot){norm_gradient, norm_gradient_scratch};
}
