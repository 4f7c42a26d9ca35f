// Attention of single new tokens over a cache, in blocks of positions whose parts are joined at the end, so that one long
// sequence keeps all threads busy. Blocks begin at fixed positions: what a token sees is added up in the same order
// whether it comes alone or among others.
#pragma once

#include <cmath>

#include "lanes.h"
#include "pool.h"

constexpr int BLOCK = 256;  // positions
constexpr int KEYS = 16;    // positions of a tile

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

// Sixteen vectors -> the sum of each.
INLINE f32x16 sums(f32x16 v[16]) {
    // Halves of pairs are brought side by side, until every lane belongs to one vector.
#define PAIR(a, b, ...) (__builtin_shufflevector(a, b, __VA_ARGS__))
    for (int i = 0; i < 8; i++)
        v[i] = PAIR(v[2 * i], v[2 * i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29) +
               PAIR(v[2 * i], v[2 * i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    for (int i = 0; i < 4; i++)
        v[i] = PAIR(v[2 * i], v[2 * i + 1], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
               PAIR(v[2 * i], v[2 * i + 1], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    for (int i = 0; i < 2; i++)
        v[i] = PAIR(v[2 * i], v[2 * i + 1], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
               PAIR(v[2 * i], v[2 * i + 1], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    return PAIR(v[0], v[1], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
           PAIR(v[0], v[1], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
#undef PAIR
}

// A block's part of the attention of one token and one key/value head, for all query heads that share it.
struct Part {
    int row, kv_head, begin, end;  // entries of the cache
};

// Softmax over the block: sums of values into `out` (group, padded width), and each head's peak and weight.
static void attend_block(const LayerCache &cache, int64_t base, const Part &part, const Shape &shape, const float *q,
                         float *out, float *peak, float *weight) {
    const int group = shape.heads / shape.kv_heads, width = shape.width, wide = padded(width);
    thread_local std::vector<float> space;
    const size_t needed = static_cast<size_t>(group) * (BLOCK + wide) + static_cast<size_t>(KEYS) * wide;
    if (space.size() < needed) space.resize(needed);
    float *scores = space.data(), *query = scores + group * BLOCK, *some = query + group * wide;
    for (int h = 0; h < group; h++)
        for (int d = 0; d < wide; d += 16)
            store(query + h * wide + d, load(q + h * width + d, std::max(0, std::min(16, width - d))) * shape.scale);
    const int count = part.end - part.begin;
    for (int at = 0; at < count; at += KEYS) {
        read_tile(cache.keys, cache.bfloat, base + static_cast<int64_t>(part.begin + at) * width, std::min(KEYS, count - at), width, some);
        for (int h = 0; h < group; h++) {
            f32x16 dots[KEYS];
            for (int k = 0; k < KEYS; k++) {
                dots[k] = load(query + h * wide) * load(some + k * wide);
                for (int d = 16; d < wide; d += 16) dots[k] = load(query + h * wide + d) * load(some + k * wide + d) + dots[k];
            }
            store(scores + h * BLOCK + at, sums(dots));
        }
    }
    for (int h = 0; h < group; h++) {
        float *row = scores + h * BLOCK;
        for (int i = count; i < (count + 15) / 16 * 16; i++) row[i] = -INFINITY;
        f32x16 most = all(-INFINITY), total{};
        for (int i = 0; i < count; i += 16) most = larger(load(row + i), most);
        peak[h] = largest(most);
        for (int i = 0; i < count; i += 16) {
            const f32x16 e = exponential(load(row + i) - peak[h]);
            store(row + i, e);
            total += e;
        }
        weight[h] = sum(total);
        for (int d = 0; d < wide; d += 16) store(out + h * wide + d, f32x16{});
    }
    for (int at = 0; at < count; at += KEYS) {
        const int here = std::min(KEYS, count - at);
        read_tile(cache.values, cache.bfloat, base + static_cast<int64_t>(part.begin + at) * width, here, width, some);
        for (int h = 0; h < group; h++) {
            const float *row = scores + h * BLOCK + at;
            int d = 0;
            for (; d + 64 <= wide; d += 64) {
                float *to = out + h * wide + d;
                f32x16 a = load(to), b = load(to + 16), c = load(to + 32), e = load(to + 48);
                for (int k = 0; k < here; k++) {
                    const float *v = some + k * wide + d;
                    a = load(v) * row[k] + a, b = load(v + 16) * row[k] + b;
                    c = load(v + 32) * row[k] + c, e = load(v + 48) * row[k] + e;
                }
                store(to, a), store(to + 16, b), store(to + 32, c), store(to + 48, e);
            }
            for (; d < wide; d += 16) {
                f32x16 a = load(out + h * wide + d);
                for (int k = 0; k < here; k++) a = load(some + k * wide + d) * row[k] + a;
                store(out + h * wide + d, a);
            }
        }
    }
}
