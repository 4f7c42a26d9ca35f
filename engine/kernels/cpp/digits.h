// A weight, and what it meets: activations as one or two int8 digits with a scale for each GROUP inputs.
#pragma once

#include <algorithm>

#include "lanes.h"

constexpr int GROUP = 64;
constexpr int PANEL = 16;  // rows of a weight computed side by side

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
    int each;                // rows that lie side by side, group by group: as a tile holds them, or one
    Lines<int8_t> values;    // (rows / each, groups, each, digits, GROUP), zeros at the end
    Lines<float> scales;     // (rows / 16, groups, 16)
    Lines<int32_t> offsets;  // (rows / 16, groups, 16): -OFFSET * the sum of the group's digits, firsts 256 times

    size_t cell(int row, int group) const { return (static_cast<size_t>(row / 16) * groups + group) * 16 + row % 16; }
    size_t place(int row) const { return (static_cast<size_t>(row / each) * groups * each + row % each) * digits * GROUP; }
    // A row's digits of its first group, those of the second after them; `step` bytes on are those of the next group.
    const int8_t *at(int row) const { return &values[place(row)]; }
    size_t step() const { return static_cast<size_t>(each) * digits * GROUP; }

    // Whole tiles of rows: what stands in those that are not set does not matter.
    void reserve(int rows, const Weight &w, bool tiles) {
        groups = groups_of(w.inputs), digits = w.digits, each = tiles ? 16 / digits : 1;
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
        const float steps = digits == 1 ? 127.0f : 127.0f * 256;
        const float most = std::max(largest(peak), 1e-30f), inverse = steps / most;
        int8_t *to = &values[place(row) + group * step()];
        i32x16 total{};
        for (int i = 0; i < 4; i++) {
            i32x16 digit = nearest(part[i], inverse);
            total += digit;
            if (digits == 2) {
                const i32x16 first = (digit + 128) >> 8;
                write(to + GROUP + 16 * i, digit - (first << 8));
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
