// The decoder's blocks around the attention, and whole steps: the native twin of `engine.model`.
//
// Everything is float32 but the weights, the activations that meet them, and perhaps the cache.

#include <cmath>

#include "attention.h"
#include "attention_tiles.h"
#include "lanes.h"
#include "logits.h"
#include "pool.h"
#include "product.h"

struct Layer {
    const float *attention_norm, *mlp_norm, *post_attention_norm, *post_mlp_norm, *q_norm, *k_norm;  // or null
    Weight qkv, out, gate_up, down;
    int32_t kind;    // which rotary table
    int32_t window;  // 0: sees everything
};

// int8 rows, with a scale a row and a scale a column.
struct Embedding {
    const int8_t *values;
    const float *scales, *columns;
    int32_t rows;
    float factor;
};

struct Model {
    int32_t hidden, middle, layers, gelu;
    Shape shape;
    float eps;
    const Layer *layer;
    const float *norm;
    Embedding embedding;
};

// Entries `begin` to `end` of a sequence's cache, the first of which stands at `position` of its text.
struct Range {
    int32_t begin, end, position;
};

// Where a new token is stored, where it stands in its text, and which ranges it sees.
struct Place {
    int32_t sequence, entry, position, ranges, count;
};

namespace {

// Buffers of one call; a thread keeps them for the next.
struct Space {
    Digits digits, gated;
    Lines<float> wide, narrow, parts, rotated, few;
    std::vector<Part> tasks;
    std::vector<int> shared;  // tasks in the order in which they are worked on
    std::vector<int> starts;  // of those that are worked on together
    float *floats(Lines<float> &of, size_t count) {
        if (of.size() < count) of.resize(count);
        return of.data();
    }
};

Space &space() {
    thread_local Space one;
    return one;
}

// Rows among the threads; few rows are not worth waking anybody.
template <typename Work> void for_rows(int rows, int threads, const Work &work) {
    const int each = 8;
    parallel(threads, (rows + each - 1) / each, [&](int task) {
        for (int row = task * each; row < std::min(rows, (task + 1) * each); row++) work(row);
    });
}

float inverse_rms(const float *x, int width, float eps) {
    f32x16 squares{};
    for (int i = 0; i < width; i += 16) {
        const f32x16 v = load(x + i, width - i);
        squares = fused(v, v, squares);
    }
    return 1.0f / std::sqrt(sum(squares) / static_cast<float>(width) + eps);
}

// y = x / rms(x) * weight; they may be the same.
void normalize(const float *x, const float *weight, int width, float eps, float *y) {
    const float inverse = inverse_rms(x, width, eps);
    for (int i = 0; i < width; i += 16) store(y + i, load(x + i, width - i) * inverse * load(weight + i, width - i), width - i);
}

void add_normalized(float *x, float *y, const float *weight, int width, float eps) {
    if (weight) normalize(y, weight, width, eps, y);
    for (int i = 0; i < width; i += 16) store(x + i, load(x + i, width - i) + load(y + i, width - i), width - i);
}

void rotate(float *head, const float *cosines, const float *sines, int width) {
    float turned[1024];
    const int half = width / 2;
    for (int d = 0; d < half; d++) {
        turned[d] = fused(head[d], cosines[d], head[d + half] * sines[d]);
        turned[d + half] = fused(head[d + half], cosines[d + half], head[d] * sines[d + half]);
    }
    std::memcpy(head, turned, static_cast<size_t>(width) * 4);
}

INLINE f32x16 silu(f32x16 x) { return x / (1.0f + exponential(-x)); }

// 0.5 x (1 + tanh(u)) is x / (1 + e^-2u).
INLINE f32x16 gelu_tanh(f32x16 x) {
    const f32x16 u = 0.7978845608f * fused(0.044715f * x * x, x, x);
    return x / (1.0f + exponential(-2.0f * u));
}

void embed(const Embedding &e, int64_t id, int width, float *x) {
    const int8_t *row = e.values + id * width;
    for (int i = 0; i < width; i++) x[i] = row[i] * e.scales[id] * e.columns[i] * e.factor;
}

// qkv (rows, heads + 2 * kv_heads, width): normalized, multiplied, queries and keys rotated. Of cosines and sines each
// row has its own, or those of its place.
void before(const Model &m, const Layer &layer, const float *x, int rows, const float *cosines, const float *sines, const Place *places,
            float *qkv, int threads) {
    Space &s = space();
    float *normal = s.floats(s.narrow, static_cast<size_t>(rows) * m.hidden);
    s.digits.reserve(rows, layer.qkv, tiles_pay(rows));
    for_rows(rows, threads, [&](int row) {
        float *y = normal + static_cast<size_t>(row) * m.hidden;
        normalize(x + static_cast<size_t>(row) * m.hidden, layer.attention_norm, m.hidden, m.eps, y);
        s.digits.set(row, y, m.hidden);
    });
    multiply(layer.qkv, s.digits, rows, qkv, threads);
    const int width = m.shape.width;
    for_rows(rows, threads, [&](int row) {
        const size_t turned = static_cast<size_t>(places ? places[row].position : row) * width;
        for (int h = 0; h < m.shape.heads + m.shape.kv_heads; h++) {
            float *head = qkv + static_cast<size_t>(row) * layer.qkv.outputs + static_cast<size_t>(h) * width;
            const float *norm = h < m.shape.heads ? layer.q_norm : layer.k_norm;
            if (norm) normalize(head, norm, width, m.eps, head);
            rotate(head, cosines + turned, sines + turned, width);
        }
    });
}

// x += what attention (rows, heads * width) and the feed-forward block give.
void after(const Model &m, const Layer &layer, const float *attention, float *x, int rows, int threads) {
    Space &s = space();
    const size_t hidden = m.hidden;
    quantize(s.digits, attention, rows, layer.out, threads);
    float *y = s.floats(s.narrow, rows * hidden);
    multiply(layer.out, s.digits, rows, y, threads);
    s.digits.reserve(rows, layer.gate_up, tiles_pay(rows));
    for_rows(rows, threads, [&](int row) {
        add_normalized(x + row * hidden, y + row * hidden, layer.post_attention_norm, m.hidden, m.eps);
        normalize(x + row * hidden, layer.mlp_norm, m.hidden, m.eps, y + row * hidden);
        s.digits.set(row, y + row * hidden, m.hidden);
    });
    if (m.gelu) {
        multiply_gated(layer.gate_up, s.digits, rows, s.wide, s.gated, layer.down, [](f32x16 g) { return gelu_tanh(g); }, threads);
    } else {
        multiply_gated(layer.gate_up, s.digits, rows, s.wide, s.gated, layer.down, [](f32x16 g) { return silu(g); }, threads);
    }
    multiply(layer.down, s.gated, rows, y, threads);
    for_rows(rows, threads, [&](int row) { add_normalized(x + row * hidden, y + row * hidden, layer.post_mlp_norm, m.hidden, m.eps); });
}

// Cuts what a token sees, entries `begin` to `end`, at multiples of BLOCK of its positions.
void cut(std::vector<Part> &tasks, int row, int kv_head, int first, int begin, int end) {
    while (begin < end) {
        const int next = std::min(end, ((first + begin) / BLOCK + 1) * BLOCK - first);
        tasks.push_back({row, kv_head, begin, next});
        begin = next;
    }
}

// Which tasks are worked on together: those of up to SHARE tokens in a row that begin at one entry of one sequence.
void share(Space &s, const Place *places, int rows, const std::vector<size_t> &ends) {
    s.shared.clear(), s.starts.clear();
    const int most = rows < 4 * SHARE ? 4 : SHARE;  // of few rows there must be a part for every thread
    for (int first = 0; first < rows; first += most) {
        size_t next[SHARE], end[SHARE];
        const int tokens = std::min(most, rows - first);
        for (int t = 0; t < tokens; t++) next[t] = first + t ? ends[first + t - 1] : 0, end[t] = ends[first + t];
        for (;;) {
            const Part *least = nullptr;
            for (int t = 0; t < tokens; t++) {
                if (next[t] == end[t]) continue;
                const Part &part = s.tasks[next[t]];
                if (!least || std::pair(part.kv_head, part.begin) < std::pair(least->kv_head, least->begin)) least = &part;
            }
            if (!least) break;
            const int sequence = places[least->row].sequence;
            s.starts.push_back(static_cast<int>(s.shared.size()));
            for (int t = 0; t < tokens; t++) {
                if (next[t] == end[t]) continue;
                const Part &part = s.tasks[next[t]];
                if (part.begin != least->begin || part.kv_head != least->kv_head || places[part.row].sequence != sequence) continue;
                s.shared.push_back(static_cast<int>(next[t]++));
            }
        }
    }
    s.starts.push_back(static_cast<int>(s.shared.size()));
}

// Joins the parts of one token: weighted by e^(peak - the largest peak).
void join(const std::vector<Part> &tasks, const float *parts, size_t size, const Shape &shape, int row, size_t begin, size_t end, float *y) {
    const int group = shape.heads / shape.kv_heads, wide = padded(shape.width);
    for (int h = 0; h < shape.heads; h++) {
        const int kv_head = h / group, at = h % group;
        float peak = -INFINITY, weight = 0;
        for (size_t t = begin; t < end; t++)
            if (tasks[t].kv_head == kv_head) peak = std::max(peak, parts[t * size + group * wide + at]);
        float *to = y + (static_cast<size_t>(row) * shape.heads + h) * shape.width;
        std::memset(to, 0, static_cast<size_t>(shape.width) * 4);
        for (size_t t = begin; t < end; t++) {
            if (tasks[t].kv_head != kv_head) continue;
            const float *part = parts + t * size;
            const float factor = exponential(all(part[group * wide + at] - peak))[0];
            weight = fused(part[group * wide + group + at], factor, weight);
            for (int d = 0; d < shape.width; d++) to[d] = fused(part[at * wide + d], factor, to[d]);
        }
        for (int d = 0; d < shape.width; d++) to[d] /= weight;
    }
}

// Stores keys and values of new tokens, one a row, and attends to all that each sees -> y (rows, heads * width).
void attend(const Model &m, const Layer &layer, const LayerCache &cache, const float *qkv, int rows, const Place *places, const Range *ranges,
            float *y, int threads) {
    Space &s = space();
    const Shape &shape = m.shape;
    const int width = shape.width, group = shape.heads / shape.kv_heads, wide = padded(width);
    const size_t stride = layer.qkv.outputs, size = static_cast<size_t>(group) * (wide + 2);
    s.tasks.clear();
    std::vector<size_t> ends;
    for (int row = 0; row < rows; row++) {
        const Place &place = places[row];
        const int entry = place.entry - cache.first;
        for (int h = 0; h < shape.kv_heads; h++) {
            const int64_t at = place.sequence * cache.row_stride + h * cache.head_stride + static_cast<int64_t>(entry) * width;
            const float *key = qkv + row * stride + static_cast<size_t>(shape.heads + h) * width;
            write_entry(cache.keys, cache.bfloat, at, key, width);
            write_entry(cache.values, cache.bfloat, at, key + static_cast<size_t>(shape.kv_heads) * width, width);
        }
        // Head by head, as a cache lies: who works on one part after the other reads on where it was.
        for (int head = 0; head < shape.kv_heads; head++)
            for (const Range *r = ranges + place.ranges; r < ranges + place.ranges + place.count; r++) {
                const int hidden = layer.window ? std::max(0, place.position - layer.window + 1 - r->position) : 0;
                cut(s.tasks, row, head, cache.first, std::max(0, r->begin + hidden - cache.first), r->end - cache.first);
            }
        ends.push_back(s.tasks.size());
    }
    float *parts = s.floats(s.parts, s.tasks.size() * size);
    const std::vector<Part> &tasks = s.tasks;
    share(s, places, rows, ends);
    parallel(threads, static_cast<int>(s.starts.size()) - 1, [&](int together) {
        const int first = s.starts[together], count = s.starts[together + 1] - first;
        const Part *some[SHARE];
        const float *queries[SHARE];
        Result results[SHARE];
        for (int i = 0; i < count; i++) {
            const int t = s.shared[first + i];
            float *out = parts + t * size, *peak = out + static_cast<size_t>(group) * wide;
            some[i] = &tasks[t];
            queries[i] = qkv + tasks[t].row * stride + static_cast<size_t>(tasks[t].kv_head) * group * width;
            results[i] = {out, peak, peak + group};
        }
        const int64_t base = places[some[0]->row].sequence * cache.row_stride + some[0]->kv_head * cache.head_stride;
#if BFLOAT_TILES
        if (cache.bfloat && tiles_allowed()) return attend_block_tiles(cache, base, some, queries, results, count, shape);
#endif
        attend_block(cache, base, some, queries, results, count, shape);
    });
    for_rows(rows, threads, [&](int row) { join(tasks, parts, size, shape, row, row ? ends[row - 1] : 0, ends[row], y); });
}

// `after` for some rows of many, which come to stand first.
void after_some(const Model &m, const Layer &layer, const float *attention, float *x, const int32_t *some, int count, int threads) {
    const size_t hidden = m.hidden, heads = static_cast<size_t>(m.shape.heads) * m.shape.width;
    float *few = space().floats(space().few, count * (hidden + heads)), *seen = few + count * hidden;
    for (int i = 0; i < count; i++) {
        std::memcpy(few + i * hidden, x + some[i] * hidden, hidden * sizeof(float));
        std::memcpy(seen + i * heads, attention + some[i] * heads, heads * sizeof(float));
    }
    if (count) after(m, layer, seen, few, count, threads);
    std::memcpy(x, few, count * hidden * sizeof(float));
}

}  // namespace

extern "C" {

const char *llm_lanes() {
#if TILES
    if (tiles_allowed()) return LANES " and amx";
#endif
    return LANES;
}

// Changes whenever a structure or a function here does.
int llm_version() { return 11; }

void llm_multiply(const Weight *weight, const float *x, int rows, float *y, int threads) {
    Space &s = space();
    quantize(s.digits, x, rows, *weight, threads);
    multiply(*weight, s.digits, rows, y, threads);
}

void llm_best(const float *logits, int count, Best *best, int threads) { *best = best_of(logits, count, threads); }

void llm_before(const Model *m, int layer, const float *x, int rows, const float *cosines, const float *sines, float *qkv, int threads) {
    before(*m, m->layer[layer], x, rows, cosines, sines, nullptr, qkv, threads);
}

void llm_after(const Model *m, int layer, const float *attention, float *x, int rows, int threads) {
    after(*m, m->layer[layer], attention, x, rows, threads);
}

// One new token a row, from its id to the normalized x (rows, hidden), and with a head to its logits (rows, outputs). What
// a token sees must be stored, or come before it here. `cosines[kind]` and `sines[kind]`: (positions, width).
// `depths`, if there are any, rise: `states` (stops, rows, hidden) is what so many layers each make of the tokens, as it is;
// no more are run, and x is the last of them. `ends`: the rows that are asked for in the end, which come to stand first in x;
// a count below 0: all. False, and nothing is done, for an id that is none.
bool llm_step(const Model *m, const int32_t *depths, int stops, float *states, const int32_t *ends, int count, const int64_t *ids, float *x,
              int rows, const Place *places, const Range *ranges, const LayerCache *caches, const float *const *cosines,
              const float *const *sines, const Weight *head, float *logits, int threads) {
    Space &s = space();
    const size_t hidden = m->hidden, heads = static_cast<size_t>(m->shape.heads) * m->shape.width;
    for (int row = 0; row < rows; row++)
        if (ids[row] < 0 || ids[row] >= m->embedding.rows) return false;
    for_rows(rows, threads, [&](int row) { embed(m->embedding, ids[row], m->hidden, x + row * hidden); });
    const int layers = stops ? depths[stops - 1] : m->layers, asked = count < 0 ? rows : count;
    for (int l = 0; l < layers; l++) {
        const Layer &layer = m->layer[l];
        float *qkv = s.floats(s.rotated, rows * (layer.qkv.outputs + heads)), *y = qkv + rows * static_cast<size_t>(layer.qkv.outputs);
        before(*m, layer, x, rows, cosines[layer.kind], sines[layer.kind], places, qkv, threads);
        attend(*m, layer, caches[l], qkv, rows, places, ranges, y, threads);
        if (count >= 0 && l + 1 == layers) {
            after_some(*m, layer, y, x, ends, count, threads);
        } else {
            after(*m, layer, y, x, rows, threads);
        }
        if (stops > 1 && l + 1 == *depths) {
            std::memcpy(states, x, rows * hidden * sizeof(float));
            states += rows * hidden, depths++, stops--;
        }
    }
    if (stops) return true;
    for_rows(asked, threads, [&](int row) { normalize(x + row * hidden, m->norm, m->hidden, m->eps, x + row * hidden); });
    if (!head) return true;
    quantize(s.digits, x, asked, *head, threads);
    multiply(*head, s.digits, asked, logits, threads);
    return true;
}

}
