// A panel of a weight, sixteen of its rows, packed so that quads of inputs of all of them lie side by side.
#pragma once

#include "digits.h"

#if WIDE
INLINE __m512i some_bytes(const int8_t *from, int count) {
    if (count >= 64) return _mm512_loadu_si512(from);
    return _mm512_maskz_loadu_epi8(count <= 0 ? 0 : (~0ull >> (64 - count)), from);
}

// (16 rows, one group) -> quads side by side.
INLINE void pack_group(const int8_t *const rows[PANEL], int at, int left, uint8_t *to) {
    const __m512i offset = _mm512_set1_epi8(-128);  // 128 more, as xor
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i++) a[i] = _mm512_xor_si512(some_bytes(rows[i] + at, left), offset);
    for (int i = 0; i < 8; i++) {
        b[2 * i] = _mm512_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm512_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++) {  // a[4 * i + c]: rows 4 * i to 4 * i + 3, quad c of each 128 bits
        a[4 * i] = _mm512_unpacklo_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 1] = _mm512_unpackhi_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 2] = _mm512_unpacklo_epi64(b[4 * i + 1], b[4 * i + 3]);
        a[4 * i + 3] = _mm512_unpackhi_epi64(b[4 * i + 1], b[4 * i + 3]);
    }
    for (int c = 0; c < 4; c++) {
        const __m512i even01 = _mm512_shuffle_i32x4(a[c], a[4 + c], 0x88), odd01 = _mm512_shuffle_i32x4(a[c], a[4 + c], 0xdd);
        const __m512i even23 = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0x88), odd23 = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0xdd);
        _mm512_storeu_si512(to + 64 * c, _mm512_shuffle_i32x4(even01, even23, 0x88));
        _mm512_storeu_si512(to + 64 * (8 + c), _mm512_shuffle_i32x4(even01, even23, 0xdd));
        _mm512_storeu_si512(to + 64 * (4 + c), _mm512_shuffle_i32x4(odd01, odd23, 0x88));
        _mm512_storeu_si512(to + 64 * (12 + c), _mm512_shuffle_i32x4(odd01, odd23, 0xdd));
    }
}
#elif HALVES
INLINE __m256i some_bytes(const int8_t *from, int count) {
    if (count >= 32) return _mm256_loadu_si256((const __m256i *)from);
    alignas(32) int8_t some[32] = {};
    if (count > 0) std::memcpy(some, from, static_cast<size_t>(count));
    return _mm256_load_si256((const __m256i *)some);
}

// Eight rows of eight quads -> quads side by side, 64 bytes apart.
INLINE void pack_eight(const int8_t *const *rows, int at, int left, uint8_t *to) {
    __m256i a[8], b[8];
    for (int i = 0; i < 8; i++) a[i] = _mm256_xor_si256(some_bytes(rows[i] + at, left), _mm256_set1_epi8(static_cast<int8_t>(OFFSET)));
    for (int i = 0; i < 4; i++) {
        b[2 * i] = _mm256_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm256_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {  // a[4 * i + c]: rows 4 * i to 4 * i + 3, quad c of each 128 bits
        a[4 * i] = _mm256_unpacklo_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 1] = _mm256_unpackhi_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 2] = _mm256_unpacklo_epi64(b[4 * i + 1], b[4 * i + 3]);
        a[4 * i + 3] = _mm256_unpackhi_epi64(b[4 * i + 1], b[4 * i + 3]);
    }
    for (int c = 0; c < 4; c++) {
        _mm256_storeu_si256((__m256i *)(to + 64 * c), _mm256_permute2x128_si256(a[c], a[4 + c], 0x20));
        _mm256_storeu_si256((__m256i *)(to + 64 * (4 + c)), _mm256_permute2x128_si256(a[c], a[4 + c], 0x31));
    }
}

INLINE void pack_group(const int8_t *const rows[PANEL], int at, int left, uint8_t *to) {
    for (int half = 0; half < 2; half++) {
        pack_eight(rows, at + 32 * half, left - 32 * half, to + 8 * 64 * half);
        pack_eight(rows + 8, at + 32 * half, left - 32 * half, to + 8 * 64 * half + 32);
    }
}
#else
INLINE void pack_group(const int8_t *const rows[PANEL], int at, int left, uint8_t *to) {
    if (left < GROUP) std::memset(to, 0, PANEL * GROUP);
    const int bytes = std::min(left, GROUP);
    for (int row = 0; row < PANEL; row++) {
        const int8_t *from = rows[row] + at;
        int quad = 0;
        for (; 4 * quad + 4 <= bytes; quad++) std::memcpy(to + 64 * quad + 4 * row, from + 4 * quad, 4);
        if (4 * quad < bytes) std::memcpy(to + 64 * quad + 4 * row, from + 4 * quad, static_cast<size_t>(bytes - 4 * quad));
    }
}
#endif

// Sixteen rows of a weight from `first` on, the last one in place of those that are missing.
struct PanelRows {
    const int8_t *of[PANEL];
    PanelRows(const Weight &w, int first) {
        const int last = w.outputs - 1;
        for (int i = 0; i < PANEL; i++) of[i] = w.values + static_cast<size_t>(std::min(first + i, last)) * w.inputs;
    }
};

static void pack(const Weight &w, int first, int groups, uint8_t *to) {
    const PanelRows rows(w, first);
    const size_t ahead = 2 * static_cast<size_t>(PANEL) * w.inputs;  // what the next pair of panels is made of
    for (int group = 0; group < groups; group++, to += PANEL * GROUP) {
        const int8_t *next = rows.of[0] + ahead + static_cast<size_t>(group) * PANEL * GROUP;
        __builtin_prefetch(next + PAGE_AHEAD, 0, 2);
        for (int i = 0; i < PANEL; i++) __builtin_prefetch(next + GROUP * i, 0, 2);
        pack_group(rows.of, group * GROUP, w.inputs - group * GROUP, to);
    }
}

#if WIDE
// The same as it is, group by group: each is a tile of AMX. `ahead`: how many outputs further on to fetch meanwhile.
static void copy_panel(const Weight &w, int first, int groups, int8_t *to, int ahead) {
    const PanelRows rows(w, first);
    const size_t next = static_cast<size_t>(ahead) * w.inputs;
    for (int at = 0; at < groups * GROUP; at += GROUP)
        for (int i = 0; i < PANEL; i++, to += GROUP) {
            if (ahead) __builtin_prefetch(rows.of[i] + at + next, 0, 2);
            _mm512_store_si512(to, some_bytes(rows.of[i] + at, w.inputs - at));
        }
}
#endif
