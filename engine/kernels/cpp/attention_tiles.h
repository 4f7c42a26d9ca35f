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

struct Tile {
    f32x16 of[16];  // sixteen rows of 64 bytes
};

// One block of a cache as the left sides of products: keys (tiles of 16, parts of 32 channels), and values, turned
// (parts of 32 positions, tiles of 16 channels). Zeros stand where nothing is.
struct BlockTiles {
    int parts, tiles;  // of channels: 32 a part, 16 a tile
    Tile *keys, *values;

    BlockTiles(const LayerCache &cache, int64_t first, int count, int width) : parts((width + 31) / 32), tiles((width + 15) / 16) {
        thread_local Lines<Tile> space;
        const size_t most = static_cast<size_t>(BLOCK / 16) * parts;
        if (space.size() < 2 * most) space.resize(2 * most);
        keys = space.data(), values = keys + most;
        const auto *ours = static_cast<const uint16_t *>(cache.keys) + first, *theirs = static_cast<const uint16_t *>(cache.values) + first;
        const auto numbers = [&](const uint16_t *from, int at, int channel) {
            const int some = at < count ? std::min(16, width - channel) : 0;
            return load(from + static_cast<size_t>(at) * width + channel, some);
        };
        for (int at = 0; at < (count + 31) / 32 * 32; at++)
            for (int part = 0; part < parts; part++) {
                const u16x16 both[2] = {numbers(ours, at, 32 * part), numbers(ours, at, 32 * part + 16)};
                std::memcpy(&keys[at / 16 * parts + part].of[at % 16], both, sizeof both);
            }
        for (int at = 0; at < count; at += 32)
            for (int tile = 0; tile < tiles; tile++) {
                Tile &to = values[at / 32 * tiles + tile];
                for (int i = 0; i < 16; i++) {
                    const u16x16 even = numbers(theirs, at + 2 * i, 16 * tile), odd = numbers(theirs, at + 2 * i + 1, 16 * tile);
                    to.of[i] = (f32x16)(__builtin_convertvector(even, u32x16) | __builtin_convertvector(odd, u32x16) << 16);
                }
                transpose(to.of);
            }
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
    const int parts = block.parts;
#define PRODUCT(dots, left) \
    if (tile + dots < count) { \
        _tile_loadd(left, key + dots * parts, 64); \
        _tile_dpbf16ps(dots, left, 6); \
        _tile_dpbf16ps(dots, left, 7); \
    }
    for (int tile = 0; tile < count; tile += 4) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int part = 0; part < parts; part++) {
            const Tile *key = block.keys + static_cast<size_t>(tile) * parts + part;
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

// Sums of values, each times its weight: a row a channel, a column a query.
INLINE void value_tiles(const BlockTiles &block, int count, const Tile *weights, Tile *sums) {
    const int tiles = block.tiles;
#define PRODUCT(dots, left) \
    if (tile + dots < tiles) { \
        _tile_loadd(left, value + dots, 64); \
        _tile_dpbf16ps(dots, left, 6); \
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

// Scores of sixteen queries, of which each sees `limit` -> weights, pairs of them side by side, their peak and sum.
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
        score_tiles(block, count / 16, query, scores);
        soften_tiles(scores, count, limit, weights, &peak, &weight);
        asm volatile("" : : : "memory");
        value_tiles(block, count / 32, weights, sums);
        for (int tile = 0; tile < block.tiles; tile++) transpose(sums[tile].of);
        for (int i = 0; i < some; i++) {
            const Result &result = results[(first + i) / group];
            const int head = (first + i) % group;
            result.peak[head] = peak[i], result.weight[head] = weight[i];
            for (int tile = 0; tile < block.tiles; tile++) store(result.sums + head * wide + 16 * tile, sums[tile].of[i]);
        }
    }
}
#endif
