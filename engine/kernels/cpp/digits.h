// A weight, and what it meets: activations as one or two int8 digits with a scale for each GROUP inputs.
#pragma once

#include <algorithm>

#include "lanes.h"

constexpr int GROUP = 64;
constexpr int PANEL = 16;  // rows of a weight computed side by side
// How far before its numbers a page is touched. Where it lies takes as long to look up as a number to arrive, and all
// that is fetched from it waits meanwhile: a tenth of the time of a product that reads its weight once.
constexpr int PAGE_AHEAD = 16384;

struct Weight {
    const int8_t *values;  // (outputs, inputs)
    const float *scales;   // (outputs,)
    const float *bias;     // (outputs,) or null
    int32_t outputs, inputs, digits;
};

// So few rows, a single tile of them, wait for the weights: those are used where they lie, and what comes next is fetched
// meanwhile. `engine.fused.FEW` is as many.
static bool few(int rows) { return rows <= 16; }

// Few rows: tasks of some 64 kB, long enough to be worth taking, short enough that no thread waits for another.
static int pairs_of_task(const Weight &w, int rows) { return !few(rows) ? 1 : std::max(1, 65536 / (2 * PANEL * w.inputs)); }

static int groups_of(int inputs) { return (inputs + GROUP - 1) / GROUP; }

// Quantized activations of some rows: x = scale of its group * digit, or * (256 * first digit + second digit). They lie
// row by row, or as a tile of AMX takes them: sixteen rows side by side, four inputs of each in turn.
struct Digits {
    int groups, digits;
    bool tiled;
    Lines<int8_t> values;    // (rows, groups, digits, GROUP) or (rows / 16, groups, digits, GROUP / 4, 16, 4), zeros at the end
    Lines<float> scales;     // (rows / 16, groups, 16)
    Lines<int32_t> offsets;  // (rows / 16, groups, 16): -OFFSET * the sum of the group's digits, firsts 256 times; not of tiles

    size_t cell(int row, int group) const { return (static_cast<size_t>(row / 16) * groups + group) * 16 + row % 16; }
    // A row's digits of its first group, those of the second after them; `step` bytes on are those of the next group.
    const int8_t *at(int row) const { return &values[static_cast<size_t>(row) * groups * step()]; }
    size_t step() const { return static_cast<size_t>(digits) * GROUP; }
    // The same of the sixteen rows from `row` on, where they are tiled: those of the second 16 * GROUP bytes on.
    size_t tile(int row, int group) const { return (static_cast<size_t>(row / 16) * groups + group) * 16 * step(); }

    // Whole tiles of rows: what stands in those that are not set does not matter.
    void reserve(int rows, const Weight &w, bool tiles) {
        groups = groups_of(w.inputs), digits = w.digits, tiled = tiles;
        const size_t cells = static_cast<size_t>((rows + 15) / 16 * 16) * groups;
        if (values.size() < cells * GROUP * digits) values.resize(cells * GROUP * digits);
        if (scales.size() < cells) scales.resize(cells), offsets.resize(cells);
    }

    void set(int row, const float *x, int inputs) {
        for (int group = 0; group < groups; group++) {
            const int left = inputs - group * GROUP;
            f32x16 part[4];
            for (int i = 0; i < 4; i++) part[i] = load(x + group * GROUP + 16 * i, std::max(0, std::min(16, left - 16 * i)));
            set(row, group, part);
        }
    }

    void set(int row, int group, const f32x16 part[4]) {
        f32x16 peak{};
        for (int i = 0; i < 4; i++) peak = larger(peak, magnitude(part[i]));
        const float most = std::max(largest(peak), SMALLEST), inverse = steps() / most;
        int8_t one[2 * GROUP];
        i32x16 total{};
        for (int i = 0; i < 4; i++) {
            i32x16 digit = nearest(part[i], all(inverse));
            total += digit;
            if (digits == 2) {
                const i32x16 first = first_of_two(digit);
                write(one + GROUP + 16 * i, digit - (first << 8));
                digit = first;
            }
            write(one + 16 * i, digit);
        }
        scales[cell(row, group)] = most / steps();
        if (tiled) {
            int8_t *to = &values[tile(row, group)] + row % 16 * 4;
            for (int quad = 0; quad < digits * GROUP / 4; quad++) std::memcpy(to + 64 * quad, one + 4 * quad, 4);
            return;
        }
        std::memcpy(&values[static_cast<size_t>(row) * groups * step() + group * step()], one, step());
        int32_t lanes[16], whole = 0;
        std::memcpy(lanes, &total, sizeof lanes);
        for (int lane : lanes) whole += lane;
        offsets[cell(row, group)] = -OFFSET * whole;
    }

    // One group of the sixteen rows from `row` on, side by side: what `set` gives each.
    void set_tile(int row, int group, const f32x16 x[GROUP]) {
        f32x16 most = all(SMALLEST);
        for (int i = 0; i < GROUP; i++) most = larger(magnitude(x[i]), most);
        const f32x16 inverse = steps() / most;
        int8_t *to = &values[tile(row, group)];
        for (int quad = 0; quad < GROUP / 4; quad++, to += 64) {
            i32x16 high{}, low{};
            for (int i = 0; i < 4; i++) {
                i32x16 digit = nearest(x[4 * quad + i], inverse);
                if (digits == 2) {
                    const i32x16 first = first_of_two(digit);
                    low |= ((digit - (first << 8)) & 255) << 8 * i;
                    digit = first;
                }
                high |= (digit & 255) << 8 * i;
            }
            std::memcpy(to, &high, 64);
            if (digits == 2) std::memcpy(to + 16 * GROUP, &low, 64);
        }
        store(&scales[cell(row, group)], most / steps());
    }

private:
    static constexpr float SMALLEST = 1e-30f;
    float steps() const { return digits == 1 ? 127.0f : 127.0f * 256; }
    static i32x16 first_of_two(i32x16 digit) { return (digit + 128) >> 8; }

    static void write(int8_t *to, i32x16 digit) {
        const i8x16 bytes = __builtin_convertvector(digit, i8x16);
        std::memcpy(to, &bytes, 16);
    }
};

// Sums of digits -> outputs `first` to `first + count`.
INLINE f32x16 scaled(const Weight &w, int first, int count, f32x16 total) {
    const f32x16 bias = w.bias ? load(w.bias + first, count) : f32x16{};
    return fused(total, load(w.scales + first, count), bias);
}
