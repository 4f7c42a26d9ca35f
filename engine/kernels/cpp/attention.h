// Attention of new tokens over a cache, in blocks of positions whose parts are joined at the end, so that one long
// sequence keeps all threads busy. Blocks begin at fixed positions: what a token sees is added up in the same order
// whether it comes alone or among others, some of which share the reading of a block with it.
#pragma once

#include <cmath>

#include "lanes.h"
#include "pool.h"

constexpr int BLOCK = 256;  // positions
constexpr int KEYS = 16;    // positions of a tile
#if WIDE
constexpr int HEADS = 8, KEY_TILES = 2, STRIP = 4;  // query heads, tiles of keys, vectors of a value: what registers hold
#else
constexpr int HEADS = 4, KEY_TILES = 1, STRIP = 2;
#endif
constexpr int SHARE = 16;   // tokens, at most, that share the reading of a block

// One layer's keys and values, (rows, heads, capacity, width) of float or bfloat16; entry 0 is position `first`.
struct LayerCache {
    void *keys, *values;
    int64_t row_stride, head_stride;  // in numbers
    int32_t first, bfloat;
};

struct Shape {
    int32_t heads, kv_heads, width;
    float scale;
};

static int padded(int width) { return (width + 15) / 16 * 16; }

// A tile of entries as floats, each row padded with zeros to a multiple of 16.
INLINE void read_tile(const void *from, bool bfloat, int64_t at, int count, int width, float *to) {
    const int wide = padded(width);
    for (int i = 0; i < count; i++)
        for (int d = 0; d < width; d += 16) {
            const int64_t cell = at + static_cast<int64_t>(i) * width + d;
            const int some = std::min(16, width - d);
            if (bfloat) {
                store(to + i * wide + d, widen(load(static_cast<const uint16_t *>(from) + cell, some)));
            } else {
                store(to + i * wide + d, load(static_cast<const float *>(from) + cell, some));
            }
        }
    for (int i = count * wide; i < KEYS * wide; i++) to[i] = 0;
}

INLINE void write_entry(void *to, bool bfloat, int64_t at, const float *from, int width) {
    for (int d = 0; d < width; d += 16) {
        const int some = std::min(16, width - d);
        const f32x16 v = load(from + d, some);
        if (bfloat) {
            store(static_cast<uint16_t *>(to) + at + d, narrow(v), some);
        } else {
            store(static_cast<float *>(to) + at + d, v, some);
        }
    }
}

// Sixteen rows of sixteen numbers, `stride` apart -> their columns, one after the other.
INLINE void transpose(const float *from, int stride, float *to) {
    f32x16 of[16];
    for (int i = 0; i < 16; i++) of[i] = load(from + i * stride);
    transpose(of);
    for (int i = 0; i < 16; i++) store(to + 16 * i, of[i]);
}

#if HALVES
// The same in registers of 32 bytes.
template <int ROWS> INLINE void score(const float *queries, const float *keys, int wide, float *scores) {
    __m256 low[ROWS], high[ROWS];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) low[i] = high[i] = _mm256_setzero_ps();
    for (int d = 0; d < wide; d++) {
        const __m256 a = _mm256_loadu_ps(keys + KEYS * d), b = _mm256_loadu_ps(keys + KEYS * d + 8);
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) {
            const __m256 query = _mm256_broadcast_ss(queries + 16 * d + i);
            low[i] = _mm256_fmadd_ps(a, query, low[i]), high[i] = _mm256_fmadd_ps(b, query, high[i]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) _mm256_storeu_ps(scores + i * BLOCK, low[i]), _mm256_storeu_ps(scores + i * BLOCK + 8, high[i]);
}
#else
// Scores of ROWS of 16 queries, side by side (wide, 16), with tiles of keys (KEY_TILES, wide, 16) -> (ROWS, BLOCK).
template <int ROWS> INLINE void score(const float *queries, const float *keys, int wide, float *scores) {
    f32x16 dots[ROWS][KEY_TILES];
#pragma GCC unroll 16
    for (int i = 0; i < ROWS * KEY_TILES; i++) dots[i / KEY_TILES][i % KEY_TILES] = f32x16{};
    for (int d = 0; d < wide; d++) {
        f32x16 some[KEY_TILES];
#pragma GCC unroll 2
        for (int k = 0; k < KEY_TILES; k++) some[k] = load(keys + KEYS * (k * wide + d));
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
            for (int k = 0; k < KEY_TILES; k++) dots[i][k] = fused(some[k], queries[16 * d + i], dots[i][k]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
        for (int k = 0; k < KEY_TILES; k++) store(scores + i * BLOCK + k * KEYS, dots[i][k]);
}
#endif

// A block's part of the attention of one token and one key/value head, for all query heads that share it.
struct Part {
    int row, kv_head, begin, end;  // entries of the cache
};

// Where a part's results go: sums of values (group, padded width), and each query head's peak and weight.
struct Result {
    float *sums, *peak, *weight;
};

// Of one query head: `count` scores -> their exponentials, peak and weight.
INLINE void soften(float *row, int count, float *peak, float *weight) {
    for (int i = count; i < (count + 15) / 16 * 16; i++) row[i] = -INFINITY;
    f32x16 most = all(-INFINITY), total{};
    for (int i = 0; i < count; i += 16) most = larger(load(row + i), most);
    *peak = largest(most);
    for (int i = 0; i < count; i += 16) {
        const f32x16 e = exponential(load(row + i) - *peak);
        store(row + i, e);
        total += e;
    }
    *weight = sum(total);
}

// Adds `count` values (count, wide) to the sums of ROWS query heads, each times its weight; `sums` lie `wide` apart,
// weights BLOCK.
#if HALVES
template <int ROWS> INLINE void add_values(const float *values, const float *weights, int count, int wide, float *sums) {
    for (int d = 0; d < wide; d += 16) {
        __m256 low[ROWS], high[ROWS];
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++) low[r] = _mm256_loadu_ps(sums + r * wide + d), high[r] = _mm256_loadu_ps(sums + r * wide + d + 8);
        for (int k = 0; k < count; k++) {
            const __m256 a = _mm256_loadu_ps(values + k * wide + d), b = _mm256_loadu_ps(values + k * wide + d + 8);
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; r++) {
                const __m256 weight = _mm256_broadcast_ss(weights + r * BLOCK + k);
                low[r] = _mm256_fmadd_ps(a, weight, low[r]), high[r] = _mm256_fmadd_ps(b, weight, high[r]);
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++) _mm256_storeu_ps(sums + r * wide + d, low[r]), _mm256_storeu_ps(sums + r * wide + d + 8, high[r]);
    }
}
#else
template <int ROWS> INLINE void add_values(const float *values, const float *weights, int count, int wide, float *sums) {
    for (int d = 0; d < wide; d += 16 * STRIP) {
        const int strips = std::min(STRIP, (wide - d) / 16);
        if (strips == STRIP) {
            f32x16 total[ROWS][STRIP];
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
                for (int i = 0; i < STRIP; i++) total[r][i] = load(sums + r * wide + d + 16 * i);
            for (int k = 0; k < count; k++) {
                const float *v = values + k * wide + d;
                f32x16 some[STRIP];
#pragma GCC unroll 4
                for (int i = 0; i < STRIP; i++) some[i] = load(v + 16 * i);
#pragma GCC unroll 4
                for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
                    for (int i = 0; i < STRIP; i++) total[r][i] = fused(some[i], weights[r * BLOCK + k], total[r][i]);
            }
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
                for (int i = 0; i < STRIP; i++) store(sums + r * wide + d + 16 * i, total[r][i]);
            continue;
        }
        for (int r = 0; r < ROWS; r++)
            for (int i = d; i < d + 16 * strips; i += 16) {
                f32x16 total = load(sums + r * wide + i);
                for (int k = 0; k < count; k++) total = fused(load(values + k * wide + i), weights[r * BLOCK + k], total);
                store(sums + r * wide + i, total);
            }
    }
}
#endif

// Softmax over the block, for up to SHARE tokens that begin at the same entry of one sequence and head.
static void attend_block(const LayerCache &cache, int64_t base, const Part *const *parts, const float *const *queries, const Result *results,
                         int tokens, const Shape &shape) {
    const int group = shape.heads / shape.kv_heads, width = shape.width, wide = padded(width), rows = tokens * group;
    thread_local Lines<float> space;
    const int most = padded(rows);
    const size_t needed = static_cast<size_t>(most) * (BLOCK + wide) + static_cast<size_t>(16 + (1 + KEY_TILES) * KEYS) * wide;
    if (space.size() < needed) space.resize(needed);
    float *scores = space.data(), *query = scores + most * BLOCK, *some = query + most * wide, *columns = some + KEYS * wide;
    float *turned = columns + KEY_TILES * KEYS * wide;  // sixteen queries before they stand side by side
    int longest = 0;
    for (int t = 0; t < tokens; t++) longest = std::max(longest, parts[t]->end - parts[t]->begin);
    for (int first = 0; first < rows; first += 16) {
        for (int row = first; row < first + 16; row++)
            for (int d = 0; d < wide; d += 16) {
                const int here = row < rows ? std::max(0, std::min(16, width - d)) : 0;
                store(turned + (row - first) * wide + d, here ? load(queries[row / group] + row % group * width + d, here) * shape.scale : f32x16{});
            }
        for (int d = 0; d < wide; d += 16) transpose(turned + d, wide, query + first * wide + 16 * d);
    }
    const int64_t first = base + static_cast<int64_t>(parts[0]->begin) * width;
    for (int at = 0; at < longest; at += KEY_TILES * KEYS) {
        for (int k = 0; k < KEY_TILES; k++) {
            const int here = at + k * KEYS, count = std::max(0, std::min(KEYS, longest - here));
            read_tile(cache.keys, cache.bfloat, first + static_cast<int64_t>(here) * width, count, width, some);
            for (int d = 0; d < wide; d += 16) transpose(some + d, wide, columns + KEYS * (k * wide + d));
        }
        for (int row = 0; row < rows; row += HEADS) {
            const float *side = query + row / 16 * 16 * wide + row % 16;
            if (rows - row > 4) {
                score<HEADS>(side, columns, wide, scores + row * BLOCK + at);
            } else {
                score<4>(side, columns, wide, scores + row * BLOCK + at);
            }
        }
    }
    for (int t = 0; t < tokens; t++)
        for (int h = 0; h < group; h++) {
            soften(scores + (t * group + h) * BLOCK, parts[t]->end - parts[t]->begin, results[t].peak + h, results[t].weight + h);
            for (int d = 0; d < wide; d += 16) store(results[t].sums + h * wide + d, f32x16{});
        }
    for (int at = 0; at < longest; at += KEYS) {
        read_tile(cache.values, cache.bfloat, first + static_cast<int64_t>(at) * width, std::min(KEYS, longest - at), width, some);
        for (int t = 0; t < tokens; t++) {
            const int here = std::min(KEYS, parts[t]->end - parts[t]->begin - at);
            if (here <= 0) continue;
            const float *weights = scores + t * group * BLOCK + at;
            float *sums = results[t].sums;
            int h = 0;
            for (; h + 4 <= group; h += 4) add_values<4>(some, weights + h * BLOCK, here, wide, sums + h * wide);
            for (; h + 3 <= group; h += 3) add_values<3>(some, weights + h * BLOCK, here, wide, sums + h * wide);
            if (h + 2 == group) add_values<2>(some, weights + h * BLOCK, here, wide, sums + h * wide), h += 2;
            for (; h < group; h++) add_values<1>(some, weights + h * BLOCK, here, wide, sums + h * wide);
        }
    }
}
