// SPDX-License-Identifier: MIT
// F(4x4, 3x3) of Lavin and Gray 2015 (arXiv 1509.09308): a square of 4x4 results needs 6x6 pixels, and
//
//     y = A^T (sum over channels of (G g G^T) * (B^T d B), element by element) A
//
// where each of the 36 elements ("planes") is a product of matrices over the channels, squares by filters. These are
// the three transforms in one dimension. They evaluate polynomials at 0, +-r, +-1/r and infinity with r = sqrt 2, which
// makes all factors lie near 1 and the error less than twice that of the direct sum; the points of the paper, 0, +-1, +-2
// and infinity, make it seven times that of the direct sum.
//
//           1   0  -5/2   0   1   0            1     0    0              1  1    1    1    1   0
//           0  -r  -2    1/r  1   0          -2/3 -2/3r -1/3       A^T = 0 1/r -1/r   r   -r   0
//     B^T = 0   r  -2   -1/r  1   0      G = -2/3  2/3r -1/3             0 1/2  1/2   2    2   0
//           0 -1/r -1/2   r   1   0           1/6   r/6  1/3             0 1/2r -1/2r 2r  -2r  1
//           0  1/r -1/2  -r   1   0           1/6  -r/6  1/3
//           0   1   0   -5/2  0   1            0     0    1

const float ROOT = 1.41421356237, INVERSE = 0.70710678119;

void to_points(inout vec4 d[6]) // B^T d
{
    const vec4 even = d[4] - 2.0 * d[2], odd = INVERSE * (d[3] - 2.0 * d[1]);
    const vec4 even2 = d[4] - 0.5 * d[2], odd2 = ROOT * (d[3] - 0.5 * d[1]);
    const vec4 zero = d[0] + d[4] - 2.5 * d[2], last = d[1] + d[5] - 2.5 * d[3];
    d = vec4[6](zero, even + odd, even - odd, even2 + odd2, even2 - odd2, last);
}

void filter_to_points(vec4 a, vec4 b, vec4 c, out vec4 g[6]) // G (a, b, c)
{
    const vec4 even = (-2.0 / 3.0) * (a + 0.5 * c), odd = (-2.0 / 3.0 * INVERSE) * b;
    const vec4 even2 = (1.0 / 6.0) * (a + 2.0 * c), odd2 = (1.0 / 6.0 * ROOT) * b;
    g = vec4[6](a, even + odd, even - odd, even2 + odd2, even2 - odd2, c);
}

void from_points(vec4 m[6], out vec4 y[4]) // A^T m
{
    const vec4 even = m[1] + m[2], odd = INVERSE * (m[1] - m[2]);
    const vec4 even2 = m[3] + m[4], odd2 = ROOT * (m[3] - m[4]);
    y = vec4[4](m[0] + even + even2, odd + odd2, 0.5 * even + 2.0 * even2, 0.5 * odd + 2.0 * odd2 + m[5]);
}
