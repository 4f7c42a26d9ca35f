// What is asked of a row of logits: the best id, and the logarithm of the sum of all exponentials.
#pragma once

#include <cmath>

#include "lanes.h"
#include "pool.h"

constexpr int STRETCH = 4096;  // logits that one task looks at: what it reads twice stays in the nearest cache

struct Best {
    int32_t id;  // the lowest of equals
    float logit;
    double total;  // log(sum(e^logit))
};

// The largest of a stretch, and the sum of e^(logit - it).
struct Heap {
    float peak, sum;
};

INLINE f32x16 sixteen_of(const float *logits, int left) {
    if (left >= 16) return load(logits);
    f32x16 v = all(-INFINITY);
    for (int i = 0; i < left; i++) v[i] = logits[i];
    return v;
}

static Heap heap_of(const float *logits, int count) {
    f32x16 most = all(-INFINITY), total{};
    for (int i = 0; i < count; i += 16) most = larger(sixteen_of(logits + i, count - i), most);
    const float peak = largest(most);
    if (peak == -INFINITY) return {peak, 0};
    for (int i = 0; i < count; i += 16) total += exponential(sixteen_of(logits + i, count - i) - peak);
    return {peak, sum(total)};
}

// Stretches begin at fixed places and are joined in order: threads change no bit.
static Best best_of(const float *logits, int count, int threads) {
    thread_local std::vector<Heap> heaps;
    const int stretches = (count + STRETCH - 1) / STRETCH;
    heaps.resize(stretches);
    Heap *of = heaps.data();
    parallel(threads, stretches, [&](int i) { of[i] = heap_of(logits + i * STRETCH, std::min(STRETCH, count - i * STRETCH)); });
    int highest = 0;
    for (int i = 1; i < stretches; i++)
        if (of[i].peak > of[highest].peak) highest = i;
    const float peak = of[highest].peak;
    double total = 0;
    for (int i = 0; i < stretches; i++) total += of[i].sum * std::exp(static_cast<double>(of[i].peak) - peak);
    int id = highest * STRETCH;
    while (id < count - 1 && logits[id] != peak) id++;
    return {id, peak, peak + std::log(total)};
}
