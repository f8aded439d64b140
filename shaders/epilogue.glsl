// SPDX-License-Identifier: MIT
// What a product does with a sum before it is stored: y = act(sum + bias[n]) + residual. It needs these names:
//
//     constant        ACT (enum unary)
//     buffers         float bias[], residual[], values; the latter may be the result's own bytes
//     push constants  uint has_bias, has_residual, rows_each; the residual of result row `row` is its row
//                     row / rows_each: rows_each is 1, or the rows of a picture
#include "activation.glsl"

float finish(float sum, uint row, uint n, uint width)
{
    if (has_bias != 0) sum += bias[n];
    sum = activate(ACT, sum, 0.0);
    if (has_residual != 0) sum += float(residual[row / rows_each * width + n]);
    return sum;
}
