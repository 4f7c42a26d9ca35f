// Int8 rows times activations of one or two int8 digits with a scale for each GROUP inputs. Weights are read where they
// lie, once for both digits.
#pragma once

#include <algorithm>
#include <vector>

#include "lanes.h"
#include "pool.h"
#include "tiles.h"

constexpr int GROUP = 64;
constexpr int PANEL = 16;  // rows of a weight computed side by side
constexpr int TILE = 6;    // rows of activations

struct Weight {
    const int8_t *values;  // (outputs, inputs)
    const float *scales;   // (outputs,)
    const float *bias;     // (outputs,) or null
    int32_t outputs, inputs, digits;
};

static int groups_of(int inputs) { return (inputs + GROUP - 1) / GROUP; }

// Quantized activations of some rows: x = scale of its group * digit, or * (256 * first digit + second digit).
struct Digits {
    int groups, digits;
    std::vector<int8_t> values;    // (rows, digits, groups * GROUP), zeros at the end
    std::vector<float> scales;     // (rows / 16, groups, 16)
    std::vector<int32_t> offsets;  // (rows / 16, groups, 16): -OFFSET * the sum of the group's digits, firsts 256 times

    size_t cell(int row, int group) const { return (static_cast<size_t>(row / 16) * groups + group) * 16 + row % 16; }

    // Whole tiles of rows: what stands in those that are not set does not matter.
    void reserve(int rows, const Weight &w) {
        groups = groups_of(w.inputs), digits = w.digits;
        const size_t cells = static_cast<size_t>((rows + 15) / 16 * 16) * groups;
        if (values.size() < cells * GROUP * digits) values.resize(cells * GROUP * digits);
        if (scales.size() < cells) scales.resize(cells), offsets.resize(cells);
    }

    void set(int row, const float *x, int inputs) {
        for (int group = 0; group < groups; group++) {
            const int left = inputs - group * GROUP;
            f32x16 part[4], peak{};
            for (int i = 0; i < 4; i++) {
                part[i] = load(x + group * GROUP + 16 * i, std::max(0, std::min(16, left - 16 * i)));
                peak = larger(peak, magnitude(part[i]));
            }
            const float steps = digits == 1 ? 127.0f : 127.0f * 256;
            const float most = std::max(largest(peak), 1e-30f), inverse = steps / most;
            int8_t *to = &values[(static_cast<size_t>(row) * digits * groups + group) * GROUP];
            i32x16 total{};
            for (int i = 0; i < 4; i++) {
                i32x16 digit = nearest(part[i] * inverse);
                total += digit;
                if (digits == 2) {
                    const i32x16 first = (digit + 128) >> 8;
                    write(to + static_cast<size_t>(groups) * GROUP + 16 * i, digit - (first << 8));
                    digit = first;
                }
                write(to + 16 * i, digit);
            }
            scales[cell(row, group)] = most / steps;
            int32_t lanes[16], whole = 0;
            std::memcpy(lanes, &total, sizeof lanes);
            for (int lane : lanes) whole += lane;
            offsets[cell(row, group)] = -OFFSET * whole;
        }
    }

    static void write(int8_t *to, i32x16 digit) {
        const i8x16 bytes = __builtin_convertvector(digit, i8x16);
        std::memcpy(to, &bytes, 16);
    }
};

// Sums of digits -> outputs `first` to `first + count`.
INLINE f32x16 scaled(const Weight &w, int first, int count, f32x16 total) {
    const f32x16 bias = w.bias ? load(w.bias + first, count) : f32x16{};
    return total * load(w.scales + first, count) + bias;
}

#if OFFSET
INLINE __m512i some_bytes(const int8_t *from, int count) {
    if (count >= 64) return _mm512_loadu_si512(from);
    return _mm512_maskz_loadu_epi8(count <= 0 ? 0 : (~0ull >> (64 - count)), from);
}

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
        const __m512i a = _mm512_loadu_si512(&x.values[at]);
        const __m512i low = DIGITS == 2 ? _mm512_loadu_si512(&x.values[x.groups * GROUP + at]) : a;
        __m512i dots[16];
        for (int i = 0; i < 16; i++) {
            __builtin_prefetch(rows[i] + at + ahead, 0, 2);
            const __m512i weights = _mm512_xor_si512(some_bytes(rows[i] + at, left), offset);
            dots[i] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), weights, a);
            if (DIGITS == 2) dots[i] = _mm512_dpbusd_epi32(_mm512_slli_epi32(dots[i], 8), weights, low);
        }
        const i32x16 whole = (i32x16)sums(dots) + x.offsets[group * 16];
        total = as_float(whole) * x.scales[group * 16] + total;
    }
    store(y + first, scaled(w, first, count, total), count);
}

// (16 rows, one group) -> quads side by side. `middle`: what is added, as xor.
INLINE void pack_group(const int8_t *const rows[PANEL], int at, int left, uint8_t *to, int8_t middle = -128) {
    const __m512i offset = _mm512_set1_epi8(middle);
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i++) a[i] = _mm512_xor_si512(some_bytes(rows[i] + at, left), offset);
    for (int i = 0; i < 8; i++) {
        b[2 * i] = _mm512_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm512_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++) {  // a[4 * i + c]: rows 4 * i to 4 * i + 3, quad c of each 128 bits
        a[4 * i] = _mm512_unpacklo_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 1] = _mm512_unpackhi_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 2] = _mm512_unpacklo_epi64(b[4 * i + 1], b[4 * i + 3]);
        a[4 * i + 3] = _mm512_unpackhi_epi64(b[4 * i + 1], b[4 * i + 3]);
    }
    for (int c = 0; c < 4; c++) {
        const __m512i even01 = _mm512_shuffle_i32x4(a[c], a[4 + c], 0x88), odd01 = _mm512_shuffle_i32x4(a[c], a[4 + c], 0xdd);
        const __m512i even23 = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0x88), odd23 = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0xdd);
        _mm512_storeu_si512(to + 64 * c, _mm512_shuffle_i32x4(even01, even23, 0x88));
        _mm512_storeu_si512(to + 64 * (8 + c), _mm512_shuffle_i32x4(even01, even23, 0xdd));
        _mm512_storeu_si512(to + 64 * (4 + c), _mm512_shuffle_i32x4(odd01, odd23, 0x88));
        _mm512_storeu_si512(to + 64 * (12 + c), _mm512_shuffle_i32x4(odd01, odd23, 0xdd));
    }
}
#else
INLINE void pack_group(const int8_t *const rows[PANEL], int at, int left, uint8_t *to, int8_t = 0) {
    if (left < GROUP) std::memset(to, 0, PANEL * GROUP);
    const int bytes = std::min(left, GROUP);
    for (int row = 0; row < PANEL; row++) {
        const int8_t *from = rows[row] + at;
        int quad = 0;
        for (; 4 * quad + 4 <= bytes; quad++) std::memcpy(to + 64 * quad + 4 * row, from + 4 * quad, 4);
        if (4 * quad < bytes) std::memcpy(to + 64 * quad + 4 * row, from + 4 * quad, static_cast<size_t>(bytes - 4 * quad));
    }
}
#endif

static void pack(const Weight &w, int first, int groups, uint8_t *to, int8_t middle = -128) {
    const int count = std::min(PANEL, w.outputs - first);
    const int8_t *rows[PANEL];
    for (int i = 0; i < PANEL; i++) rows[i] = w.values + static_cast<size_t>(first + std::min(i, count - 1)) * w.inputs;
    const size_t ahead = 2 * static_cast<size_t>(PANEL) * w.inputs;  // what the next pair of panels is made of
    for (int group = 0; group < groups; group++, to += PANEL * GROUP) {
        for (const int8_t *row : rows) __builtin_prefetch(row + group * GROUP + ahead, 0, 2);
        pack_group(rows, group * GROUP, w.inputs - group * GROUP, to, middle);
    }
}

// ROWS rows of activations times two packed panels. With two digits the rows of digits come in pairs.
template <int ROWS, int DIGITS> static void tile(const uint8_t *panels, const Digits &x, int row, f32x16 total[ROWS][2]) {
    constexpr int EACH = ROWS * DIGITS;
    const int groups = x.groups;
    const size_t next = static_cast<size_t>(groups) * PANEL * GROUP;
    const int8_t *a = &x.values[static_cast<size_t>(row) * DIGITS * groups * GROUP];
    size_t cells[ROWS];
    for (int r = 0; r < ROWS; r++) cells[r] = x.cell(row + r, 0);
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
                std::memcpy(&four, a + static_cast<size_t>(r) * groups * GROUP + 4 * at, 4);
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
                total[r][p] = as_float(whole) * scale + total[r][p];
            }
        }
    }
}

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
    thread_local std::vector<uint8_t> panels;
    const size_t size = static_cast<size_t>(x.groups) * PANEL * GROUP;
    if (panels.size() < 2 * size) panels.resize(2 * size);
    pack(w, first, x.groups, panels.data());
    if (first + PANEL < w.outputs) pack(w, first + PANEL, x.groups, panels.data() + size);
    constexpr int AT_ONCE = TILE / DIGITS;
    int row = 0;
    for (; row + AT_ONCE <= rows; row += AT_ONCE) finish<AT_ONCE, DIGITS>(w, first, panels.data(), x, row, y);
    const int left = rows - row;
    if (left == 1) finish<1, DIGITS>(w, first, panels.data(), x, row, y);
    if (left == 2) finish<2, DIGITS>(w, first, panels.data(), x, row, y);
    if constexpr (DIGITS == 1) {
        if (left == 3) finish<3, DIGITS>(w, first, panels.data(), x, row, y);
        if (left == 4) finish<4, DIGITS>(w, first, panels.data(), x, row, y);
        if (left == 5) finish<5, DIGITS>(w, first, panels.data(), x, row, y);
    }
}

#if TILES
// Sixteen rows of digits, those of the activations from `row` on, of which `rows` are wanted, times one signed panel.
// Every loop over the rows is unrolled: the sums stay in registers.
template <int DIGITS> static void finish_tile(const Weight &w, int first, const uint8_t *panel, const Digits &x, int row, int rows, float *y) {
    alignas(64) int32_t dots[2 * LAG][16][16];
    const int groups = x.groups, count = std::min(PANEL, w.outputs - first);
    const size_t stride = static_cast<size_t>(groups) * GROUP;
    const int8_t *a = &x.values[static_cast<size_t>(row) * DIGITS * stride];
    const float *scales = &x.scales[x.cell(row, 0)];
    f32x16 total[TILE_ROWS / DIGITS];
#pragma GCC unroll 16
    for (int r = 0; r < TILE_ROWS / DIGITS; r++) total[r] = f32x16{};
    for (int group = 0; group < groups + LAG; group++) {
        if (group < groups) multiply_tile(a + group * GROUP, stride, panel + static_cast<size_t>(group) * PANEL * GROUP, dots[group % (2 * LAG)]);
        if (group < LAG) continue;
        const int32_t(*sums)[16] = dots[(group - LAG) % (2 * LAG)];
        const float *scale = scales + (group - LAG) * 16;
#pragma GCC unroll 16
        for (int r = 0; r < TILE_ROWS / DIGITS; r++) {
            i32x16 whole, low;
            std::memcpy(&whole, sums[r * DIGITS], sizeof whole);
            if (DIGITS == 2) std::memcpy(&low, sums[r * DIGITS + DIGITS - 1], sizeof low), whole = (whole << 8) + low;
            total[r] = as_float(whole) * scale[r] + total[r];
        }
    }
    float *to = y + static_cast<size_t>(row) * w.outputs + first;
#pragma GCC unroll 16
    for (int r = 0; r < TILE_ROWS / DIGITS; r++)
        if (r < rows) store(to + static_cast<size_t>(r) * w.outputs, scaled(w, first, count, total[r]), count);
}

template <int DIGITS> static void many_tiles(const Weight &w, int first, const Digits &x, int rows, float *y) {
    thread_local std::vector<uint8_t> panels;
    const size_t size = static_cast<size_t>(x.groups) * PANEL * GROUP;
    if (panels.size() < 2 * size) panels.resize(2 * size);
    const int count = first + PANEL < w.outputs ? 2 : 1;
    for (int p = 0; p < count; p++) pack(w, first + PANEL * p, x.groups, panels.data() + p * size, 0);
    const TileShapes shapes;
    constexpr int AT_ONCE = TILE_ROWS / DIGITS;
    for (int row = 0; row < rows; row += AT_ONCE)
        for (int p = 0; p < count; p++)
            finish_tile<DIGITS>(w, first + PANEL * p, panels.data() + p * size, x, row, std::min(AT_ONCE, rows - row), y);
}
#endif

// y (rows, outputs) = x (rows, inputs) times the weight, plus the bias.
template <int DIGITS> static void multiply_digits(const Weight &w, const Digits &x, int rows, float *y, int threads) {
    const int pairs = (w.outputs + 2 * PANEL - 1) / (2 * PANEL);
    // Tasks of some 64 kB: long enough to be worth taking, short enough that no thread waits for another.
    const int each = rows > TILE ? 1 : std::max(1, 65536 / (2 * PANEL * w.inputs));
    parallel(threads, (pairs + each - 1) / each, [&](int task) {
        for (int pair = task * each; pair < std::min(pairs, (task + 1) * each); pair++) {
            const int first = pair * 2 * PANEL;
#if OFFSET
            if (rows == 1) {
                one_row<DIGITS>(w, first, x, y);
                if (first + PANEL < w.outputs) one_row<DIGITS>(w, first + PANEL, x, y);
                continue;
            }
#endif
#if TILES
            if (rows * DIGITS >= FEWEST_ROWS && tiles_allowed()) {
                many_tiles<DIGITS>(w, first, x, rows, y);
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

// What the weight will meet.
static void quantize(Digits &digits, const float *x, int rows, const Weight &w, int threads) {
    digits.reserve(rows, w);
    const int each = 16;
    parallel(threads, (rows + each - 1) / each, [&](int task) {
        for (int row = task * each; row < std::min(rows, (task + 1) * each); row++)
            digits.set(row, x + static_cast<size_t>(row) * w.inputs, w.inputs);
    });
}
