// Int8 rows times digits of activations. Weights are read where they lie, once for both digits.
#pragma once

#include "pack.h"
#include "pool.h"
#include "tiles.h"

#if HALVES
#include "halves.h"
#else
constexpr int TILE = 6;  // rows of activations

#if WIDE
// Sixteen vectors of sixteen numbers -> the sum of each.
INLINE __m512i sums(__m512i v[16]) {
    for (int i = 0; i < 8; i++)
        v[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
    for (int i = 0; i < 4; i++)
        v[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_epi64(v[2 * i], v[2 * i + 1]));
    for (int i = 0; i < 2; i++)
        v[i] = _mm512_add_epi32(_mm512_shuffle_i32x4(v[2 * i], v[2 * i + 1], 0x88), _mm512_shuffle_i32x4(v[2 * i], v[2 * i + 1], 0xdd));
    return _mm512_add_epi32(_mm512_shuffle_i32x4(v[0], v[1], 0x88), _mm512_shuffle_i32x4(v[0], v[1], 0xdd));
}

// One row of activations: the weights pass through registers once, nothing is packed.
template <int DIGITS> static void one_row(const Weight &w, int first, const Digits &x, float *y) {
    const __m512i offset = _mm512_set1_epi8(-128);  // 128 more, as xor
    const int count = std::min(PANEL, w.outputs - first);
    const int8_t *rows[PANEL];
    for (int i = 0; i < PANEL; i++) rows[i] = w.values + static_cast<size_t>(first + std::min(i, count - 1)) * w.inputs;
    const size_t ahead = 2 * static_cast<size_t>(PANEL) * w.inputs;
    f32x16 total{};
    for (int group = 0; group < x.groups; group++) {
        const int at = group * GROUP, left = w.inputs - at;
        const __m512i a = _mm512_loadu_si512(x.at(0) + group * x.step());
        const __m512i low = DIGITS == 2 ? _mm512_loadu_si512(x.at(0) + group * x.step() + GROUP) : a;
        __m512i dots[16];
        __builtin_prefetch(rows[0] + ahead + PAGE_AHEAD + 16 * at, 0, 2);
        for (int i = 0; i < 16; i++) {
            __builtin_prefetch(rows[0] + ahead + 16 * at + 64 * i, 0, 2);
            const __m512i weights = _mm512_xor_si512(some_bytes(rows[i] + at, left), offset);
            dots[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), weights, a);
            if (DIGITS == 2) dots[i] = _mm512_dpbusd_epi32(_mm512_slli_epi32(dots[i], 8), weights, low);
        }
        const i32x16 whole = (i32x16)sums(dots) + x.offsets[group * 16];
        total = fused(as_float(whole), x.scales[group * 16], total);
    }
    store(y + first, scaled(w, first, count, total), count);
}

#endif

// ROWS rows of activations times two packed panels. With two digits the rows of digits come in pairs.
template <int ROWS, int DIGITS> static void tile(const uint8_t *panels, const Digits &x, int row, f32x16 total[ROWS][2]) {
    constexpr int EACH = ROWS * DIGITS;
    const int groups = x.groups;
    const size_t next = static_cast<size_t>(groups) * PANEL * GROUP;
    const int8_t *a[EACH];
    size_t cells[ROWS];
    for (int r = 0; r < ROWS; r++) cells[r] = x.cell(row + r, 0);
    for (int r = 0; r < EACH; r++) a[r] = x.at(row + r / DIGITS) + r % DIGITS * GROUP;
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++) total[r][0] = total[r][1] = f32x16{};
    for (int group = 0; group < groups; group++) {
        i32x16 dots[EACH][2];
#pragma GCC unroll 6
        for (int r = 0; r < EACH; r++)
            dots[r][0] = dots[r][1] = (r % DIGITS == DIGITS - 1 ? x.offsets[cells[r / DIGITS] + group * 16] : 0) - i32x16{};
        for (int quad = 0; quad < 16; quad++) {
            const size_t at = static_cast<size_t>(group) * 16 + quad;
            const Quads left = load_quads(panels + 64 * at), right = load_quads(panels + next + 64 * at);
#pragma GCC unroll 6
            for (int r = 0; r < EACH; r++) {
                int32_t four;
                std::memcpy(&four, a[r] + group * x.step() + 4 * quad, 4);
                dots[r][0] = multiply_add(dots[r][0], left, four);
                dots[r][1] = multiply_add(dots[r][1], right, four);
            }
        }
#pragma GCC unroll 6
        for (int r = 0; r < ROWS; r++) {
            const float scale = x.scales[cells[r] + group * 16];
#pragma GCC unroll 2
            for (int p = 0; p < 2; p++) {
                i32x16 whole = dots[r * DIGITS][p];
                if (DIGITS == 2) whole = (whole << 8) + dots[r * DIGITS + DIGITS - 1][p];
                total[r][p] = fused(as_float(whole), scale, total[r][p]);
            }
        }
    }
}
#endif

template <int ROWS, int DIGITS> static void finish(const Weight &w, int first, const uint8_t *panels, const Digits &x, int row, float *y) {
    f32x16 total[ROWS][2];
    tile<ROWS, DIGITS>(panels, x, row, total);
    for (int p = 0; p < 2; p++) {
        const int at = first + PANEL * p, count = std::min(PANEL, w.outputs - at);
        if (count <= 0) break;
        for (int r = 0; r < ROWS; r++)
            store(y + static_cast<size_t>(row + r) * w.outputs + at, scaled(w, at, count, total[r][p]), count);
    }
}

template <int DIGITS> static void many_rows(const Weight &w, int first, const Digits &x, int rows, float *y) {
    thread_local Lines<uint8_t> panels;
    const size_t size = static_cast<size_t>(x.groups) * PANEL * GROUP;
    if (panels.size() < 2 * size) panels.resize(2 * size);
    pack(w, first, x.groups, panels.data());
    if (first + PANEL < w.outputs) pack(w, first + PANEL, x.groups, panels.data() + size);
    constexpr int AT_ONCE = TILE / DIGITS;
    int row = 0;
    for (; row + AT_ONCE <= rows; row += AT_ONCE) finish<AT_ONCE, DIGITS>(w, first, panels.data(), x, row, y);
    const int left = rows - row;
    if (left == 1) finish<1, DIGITS>(w, first, panels.data(), x, row, y);
    if constexpr (AT_ONCE > 2)
        if (left == 2) finish<2, DIGITS>(w, first, panels.data(), x, row, y);
    if constexpr (TILE > 3 && DIGITS == 1) {
        if (left == 3) finish<3, DIGITS>(w, first, panels.data(), x, row, y);
        if (left == 4) finish<4, DIGITS>(w, first, panels.data(), x, row, y);
        if (left == 5) finish<5, DIGITS>(w, first, panels.data(), x, row, y);
    }
}

// y (rows, outputs) = x (rows, inputs) times the weight, plus the bias.
template <int DIGITS> static void multiply_digits(const Weight &w, const Digits &x, int rows, float *y, int threads) {
#if TILES
    if (x.tiled) return multiply_tiles<DIGITS>(w, x, rows, y, threads);
#endif
    const int pairs = (w.outputs + 2 * PANEL - 1) / (2 * PANEL), each = pairs_of_task(w, rows);
    parallel(threads, (pairs + each - 1) / each, [&](int task) {
        for (int pair = task * each; pair < std::min(pairs, (task + 1) * each); pair++) {
            const int first = pair * 2 * PANEL;
#if WIDE || HALVES
            if (rows == 1) {
                one_row<DIGITS>(w, first, x, y);
                if (first + PANEL < w.outputs) one_row<DIGITS>(w, first + PANEL, x, y);
                continue;
            }
#endif
            many_rows<DIGITS>(w, first, x, rows, y);
        }
    });
}

static void multiply(const Weight &w, const Digits &x, int rows, float *y, int threads) {
    x.digits == 2 ? multiply_digits<2>(w, x, rows, y, threads) : multiply_digits<1>(w, x, rows, y, threads);
}

// The digits that `down` will meet: of gate(upper half of x times the weight) * its lower half.
template <typename Gate>
static void multiply_gated(const Weight &w, const Digits &x, int rows, Lines<float> &room, Digits &y, const Weight &down, const Gate &gate, int threads) {
    y.reserve(rows, down, x.tiled);
#if TILES
    if (x.tiled) return w.digits == 2 ? multiply_gated_tiles<2>(w, x, rows, y, gate, threads) : multiply_gated_tiles<1>(w, x, rows, y, gate, threads);
#endif
    const int middle = down.inputs, each = 8;
    if (room.size() < static_cast<size_t>(rows) * w.outputs) room.resize(static_cast<size_t>(rows) * w.outputs);
    float *both = room.data();
    multiply(w, x, rows, both, threads);
    parallel(threads, (rows + each - 1) / each, [&](int task) {
        for (int row = task * each; row < std::min(rows, (task + 1) * each); row++) {
            float *of = both + static_cast<size_t>(row) * 2 * middle;
            for (int i = 0; i < middle; i += 16) store(of + i, gate(load(of + i, middle - i)) * load(of + middle + i, middle - i), middle - i);
            y.set(row, of, middle);
        }
    });
}

// What the weight will meet.
static void quantize(Digits &digits, const float *x, int rows, const Weight &w, int threads) {
    digits.reserve(rows, w, tiles_pay(rows));
    const int each = 16;
    parallel(threads, (rows + each - 1) / each, [&](int task) {
        for (int row = task * each; row < std::min(rows, (task + 1) * each); row++)
            digits.set(row, x + static_cast<size_t>(row) * w.inputs, w.inputs);
    });
}
