// Attention over a cache of bfloat16 by AMX: `attend_block` of attention.h for sixteen queries side by side.
//
// Keys, values and weights meet as bfloat16, sums are float32. A query is the sum of two bfloat16 and loses nothing that
// matters; its weights are rounded before they are added up. What a query gets does not depend on those beside it.
#pragma once

#include "attention.h"
#include "tiles.h"

#if TILES && defined(__AMX_BF16__)
#define BFLOAT_TILES 1

typedef uint32_t u32x16 __attribute__((vector_size(64)));
typedef uint16_t u16x32 __attribute__((vector_size(64)));
// Of two vectors, numbers from the n-th on in turn.
#define TURNS_FROM(n) n, n + 32, n + 1, n + 33, n + 2, n + 34, n + 3, n + 35, n + 4, n + 36, n + 5, n + 37, n + 6, n + 38, n + 7, n + 39, \
    n + 8, n + 40, n + 9, n + 41, n + 10, n + 42, n + 11, n + 43, n + 12, n + 44, n + 13, n + 45, n + 14, n + 46, n + 15, n + 47

struct Tile {
    f32x16 of[16];  // sixteen rows of 64 bytes
};

constexpr int AHEAD = 4096;  // bytes from what is worked on to what is fetched meanwhile, perhaps of the next block

// One block of a cache as factors. Keys are left sides of 16 positions and 32 channels, loaded from where they lie, but
// for a last tile that is not full; values are right sides of 32 positions and 16 channels, in which each channel has two
// positions in turn. Zeros stand where nothing is.
struct BlockTiles {
    int parts, tiles;       // of channels: 32 a part, 16 a tile
    int whole;              // tiles of keys that are loaded from where they lie
    const uint16_t *lying;  // the first key
    Tile *copied, *values;
    size_t width;

    BlockTiles(const LayerCache &cache, int64_t first, int count, int channels)
        : parts((channels + 31) / 32), tiles(2 * parts), whole(channels % 32 ? 0 : count / 16),
          lying(static_cast<const uint16_t *>(cache.keys) + first), width(channels) {
        thread_local Lines<Tile> space;
        const size_t most = static_cast<size_t>(BLOCK / 16) * parts;
        if (space.size() < 2 * most) space.resize(2 * most);
        copied = space.data(), values = copied + most;
        auto *row = reinterpret_cast<u16x32 *>(copied);
        for (int at = 16 * whole; at < (count + 15) / 16 * 16; at++)
            for (int part = 0; part < parts; part++) *row++ = channels_of(lying, at, count, 32 * part);
        turn_values(cache, first, count);
    }

    // A tile of keys; its next part is 32 numbers on.
    const uint16_t *key(int tile) const {
        if (tile < whole) return lying + 16 * tile * width;
        return reinterpret_cast<const uint16_t *>(copied + static_cast<size_t>(tile - whole) * parts);
    }
    size_t stride(int tile) const { return tile < whole ? 2 * width : 64 * static_cast<size_t>(parts); }

private:
    void turn_values(const LayerCache &cache, int64_t first, int count) {
        const auto *theirs = static_cast<const uint16_t *>(cache.values) + first;
        const size_t ahead = AHEAD / sizeof *theirs;
        for (int at = 0; at < count; at += 2)
            for (int part = 0; part < parts; part++) {
                const int channel = 32 * part;
                for (int i = 0; i < 2; i++) {
                    __builtin_prefetch(theirs + (at + i) * width + channel + ahead, 0, 2);
                    __builtin_prefetch(lying + (at + i) * width + channel + ahead, 0, 2);
                }
                const u16x32 even = channels_of(theirs, at, count, channel), odd = channels_of(theirs, at + 1, count, channel);
                Tile *to = values + static_cast<size_t>(at / 32) * tiles + 2 * part;
                to[0].of[at % 32 / 2] = (f32x16)__builtin_shufflevector(even, odd, TURNS_FROM(0));
                to[1].of[at % 32 / 2] = (f32x16)__builtin_shufflevector(even, odd, TURNS_FROM(16));
            }
        for (int at = (count + 1) / 2 * 2; at % 32; at += 2)
            for (int tile = 0; tile < tiles; tile++) values[static_cast<size_t>(at / 32) * tiles + tile].of[at % 32 / 2] = f32x16{};
    }

    u16x32 channels_of(const uint16_t *from, int at, int count, int channel) const {
        u16x32 numbers{};
        const int some = at < count ? static_cast<int>(width) - channel : 0;
        if (some >= 32)
            std::memcpy(&numbers, from + at * width + channel, sizeof numbers);
        else
            for (int i = 0; i < some; i++) numbers[i] = from[at * width + channel + i];
        return numbers;
    }
};

// Sixteen queries as right sides: for each part of 32 channels their bfloat16, and those of what these leave.
INLINE void lay_queries(const float *const queries[16], int parts, int width, float scale, Tile *to) {
    for (int part = 0; part < parts; part++, to += 2) {
        for (int i = 0; i < 16; i++) {
            u16x16 near[2], rest[2];
            for (int half = 0; half < 2; half++) {
                const int at = 32 * part + 16 * half;
                const f32x16 query = queries[i] ? load(queries[i] + at, std::min(16, width - at)) * scale : f32x16{};
                near[half] = narrow(query), rest[half] = narrow(query - widen(near[half]));
            }
            std::memcpy(&to[0].of[i], near, sizeof near), std::memcpy(&to[1].of[i], rest, sizeof rest);
        }
        transpose(to[0].of), transpose(to[1].of);
    }
}

// Dots of sixteen queries with `count` tiles of keys.
INLINE void score_tiles(const BlockTiles &block, int count, const Tile *queries, Tile *scores) {
#define PRODUCT(dots, left) \
    if (tile + dots < count) { \
        _tile_loadd(left, key[dots] + 32 * part, stride[dots]); \
        _tile_dpbf16ps(dots, left, 6); \
        _tile_dpbf16ps(dots, left, 7); \
    }
    for (int tile = 0; tile < count; tile += 4) {
        const uint16_t *key[4];
        size_t stride[4];
        for (int i = 0; i < 4; i++) key[i] = block.key(tile + i), stride[i] = block.stride(tile + i);
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int part = 0; part < block.parts; part++) {
            _tile_loadd(6, queries + 2 * part, 64);
            _tile_loadd(7, queries + 2 * part + 1, 64);
            PRODUCT(0, 4) PRODUCT(1, 5) PRODUCT(2, 4) PRODUCT(3, 5)
        }
        _tile_stored(0, scores + tile, 64);
        _tile_stored(1, scores + tile + 1, 64);
        _tile_stored(2, scores + tile + 2, 64);
        _tile_stored(3, scores + tile + 3, 64);
    }
#undef PRODUCT
}

// Sums of values, each times its weight: a row a query, a column a channel.
INLINE void value_tiles(const BlockTiles &block, int count, const Tile *weights, Tile *sums) {
    const int tiles = block.tiles;
#define PRODUCT(dots, right) \
    if (tile + dots < tiles) { \
        _tile_loadd(right, value + dots, 64); \
        _tile_dpbf16ps(dots, 6, right); \
    }
    for (int tile = 0; tile < tiles; tile += 4) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int part = 0; part < count; part++) {
            const Tile *value = block.values + static_cast<size_t>(part) * tiles + tile;
            _tile_loadd(6, weights + part, 64);
            PRODUCT(0, 4) PRODUCT(1, 5) PRODUCT(2, 4) PRODUCT(3, 5)
        }
        _tile_stored(0, sums + tile, 64);
        _tile_stored(1, sums + tile + 1, 64);
        _tile_stored(2, sums + tile + 2, 64);
        _tile_stored(3, sums + tile + 3, 64);
    }
#undef PRODUCT
}

// Scores of sixteen queries, of which each sees `limit` -> weights, those of 32 positions a tile, a row a query; their
// peak and sum.
INLINE void soften_tiles(const Tile *scores, int count, i32x16 limit, Tile *weights, f32x16 *peak, f32x16 *weight) {
    const auto seen = [&](int at) { return limit > at ? scores[at / 16].of[at % 16] : all(-INFINITY); };
    f32x16 most = all(-INFINITY), total[2]{};
    for (int at = 0; at < count; at++) most = larger(seen(at), most);
    for (int at = 0; at < count; at += 2) {
        u32x16 pair[2];
        for (int i = 0; i < 2; i++) {
            pair[i] = (u32x16)exponential(seen(at + i) - most);
            pair[i] = (pair[i] + 0x7fff + ((pair[i] >> 16) & 1)) & 0xffff0000;
            total[i] += (f32x16)pair[i];
        }
        weights[at / 32].of[at % 32 / 2] = (f32x16)(pair[1] | pair[0] >> 16);
        if (at % 32 == 30) transpose(weights[at / 32].of);
    }
    *peak = most, *weight = total[0] + total[1];
}

static void attend_block_tiles(const LayerCache &cache, int64_t base, const Part *const *parts, const float *const *queries,
                               const Result *results, int tokens, const Shape &shape) {
    const int group = shape.heads / shape.kv_heads, width = shape.width, wide = padded(width), rows = tokens * group;
    const auto sees = [&](int row) { return parts[row / group]->end - parts[row / group]->begin; };
    int longest = 0;
    for (int t = 0; t < tokens; t++) longest = std::max(longest, sees(t * group));
    const BlockTiles block(cache, base + static_cast<int64_t>(parts[0]->begin) * width, longest, width);
    thread_local Lines<Tile> space;
    const size_t needed = 2 * block.parts + BLOCK / 16 + BLOCK / 32 + (block.tiles + 3) / 4 * 4;
    if (space.size() < needed) space.resize(needed);
    Tile *query = space.data(), *scores = query + 2 * block.parts, *weights = scores + BLOCK / 16, *sums = weights + BLOCK / 32;
    const TileShapes shapes;
    for (int first = 0; first < rows; first += 16) {
        const int some = std::min(16, rows - first);
        const float *those[16]{};
        i32x16 limit = i32x16{} + 1;  // whatever a missing query sees
        int most = 1;
        for (int i = 0; i < some; i++) {
            const int row = first + i;
            those[i] = queries[row / group] + static_cast<size_t>(row % group) * width;
            limit[i] = sees(row), most = std::max(most, sees(row));
        }
        const int count = (most + 31) / 32 * 32;
        f32x16 peak, weight;
        lay_queries(those, block.parts, width, shape.scale, query);
        asm volatile("" : : : "memory");  // GCC's words for tiles do not say that they read it
        score_tiles(block, (most + 15) / 16, query, scores);
        soften_tiles(scores, count, limit, weights, &peak, &weight);
        asm volatile("" : : : "memory");
        value_tiles(block, count / 32, weights, sums);
        for (int i = 0; i < some; i++) {
            const Result &result = results[(first + i) / group];
            const int head = (first + i) % group;
            result.peak[head] = peak[i], result.weight[head] = weight[i];
            for (int tile = 0; 16 * tile < wide; tile++) store(result.sums + head * wide + 16 * tile, sums[tile].of[i]);
        }
    }
}
#endif
