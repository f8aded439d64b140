/* SPDX-License-Identifier: MIT
 *
 * The slots that compute in bf16, with the multiply_bf16 of the file that includes this last.
 */

static const struct product_core bf16_core = {
    .tile_rows = BF16_ROWS,
    .tile_columns = BF16_COLUMNS,
    .depth_step = BF16_DEPTH,
    .rows_independent = true,
    .rows_anywhere = false,
    .pack = pack_bf16,
    .multiply = multiply_bf16,
    .finish = finish,
};

static void product(const struct cpu_call *call)
{
    product_run(call, &bf16_core);
}

static size_t product_scratch(const struct node *node, int threads)
{
    return product_work(node, threads, &bf16_core);
}

static void product_transpose(const struct cpu_call *call)
{
    product_transpose_run(call, &bf16_core, NULL);
}

static size_t product_transpose_scratch(const struct node *node, int threads)
{
    return product_transpose_work(node, threads, &bf16_core, NULL);
}

static void fill_slots(struct cpu_kernels *table)
{
    table->slot[OP_LINEAR] = (struct cpu_slot){product, product_scratch};
    table->slot[OP_CONV2D] = (struct cpu_slot){product, product_scratch};
    table->slot[OP_CONV2D_TRANSPOSE] = (struct cpu_slot){product_transpose, product_transpose_scratch};
}
