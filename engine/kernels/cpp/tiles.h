// AMX: a tile of 16 rows of activations times a packed panel of 16 weights, one group of inputs an instruction.
//
// Both factors are signed, so nothing is offset; the sums are the very integers that the dot products of lanes.h give.
#pragma once

#if defined(__AMX_INT8__) && defined(__AMX_TILE__) && defined(__linux__)
#define TILES 1
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

constexpr int TILE_ROWS = 16;
constexpr int FEWEST_ROWS = 8;  // fewer are as fast as dot products
constexpr int LAG = 4;          // groups between a product and its sum: a stored tile can be read only some time later

// Linux gives a process the tiles' registers when it asks; a kernel or a machine below may refuse.
static bool tiles_allowed() {
    static const bool allowed = syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0;
    return allowed;
}

// The shapes of the tiles, set while this lives: 16 rows of 64 bytes each. Other libraries set their own.
class TileShapes {
public:
    TileShapes() {
        struct alignas(64) {
            uint8_t palette = 1, start = 0, reserved[14] = {};
            uint16_t bytes[16] = {};
            uint8_t rows[16] = {};
        } shapes;
        for (int tile = 0; tile < 3; tile++) shapes.bytes[tile] = 64, shapes.rows[tile] = TILE_ROWS;
        _tile_loadconfig(&shapes);
    }
    ~TileShapes() { _tile_release(); }
    TileShapes(const TileShapes &) = delete;
    TileShapes &operator=(const TileShapes &) = delete;
};

// dots (16 rows, 16 weights) of one group.
INLINE void multiply_tile(const int8_t *rows, size_t stride, const uint8_t *panel, int32_t dots[16][16]) {
    _tile_zero(0);
    _tile_loadd(1, rows, stride);
    _tile_loadd(2, panel, 64);
    _tile_dpbssd(0, 1, 2);
    _tile_stored(0, dots, 64);
}
#endif
