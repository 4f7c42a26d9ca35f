// The loops of product.h in registers of 32 bytes: half as long and half as many as those of AVX-512, so that fewer sums
// fit, and those that do must have names for a compiler to leave them there.
#pragma once

#include "pack.h"

constexpr int TILE = 3;  // rows of activations

// Eight vectors of eight numbers -> the sum of each.
INLINE __m256i sums(const __m256i v[8]) {
    const __m256i left = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    const __m256i right = _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(left, right, 0x20), _mm256_permute2x128_si256(left, right, 0x31));
}

// One row of activations: the weights pass through registers once, eight rows of them at a time.
template <int DIGITS> static void one_row(const Weight &w, int first, const Digits &x, float *y) {
    const __m256i offset = _mm256_set1_epi8(static_cast<int8_t>(OFFSET)), zero = _mm256_setzero_si256();
    const int count = std::min(PANEL, w.outputs - first);
    const int8_t *rows[PANEL];
    for (int i = 0; i < PANEL; i++) rows[i] = w.values + static_cast<size_t>(first + std::min(i, count - 1)) * w.inputs;
    const size_t ahead = 2 * static_cast<size_t>(PANEL) * w.inputs;
    __m256 total[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int group = 0; group < x.groups; group++) {
        const int at = group * GROUP, left = w.inputs - at;
        __m256i digits[DIGITS][2];
        for (int i = 0; i < 2 * DIGITS; i++) digits[i / 2][i % 2] = _mm256_loadu_si256((const __m256i *)(x.at(0) + group * x.step() + 32 * i));
        const __m256i start = _mm256_set1_epi32(x.offsets[group * 16]);
        const __m256 scale = _mm256_set1_ps(x.scales[group * 16]);
        __builtin_prefetch(rows[0] + ahead + PAGE_AHEAD + 16 * at, 0, 2);
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            __m256i dots[8];
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) {
                const int8_t *row = rows[8 * half + i] + at;
                __builtin_prefetch(rows[0] + ahead + 16 * at + 64 * (8 * half + i), 0, 2);
                const __m256i a = _mm256_xor_si256(some_bytes(row, left), offset), b = _mm256_xor_si256(some_bytes(row + 32, left - 32), offset);
                __m256i dot = multiply_add(multiply_add(zero, a, digits[0][0]), b, digits[0][1]);
                if (DIGITS == 2) dot = multiply_add(multiply_add(_mm256_slli_epi32(dot, 8), a, digits[DIGITS - 1][0]), b, digits[DIGITS - 1][1]);
                dots[i] = dot;
            }
            total[half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_add_epi32(sums(dots), start)), scale, total[half]);
        }
    }
    f32x16 both;
    std::memcpy(&both, total, sizeof both);
    store(y + first, scaled(w, first, count, both), count);
}

// One row of digits times two panels: four registers of sums. Rows have names, not numbers, so that they stay in them.
struct Four {
    __m256i a, b, c, d;
};

INLINE Four four_of(int32_t value) {
    const __m256i same = _mm256_set1_epi32(value);
    return {same, same, same, same};
}

INLINE void multiply_quad(Four &row, const int8_t *digits, const __m256i *left, const __m256i *right) {
    int32_t quad;
    std::memcpy(&quad, digits, 4);
    const __m256i same = _mm256_set1_epi32(quad);
    row.a = multiply_add(row.a, _mm256_loadu_si256(left), same), row.b = multiply_add(row.b, _mm256_loadu_si256(left + 1), same);
    row.c = multiply_add(row.c, _mm256_loadu_si256(right), same), row.d = multiply_add(row.d, _mm256_loadu_si256(right + 1), same);
}

INLINE void add_four(__m256 *sum, const Four &row, float scale) {
    const __m256 same = _mm256_set1_ps(scale);
    sum[0] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(row.a), same, sum[0]), sum[1] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(row.b), same, sum[1]);
    sum[2] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(row.c), same, sum[2]), sum[3] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(row.d), same, sum[3]);
}

INLINE Four joined(const Four &first, const Four &second) {
    return {_mm256_add_epi32(_mm256_slli_epi32(first.a, 8), second.a), _mm256_add_epi32(_mm256_slli_epi32(first.b, 8), second.b),
            _mm256_add_epi32(_mm256_slli_epi32(first.c, 8), second.c), _mm256_add_epi32(_mm256_slli_epi32(first.d, 8), second.d)};
}

// ROWS rows of activations times two packed panels: up to three rows of digits.
template <int ROWS, int DIGITS> static void tile(const uint8_t *panels, const Digits &x, int row, f32x16 total[ROWS][2]) {
    constexpr int EACH = ROWS * DIGITS;
    static_assert(EACH <= 3 && (DIGITS == 1 || ROWS == 1));
    const int groups = x.groups;
    const int8_t *from[3];
    size_t cells[3];
    for (int r = 0; r < 3; r++) {
        const int of = row + std::min(r / DIGITS, ROWS - 1);
        cells[r] = x.cell(of, 0), from[r] = x.at(of) + r % DIGITS * GROUP;
    }
    __m256 sum[3][4];
    for (auto &one : sum) one[0] = one[1] = one[2] = one[3] = _mm256_setzero_ps();
    for (int group = 0; group < groups; group++) {
        const auto start = [&](int r) { return four_of(r % DIGITS == DIGITS - 1 ? x.offsets[cells[r] + group * 16] : 0); };
        Four first = start(0), second = start(1), third = start(2);
        const __m256i *left = (const __m256i *)(panels + static_cast<size_t>(group) * PANEL * GROUP);
        const __m256i *right = left + static_cast<size_t>(groups) * PANEL * GROUP / 32;
        const size_t step = group * x.step();
        for (int quad = 0; quad < 16; quad++, left += 2, right += 2) {
            multiply_quad(first, from[0] + step + 4 * quad, left, right);
            if (EACH > 1) multiply_quad(second, from[1] + step + 4 * quad, left, right);
            if (EACH > 2) multiply_quad(third, from[2] + step + 4 * quad, left, right);
        }
        add_four(sum[0], DIGITS == 2 ? joined(first, second) : first, x.scales[cells[0] + group * 16]);
        if (ROWS > 1) add_four(sum[1], second, x.scales[cells[1] + group * 16]);
        if (ROWS > 2) add_four(sum[2], third, x.scales[cells[2] + group * 16]);
    }
    std::memcpy(total, sum, sizeof(f32x16) * 2 * ROWS);
}
