// AMX: sixteen rows of a weight times sixteen rows of digits, one group of inputs an instruction.
//
// Both factors are signed, so nothing is offset; the sums are the very integers that the dot products of lanes.h give.
// Those of a weight lie side by side, one for each row of digits: so do the digits' scales, and so will what comes next.
#pragma once

#include "digits.h"
#include "pack.h"
#include "pool.h"

#if defined(__AMX_INT8__) && defined(__AMX_TILE__) && defined(__linux__)
#define TILES 1
#include <sys/syscall.h>
#include <unistd.h>

constexpr int FEWEST_ROWS = 2;    // one alone is faster as dot products
constexpr int STEP = 16;          // tiles of a block, whose digits and panel stay in the nearest cache
constexpr int AT_ONCE = 5 << 18;  // bytes of digits that stay in the second cache while the panels pass by

// Linux gives a process the tiles' registers when it asks; a kernel or a machine below may refuse.
static bool tiles_allowed() {
    static const bool allowed = syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0;
    return allowed;
}

static bool tiles_pay(int rows) { return rows >= FEWEST_ROWS && tiles_allowed(); }

// The shapes of the tiles, set while this lives: 16 rows of 64 bytes each. Other libraries set their own.
class TileShapes {
public:
    TileShapes() {
        struct alignas(64) {
            uint8_t palette = 1, start = 0, reserved[14] = {};
            uint16_t bytes[16] = {};
            uint8_t rows[16] = {};
        } shapes;
        for (int tile = 0; tile < 8; tile++) shapes.bytes[tile] = 64, shapes.rows[tile] = 16;
        // GCC's words for tiles do not say that they read memory: what was written there must be there.
        asm volatile("" : : "r"(&shapes) : "memory");
        _tile_loadconfig(&shapes);
    }
    ~TileShapes() { _tile_release(); }
    TileShapes(const TileShapes &) = delete;
    TileShapes &operator=(const TileShapes &) = delete;
};

// Sums of sixteen rows of a weight, each with those of as many rows of digits.
struct Sums {
    f32x16 of[PANEL];
};

// Sixteen rows of a weight as tiles are loaded from it: from where they lie, or from a copy, group by group.
struct Panel {
    const int8_t *at;
    size_t stride, step;  // from a row to the next, from a group to the next
    const int8_t *next;   // null, or what comes after: it is fetched meanwhile, in the order in which it lies

    void fetch(int group) const {
        if (!next) return;
        const int8_t *from = next + static_cast<size_t>(group) * PANEL * GROUP;
        __builtin_prefetch(from + PAGE_AHEAD, 0, 2);
        for (int i = 0; i < PANEL; i++) __builtin_prefetch(from + GROUP * i, 0, 2);
    }
    Panel from(int group) const { return {at + group * step, stride, step, next ? next + static_cast<size_t>(group) * PANEL * GROUP : nullptr}; }
};

// Four tiles of dots take turns: one is multiplied while another is stored and a third's numbers are added up. A group
// has one of them, or one for each of its two digits.
typedef int32_t Dots[4][PANEL][16];

template <int DOTS> INLINE void multiply_tile(const int8_t *panel, size_t stride, const int8_t *digits) {
#define PRODUCT(dots, left, right) \
    if constexpr (DOTS == dots) { \
        _tile_zero(dots); \
        _tile_loadd(left, panel, stride); \
        _tile_loadd(right, digits, 64); \
        _tile_dpbssd(dots, left, right); \
    }
    PRODUCT(0, 4, 6) PRODUCT(1, 5, 7) PRODUCT(2, 4, 6) PRODUCT(3, 5, 7)
#undef PRODUCT
}

template <int DOTS> INLINE void store_tile(Dots &to) {
    if constexpr (DOTS == 0) _tile_stored(0, to[0], 64);
    if constexpr (DOTS == 1) _tile_stored(1, to[1], 64);
    if constexpr (DOTS == 2) _tile_stored(2, to[2], 64);
    if constexpr (DOTS == 3) _tile_stored(3, to[3], 64);
}

// Takes up a group where there is one, stores the one that had this turn before, and adds up what was stored the turn
// before: what is loaded while it is on its way to the cache waits for it.
template <int TURN, int DIGITS> INLINE void take_turn(const Panel &panel, const int8_t *digits, const float *scales, int group, int count, Dots &dots, f32x16 *total) {
    constexpr int TURNS = 4 / DIGITS, FIRST = TURN * DIGITS, SECOND = FIRST + DIGITS - 1;
    constexpr int BEFORE = (TURN + TURNS - 1) % TURNS * DIGITS, LOW = BEFORE + DIGITS - 1;
    const int old = group - TURNS, stored = old - 1;
    if (old >= 0 && old < count) {
        store_tile<FIRST>(dots);
        if (DIGITS == 2) store_tile<SECOND>(dots);
    }
    if (group < count) {
        const int8_t *left = panel.at + group * panel.step, *right = digits + group * DIGITS * 16 * GROUP;
        panel.fetch(group);
        multiply_tile<FIRST>(left, panel.stride, right);
        if (DIGITS == 2) multiply_tile<SECOND>(left, panel.stride, right + 16 * GROUP);
    }
    if (stored < 0 || stored >= count) return;
    const f32x16 scale = load(scales + 16 * stored);
#pragma GCC unroll 16
    for (int r = 0; r < PANEL; r++) {
        i32x16 whole, low;
        std::memcpy(&whole, dots[BEFORE][r], sizeof whole);
        if (DIGITS == 2) std::memcpy(&low, dots[LOW][r], sizeof low), whole = (whole << 8) + low;
        total[r] = fused(as_float(whole), scale, total[r]);
    }
}

// Adds the products of some groups to the sums, which begin at zero with the first of them.
template <int DIGITS> static void multiply_block(const Panel &panel, const int8_t *digits, const float *scales, int count, bool first, Sums &sums) {
    constexpr int TURNS = 4 / DIGITS;
    alignas(64) Dots dots;
    f32x16 total[PANEL];
#pragma GCC unroll 16
    for (int r = 0; r < PANEL; r++) total[r] = first ? f32x16{} : sums.of[r];
    for (int group = 0; group < count + TURNS + 1; group += TURNS) {
        take_turn<0, DIGITS>(panel, digits, scales, group, count, dots, total);
        take_turn<1, DIGITS>(panel, digits, scales, group + 1, count, dots, total);
        if constexpr (TURNS == 4) {
            take_turn<2, DIGITS>(panel, digits, scales, group + 2, count, dots, total);
            take_turn<3, DIGITS>(panel, digits, scales, group + 3, count, dots, total);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < PANEL; r++) sums.of[r] = total[r];
}

// Two panels of a weight. Where many rows pass by they are copied, so that each group of each lies side by side; for a
// single tile of rows whole ones stay where they are.
struct Pair {
    const Weight &w;
    const int first[2], groups, ahead;  // first outputs; how many outputs further on those of the next pair are
    Panel panel[2];

    Pair(const Weight &weight, int one, int other, int next, int rows) : w(weight), first{one, other}, groups(groups_of(weight.inputs)), ahead(next) {
        thread_local Lines<int8_t> bytes;
        const size_t size = static_cast<size_t>(groups) * PANEL * GROUP, inputs = w.inputs;
        for (int p = 0; p < 2; p++) {
            if (few(rows) && some(p) == PANEL && inputs % GROUP == 0) {
                panel[p] = {w.values + first[p] * inputs, inputs, GROUP, w.values + (first[p] + ahead) * inputs};
                continue;
            }
            if (bytes.size() < 2 * size) bytes.resize(2 * size);
            int8_t *copy = bytes.data() + p * size;
            if (some(p) > 0) copy_panel(w, first[p], groups, copy, few(rows) ? ahead : 0);
            panel[p] = {copy, GROUP, PANEL * GROUP, nullptr};
        }
    }
    int some(int p) const { return std::min(PANEL, w.outputs - first[p]); }  // outputs that there are

    // What will be copied next is fetched while many rows pass by, one group's part at a time; with few it is while
    // this is multiplied or, where it must be, copied.
    void fetch(int p, int group) const {
        const int8_t *from = w.values + static_cast<size_t>(first[p] + ahead) * w.inputs + static_cast<size_t>(group) * GROUP;
        for (int i = 0; i < PANEL; i++) __builtin_prefetch(from + static_cast<size_t>(i) * w.inputs, 0, 2);
    }
};

// Multiplies rows of digits by two panels, and calls finish(row, sums of each panel) for sixteen of them at a time. Some
// groups of the panels stay in the nearest cache while all these rows pass by.
template <int DIGITS, typename Finish> static void for_tiles(const Pair &pair, const Digits &x, int begin, int end, const Finish &finish) {
    constexpr int EACH = STEP / DIGITS;
    thread_local Lines<Sums> kept;
    const int tiles = (end - begin + 15) / 16;
    if (kept.size() < 2 * static_cast<size_t>(tiles)) kept.resize(2 * static_cast<size_t>(tiles));
    for (int group = 0; group < x.groups; group += EACH) {
        const int count = std::min(EACH, x.groups - group), share = tiles > 1 ? (count + tiles - 1) / tiles : 0;
        for (int tile = 0; tile < tiles; tile++) {
            const int row = begin + 16 * tile;
            Sums *sums = &kept[2 * static_cast<size_t>(tile)];
            for (int p = 0; p < 2 && pair.some(p) > 0; p++) {
                for (int i = tile * share; i < std::min(count, (tile + 1) * share); i++) pair.fetch(p, group + i);
                multiply_block<DIGITS>(pair.panel[p].from(group), &x.values[x.tile(row, group)],
                                       &x.scales[x.cell(row, group)], count, group == 0, sums[p]);
            }
            if (group + count == x.groups) finish(row, sums);
        }
    }
}

// y (rows, outputs) = x times two panels of the weight, plus the bias.
template <int DIGITS> static void tiles_of_pair(const Weight &w, int first, const Digits &x, int begin, int end, float *y) {
    const Pair pair(w, first, first + PANEL, 2 * PANEL, end - begin);
    for_tiles<DIGITS>(pair, x, begin, end, [&](int row, Sums *sums) {
        for (int p = 0; p < 2 && pair.some(p) > 0; p++) {
            const int at = pair.first[p], some = pair.some(p);
            transpose(sums[p].of);
            for (int r = 0; r < std::min(16, end - row); r++)
                store(y + static_cast<size_t>(row + r) * w.outputs + at, scaled(w, at, some, sums[p].of[r]), some);
        }
    });
}

// One group of the digits of gate(x times the upper half of a weight) * (x times the lower): what lies between two
// products is never written out.
template <int DIGITS, typename Gate> static void gated_tiles(const Weight &w, int group, const Digits &x, int begin, int end, Digits &y, const Gate &gate) {
    struct Whole {
        f32x16 of[GROUP];
    };
    thread_local Lines<Whole> kept;
    const int middle = w.outputs / 2, first = group * GROUP, count = std::min(middle - first, GROUP);
    kept.assign((end - begin + 15) / 16, Whole{});
    const auto output = [&](int at, const f32x16 &sum) { return fused(sum, all(w.scales[at]), all(w.bias ? w.bias[at] : 0.0f)); };
    for (int part = 0; part < count; part += PANEL) {
        const int upper = first + part, lower = middle + upper;
        for_tiles<DIGITS>(Pair(w, upper, lower, PANEL, end - begin), x, begin, end, [&](int row, const Sums *sums) {
            f32x16 *to = kept[(row - begin) / 16].of + part;
            for (int i = 0; i < std::min(PANEL, count - part); i++) to[i] = gate(output(upper + i, sums[0].of[i])) * output(lower + i, sums[1].of[i]);
        });
    }
    for (int row = begin; row < end; row += 16) y.set_tile(row, group, kept[(row - begin) / 16].of);
}

// Calls work(task, first row, one more than the last) for so many tasks of all rows, or of as many as stay near.
template <typename Work> static void for_chunks(const Digits &x, int rows, int tasks, int threads, const Work &work) {
    const size_t bytes = static_cast<size_t>(rows) * x.groups * x.step();
    const int chunks = static_cast<int>((bytes + AT_ONCE - 1) / AT_ONCE), each = ((rows + chunks - 1) / chunks + 15) / 16 * 16;
    parallel(threads, chunks * tasks, [&](int number) {
        const int begin = number / tasks * each;
        if (begin < rows) work(number % tasks, begin, std::min(rows, begin + each));
    });
}

template <int DIGITS> static void multiply_tiles(const Weight &w, const Digits &x, int rows, float *y, int threads) {
    const int pairs = (w.outputs + 2 * PANEL - 1) / (2 * PANEL), each = pairs_of_task(w, rows);
    for_chunks(x, rows, (pairs + each - 1) / each, threads, [&](int task, int begin, int end) {
        const TileShapes shapes;
        for (int pair = task * each; pair < std::min(pairs, (task + 1) * each); pair++) tiles_of_pair<DIGITS>(w, pair * 2 * PANEL, x, begin, end, y);
    });
}

template <int DIGITS, typename Gate> static void multiply_gated_tiles(const Weight &w, const Digits &x, int rows, Digits &y, const Gate &gate, int threads) {
    for_chunks(x, rows, y.groups, threads, [&](int group, int begin, int end) {
        const TileShapes shapes;
        gated_tiles<DIGITS>(w, group, x, begin, end, y, gate);
    });
}
#else
static bool tiles_pay(int) { return false; }
#endif
