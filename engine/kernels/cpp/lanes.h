// Sixteen numbers at a time: vector types that every compiler lowers to what the machine has, and the int8 dot product
// in the words of each instruction set.
//
// All ways give the same integers, floats are added in the same order, and where a product and a sum are rounded as one
// is said (`fused`): results do not depend on the machine's vectors, on the compiler's choices, nor on how many rows are
// computed together.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

typedef float f32x16 __attribute__((vector_size(64)));
typedef int32_t i32x16 __attribute__((vector_size(64)));
typedef int8_t i8x16 __attribute__((vector_size(16)));
typedef uint16_t u16x16 __attribute__((vector_size(32)));
#define INLINE static inline __attribute__((always_inline))

// Numbers that begin at a line of the cache: what is read 64 bytes at a time must not cross two.
template <typename T> struct AtLine {
    using value_type = T;
    static constexpr std::align_val_t LINE{64};
    AtLine() = default;
    template <typename U> AtLine(const AtLine<U> &) {}
    T *allocate(size_t count) { return static_cast<T *>(::operator new(count * sizeof(T), LINE)); }
    void deallocate(T *from, size_t) { ::operator delete(from, LINE); }
    bool operator==(const AtLine &) const { return true; }
};
template <typename T> using Lines = std::vector<T, AtLine<T>>;

INLINE f32x16 all(float value) { return value - f32x16{}; }

// a * b + c, rounded once where the machine can. Nothing else is: a compiler that may join products and sums does so in
// one loop and not in another, and a row alone would differ from the same row among others.
INLINE float fused(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}
INLINE f32x16 fused(f32x16 a, f32x16 b, f32x16 c) {
#if defined(__AVX512F__)
    return (f32x16)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    __m256 x[2], y[2], z[2];
    std::memcpy(x, &a, sizeof x), std::memcpy(y, &b, sizeof y), std::memcpy(z, &c, sizeof z);
    z[0] = _mm256_fmadd_ps(x[0], y[0], z[0]), z[1] = _mm256_fmadd_ps(x[1], y[1], z[1]);
    std::memcpy(&c, z, sizeof z);
    return c;
#elif defined(__aarch64__)
    float32x4_t x[4], y[4], z[4];
    std::memcpy(x, &a, sizeof x), std::memcpy(y, &b, sizeof y), std::memcpy(z, &c, sizeof z);
    for (int i = 0; i < 4; i++) z[i] = vfmaq_f32(z[i], x[i], y[i]);
    std::memcpy(&c, z, sizeof z);
    return c;
#else
    return a * b + c;
#endif
}
INLINE f32x16 fused(f32x16 a, float b, f32x16 c) { return fused(a, all(b), c); }
INLINE f32x16 fused(f32x16 a, f32x16 b, float c) { return fused(a, b, all(c)); }
INLINE f32x16 load(const float *from) {
    f32x16 v;
    std::memcpy(&v, from, sizeof v);
    return v;
}
INLINE void store(float *to, f32x16 v) { std::memcpy(to, &v, sizeof v); }
// The first `count` of 16, zeros after them; a copy of unknown length would be a call.
INLINE f32x16 load(const float *from, int count) {
    if (count >= 16) return load(from);
    f32x16 v{};
    for (int i = 0; i < count; i++) v[i] = from[i];
    return v;
}
INLINE void store(float *to, f32x16 v, int count) {
    if (count >= 16) return store(to, v);
    for (int i = 0; i < count; i++) to[i] = v[i];
}
INLINE u16x16 load(const uint16_t *from, int count) {
    u16x16 v{};
    if (count >= 16)
        std::memcpy(&v, from, sizeof v);
    else
        for (int i = 0; i < count; i++) v[i] = from[i];
    return v;
}
INLINE void store(uint16_t *to, u16x16 v, int count) {
    if (count >= 16)
        std::memcpy(to, &v, sizeof v);
    else
        for (int i = 0; i < count; i++) to[i] = v[i];
}
INLINE f32x16 as_float(i32x16 v) { return __builtin_convertvector(v, f32x16); }
INLINE f32x16 larger(f32x16 a, f32x16 b) { return a > b ? a : b; }
INLINE f32x16 magnitude(f32x16 v) { return (f32x16)((i32x16)v & 0x7fffffff); }

template <typename Join> INLINE float across(f32x16 v, Join join) {
    float lanes[16];
    std::memcpy(lanes, &v, sizeof v);
    for (int width = 8; width; width /= 2)
        for (int i = 0; i < width; i++) lanes[i] = join(lanes[i], lanes[i + width]);
    return lanes[0];
}
INLINE float sum(f32x16 v) { return across(v, [](float a, float b) { return a + b; }); }
INLINE float largest(f32x16 v) { return across(v, [](float a, float b) { return a > b ? a : b; }); }

// a * b to the nearest integer, ties to even, for products below 2^22.
INLINE i32x16 nearest(f32x16 a, f32x16 b) { return (i32x16)fused(a, b, 12582912.0f) - 0x4b400000; }

// Rows and columns change places.
INLINE void transpose(f32x16 a[16]) {
    f32x16 b[16];
    const auto interleave = [](const f32x16 *from, f32x16 *to) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            to[2 * i] = __builtin_shufflevector(from[i], from[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            to[2 * i + 1] = __builtin_shufflevector(from[i], from[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
    };
    // Rows i and i + 8 are interleaved: four times, and they are columns.
    interleave(a, b), interleave(b, a), interleave(a, b), interleave(b, a);
}

// e^x to about 2e-7, relative; 0 below -87.
INLINE f32x16 exponential(f32x16 x) {
    const f32x16 high = all(88.0f), low = all(-87.0f);
    const f32x16 t = x > high ? high : (x < low ? low : x);
    const i32x16 n = nearest(t, all(1.44269504f));
    const f32x16 k = as_float(n);
    const f32x16 r = fused(k, 2.12194440e-4f, fused(k, -0.693359375f, t));
    f32x16 p = all(1.9875691500e-4f);
    p = fused(p, r, 1.3981999507e-3f);
    p = fused(p, r, 8.3334519073e-3f);
    p = fused(p, r, 4.1665795894e-2f);
    p = fused(p, r, 1.6666665459e-1f);
    p = fused(p, r, 5.0000001201e-1f);
    p = fused(p * r, r, r) + 1.0f;
    const f32x16 y = (f32x16)((i32x16)p + (n << 23));
    return x < low ? f32x16{} : y;
}

// bfloat16 is the upper half of a float; rounded to nearest, ties to even.
INLINE f32x16 widen(u16x16 v) { return (f32x16)(__builtin_convertvector(v, i32x16) << 16); }
INLINE u16x16 narrow(f32x16 v) {
    typedef uint32_t u32x16 __attribute__((vector_size(64)));
    const u32x16 bits = (u32x16)v;
    return __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, u16x16);
}

// A quad is four int8 of a row; 16 rows' quads lie side by side in 64 bytes. OFFSET is added to weights while they are
// packed and taken back by what a sum starts from: AVX512-VNNI multiplies unsigned by signed.
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define OFFSET 128
#define WIDE 1  // registers of 64 bytes
#define LANES "avx512-vnni"
INLINE i32x16 multiply_add(i32x16 total, __m512i weights, int32_t quad) {
    return (i32x16)_mm512_dpbusd_epi32((__m512i)total, weights, _mm512_set1_epi32(quad));
}
typedef __m512i Quads;
INLINE Quads load_quads(const uint8_t *from) { return _mm512_loadu_si512(from); }
#elif defined(__AVX2__) && defined(__FMA__)
#define HALVES 1  // registers of 32 bytes: product.h has loops of their own for them
#if defined(__AVXVNNI__)
#define OFFSET 128
#define LANES "avx-vnni"
INLINE __m256i multiply_add(__m256i total, __m256i weights, __m256i digits) { return _mm256_dpbusd_avx_epi32(total, weights, digits); }
#else
#define OFFSET 0
#define LANES "avx2"
INLINE __m256i multiply_add(__m256i total, __m256i weights, __m256i digits) {
    // Signs go to the weights, so that pairs of products fit in 16 bits: 2 * 127 * 127.
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(digits), _mm256_sign_epi8(weights, digits));
    return _mm256_add_epi32(total, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#endif
#elif defined(__ARM_FEATURE_DOTPROD)
#define OFFSET 0
#define LANES "neon-dotprod"
struct Quads { int8x16_t quarter[4]; };
INLINE Quads load_quads(const uint8_t *from) {
    Quads q;
    for (int i = 0; i < 4; i++) q.quarter[i] = vld1q_s8((const int8_t *)from + 16 * i);
    return q;
}
INLINE i32x16 multiply_add(i32x16 total, const Quads &weights, int32_t quad) {
    const int8x16_t same = vreinterpretq_s8_s32(vdupq_n_s32(quad));
    int32x4_t quarter[4];
    std::memcpy(quarter, &total, sizeof quarter);
    for (int i = 0; i < 4; i++) quarter[i] = vdotq_s32(quarter[i], weights.quarter[i], same);
    std::memcpy(&total, quarter, sizeof quarter);
    return total;
}
#else
#define OFFSET 0
#define LANES "plain"
struct Quads { int8_t of[64]; };
INLINE Quads load_quads(const uint8_t *from) {
    Quads q;
    std::memcpy(q.of, from, 64);
    return q;
}
INLINE i32x16 multiply_add(i32x16 total, const Quads &weights, int32_t quad) {
    int8_t a[4];
    std::memcpy(a, &quad, 4);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 4; j++) total[i] += weights.of[4 * i + j] * a[j];
    return total;
}
#endif
