// Attention of new tokens over a cache, in blocks of positions whose parts are joined at the end, so that one long
// sequence keeps all threads busy. Blocks begin at fixed positions: what a token sees is added up in the same order
// whether it comes alone or among others, some of which share the reading of a block with it.
#pragma once

#include <cmath>

#include "lanes.h"
#include "pool.h"

constexpr int BLOCK = 256;  // positions
constexpr int KEYS = 16;    // positions of a tile
constexpr int SHARE = 4;    // tokens that share the reading of a block
constexpr int ROWS = 8;     // query heads whose scores stay in registers

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
    f32x16 a[16], b[16];
    for (int i = 0; i < 16; i++) a[i] = load(from + i * stride);
#define PAIR(x, y, ...) (__builtin_shufflevector(x, y, __VA_ARGS__))
    for (int i = 0; i < 8; i++) {
        b[2 * i] = PAIR(a[i], a[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        b[2 * i + 1] = PAIR(a[i], a[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    // Rows i and i + 8 are interleaved: four times, and they are columns.
    for (int i = 0; i < 8; i++) {
        a[2 * i] = PAIR(b[i], b[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        a[2 * i + 1] = PAIR(b[i], b[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int i = 0; i < 8; i++) {
        b[2 * i] = PAIR(a[i], a[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        b[2 * i + 1] = PAIR(a[i], a[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int i = 0; i < 8; i++) {
        store(to + 32 * i, PAIR(b[i], b[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
        store(to + 32 * i + 16, PAIR(b[i], b[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
    }
#undef PAIR
}

// Scores of COUNT queries (COUNT, wide) with sixteen keys (wide, 16) -> (COUNT, BLOCK).
template <int COUNT> INLINE void score(const float *queries, const float *keys, int wide, float *scores) {
    f32x16 dots[COUNT];
#pragma GCC unroll 8
    for (int i = 0; i < COUNT; i++) dots[i] = f32x16{};
    for (int d = 0; d < wide; d++) {
        const f32x16 key = load(keys + 16 * d);
#pragma GCC unroll 8
        for (int i = 0; i < COUNT; i++) dots[i] = key * queries[i * wide + d] + dots[i];
    }
#pragma GCC unroll 8
    for (int i = 0; i < COUNT; i++) store(scores + i * BLOCK, dots[i]);
}

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

// Adds `count` values (count, wide), each times its weight.
INLINE void add_values(const float *values, const float *weights, int count, int wide, float *to) {
    int d = 0;
    for (; d + 64 <= wide; d += 64) {
        f32x16 a = load(to + d), b = load(to + d + 16), c = load(to + d + 32), e = load(to + d + 48);
        for (int k = 0; k < count; k++) {
            const float *v = values + k * wide + d;
            a = load(v) * weights[k] + a, b = load(v + 16) * weights[k] + b;
            c = load(v + 32) * weights[k] + c, e = load(v + 48) * weights[k] + e;
        }
        store(to + d, a), store(to + d + 16, b), store(to + d + 32, c), store(to + d + 48, e);
    }
    for (; d < wide; d += 16) {
        f32x16 a = load(to + d);
        for (int k = 0; k < count; k++) a = load(values + k * wide + d) * weights[k] + a;
        store(to + d, a);
    }
}

// Softmax over the block, for up to SHARE tokens that begin at the same entry of one sequence and head.
static void attend_block(const LayerCache &cache, int64_t base, const Part *const *parts, const float *const *queries, const Result *results,
                         int tokens, const Shape &shape) {
    const int group = shape.heads / shape.kv_heads, width = shape.width, wide = padded(width), rows = tokens * group;
    thread_local std::vector<float> space;
    const size_t needed = static_cast<size_t>(rows) * (BLOCK + wide) + 2 * static_cast<size_t>(KEYS) * wide;
    if (space.size() < needed) space.resize(needed);
    float *scores = space.data(), *query = scores + rows * BLOCK, *some = query + rows * wide, *columns = some + KEYS * wide;
    int longest = 0;
    for (int t = 0; t < tokens; t++) {
        longest = std::max(longest, parts[t]->end - parts[t]->begin);
        for (int h = 0; h < group; h++)
            for (int d = 0; d < wide; d += 16)
                store(query + (t * group + h) * wide + d, load(queries[t] + h * width + d, std::max(0, std::min(16, width - d))) * shape.scale);
    }
    const int64_t first = base + static_cast<int64_t>(parts[0]->begin) * width;
    for (int at = 0; at < longest; at += KEYS) {
        read_tile(cache.keys, cache.bfloat, first + static_cast<int64_t>(at) * width, std::min(KEYS, longest - at), width, some);
        for (int d = 0; d < wide; d += 16) transpose(some + d, wide, columns + 16 * d);
        int row = 0;
        for (; row + ROWS <= rows; row += ROWS) score<ROWS>(query + row * wide, columns, wide, scores + row * BLOCK + at);
        for (; row + 3 <= rows; row += 3) score<3>(query + row * wide, columns, wide, scores + row * BLOCK + at);
        for (; row < rows; row++) score<1>(query + row * wide, columns, wide, scores + row * BLOCK + at);
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
            for (int h = 0; here > 0 && h < group; h++)
                add_values(some, scores + (t * group + h) * BLOCK + at, here, wide, results[t].sums + h * wide);
        }
    }
}
