// AMX: a tile of 16 rows of activations times a packed panel of 16 weights, one group of inputs an instruction.
//
// Both factors are signed, so nothing is offset; the sums are the very integers that the dot products of lanes.h give.
#pragma once

#include "digits.h"
#include "pack.h"

#if defined(__AMX_INT8__) && defined(__AMX_TILE__) && defined(__linux__)
#define TILES 1
#include <sys/syscall.h>
#include <unistd.h>

constexpr int TILE_ROWS = 16;
constexpr int FEWEST_ROWS = 8;  // fewer are as fast as dot products
constexpr int STEP = 8;         // groups of a block, whose part of two panels stays in the nearest cache
constexpr int MOST_ROWS = 256;  // at once: what their sums take stays in the second cache

// Linux gives a process the tiles' registers when it asks; a kernel or a machine below may refuse.
static bool tiles_allowed() {
    static const bool allowed = syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0;
    return allowed;
}

static bool tiles_pay(int rows, const Weight &w) { return rows * w.digits >= FEWEST_ROWS && tiles_allowed(); }

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
        // GCC's words for tiles do not say that they read memory: what was written there must be there.
        asm volatile("" : : "r"(&shapes) : "memory");
        _tile_loadconfig(&shapes);
    }
    ~TileShapes() { _tile_release(); }
    TileShapes(const TileShapes &) = delete;
    TileShapes &operator=(const TileShapes &) = delete;
};

// dots (16 rows, 16 weights) of one group.
INLINE void multiply_tile(const int8_t *rows, const uint8_t *panel, int32_t (*dots)[PANEL]) {
    _tile_zero(0);
    _tile_loadd(1, rows, 64);
    _tile_loadd(2, panel, 64);
    _tile_dpbssd(0, 1, 2);
    _tile_stored(0, dots, 64);
}

// Sums of the groups of one block: STEP groups of sixteen rows of digits times a panel.
struct Sums {
    alignas(64) int32_t of[STEP][TILE_ROWS][PANEL];
};

// A block: sixteen rows of digits, a panel, up to STEP groups. What is needed to add its sums up.
struct Block {
    const float *scales;
    float *totals;  // (16 / DIGITS, 16)
    int count;      // groups
    bool first;     // the totals begin at zero
};

// Adds to totals (rows, 16) the sums of one group, each row times its scale. Unrolled, so that they stay in registers.
template <int DIGITS> INLINE void add_group(const int32_t (*sums)[PANEL], const float *scale, f32x16 *total) {
#pragma GCC unroll 16
    for (int r = 0; r < TILE_ROWS / DIGITS; r++) {
        i32x16 whole, low;
        std::memcpy(&whole, sums[r * DIGITS], sizeof whole);
        if (DIGITS == 2) std::memcpy(&low, sums[r * DIGITS + DIGITS - 1], sizeof low), whole = (whole << 8) + low;
        total[r] = fused(as_float(whole), scale[r], total[r]);
    }
}

// Multiplies one block into `sums` while those of the one before it are added up: a stored tile can be read only some
// time later, and tiles and vectors work at once.
template <int DIGITS>
INLINE void multiply_block(const int8_t *rows, const uint8_t *panel, int count, Sums &sums, const Block &last, const Sums &old) {
    constexpr int ROWS = TILE_ROWS / DIGITS;
    f32x16 total[ROWS];
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) total[r] = last.first ? f32x16{} : load(last.totals + 16 * r);
    const int both = std::min(count, last.count);
    for (int group = 0; group < both; group++) {
        multiply_tile(rows + group * TILE_ROWS * GROUP, panel + group * PANEL * GROUP, sums.of[group]);
        add_group<DIGITS>(old.of[group], last.scales + group * 16, total);
    }
    for (int group = both; group < count; group++) multiply_tile(rows + group * TILE_ROWS * GROUP, panel + group * PANEL * GROUP, sums.of[group]);
    for (int group = both; group < last.count; group++) add_group<DIGITS>(old.of[group], last.scales + group * 16, total);
    if (last.count)
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++) store(last.totals + 16 * r, total[r]);
}

// Packed panels of a weight, and the sums of up to MOST_ROWS rows with each.
struct Panels {
    static constexpr int MOST = 2 * GROUP / PANEL;
    const Weight &w;
    const int groups;
    int count = 0, first[MOST];
    size_t size;
    uint8_t *packed;
    float *totals;

    Panels(const Weight &weight, int groups_of_it) : w(weight), groups(groups_of_it), size(static_cast<size_t>(groups) * PANEL * GROUP) {
        thread_local Lines<uint8_t> bytes;
        thread_local Lines<float> sums(static_cast<size_t>(MOST) * MOST_ROWS * PANEL);
        if (bytes.size() < MOST * size) bytes.resize(MOST * size);
        packed = bytes.data(), totals = sums.data();
    }
    void add(int output) {
        pack(w, output, groups, packed + count * size, 0);
        first[count++] = output;
    }
    float *at(int panel, int row) const { return totals + (static_cast<size_t>(panel) * MOST_ROWS + row) * PANEL; }
    f32x16 total(int panel, int row) const { return load(at(panel, row)); }
};

// Multiplies rows by the panels, and calls finish(begin, end) for some of them at a time while their sums stand in
// `panels`. Two panels' part of some groups waits in the nearest cache while all these rows pass by.
template <int DIGITS, typename Finish> static void for_tiles(const Panels &panels, const Digits &x, int rows, const Finish &finish) {
    constexpr int EACH = TILE_ROWS / DIGITS;
    const TileShapes shapes;
    Sums sums[2];
    for (int from = 0; from < rows; from += MOST_ROWS) {
        const int to = std::min(rows, from + MOST_ROWS);
        int turn = 0;
        Block last{nullptr, nullptr, 0, true};
        for (int begin = 0; begin < x.groups; begin += STEP)
            for (int pair = 0; pair < panels.count; pair += 2)
                for (int row = from; row < to; row += EACH)
                    for (int p = pair; p < std::min(pair + 2, panels.count); p++, turn ^= 1) {
                        const int8_t *a = x.at(row) + static_cast<size_t>(begin) * TILE_ROWS * GROUP;
                        const uint8_t *panel = panels.packed + p * panels.size + static_cast<size_t>(begin) * PANEL * GROUP;
                        const int step = std::min(STEP, x.groups - begin);
                        multiply_block<DIGITS>(a, panel, step, sums[turn], last, sums[turn ^ 1]);
                        last = {&x.scales[x.cell(row, begin)], panels.at(p, row - from), step, begin == 0};
                    }
        multiply_block<DIGITS>(nullptr, nullptr, 0, sums[turn], last, sums[turn ^ 1]);
        finish(from, to);
    }
}
#else
static bool tiles_pay(int, const Weight &) { return false; }
#endif
