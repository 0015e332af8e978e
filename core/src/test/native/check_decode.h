// The kernels for one token of a decoder.
#pragma once
#include "check_elements.h"

namespace finetune4j::check {

template <typename T>
void check_few_rows(int level, int64_t rows, int64_t out, int64_t in, int64_t rank, int threads, bool add) {
    Lines lines{rows, out, 2};
    Room<T> weight = random_numbers<T>(out * in, 1);
    Room<T> x = random_numbers<T>(rows * in, 1);
    Room<T> bias = random_numbers<T>(out, 1);
    Room<T> y = random_numbers<T>(lines.count(), 1);
    Room<T> other = copy_of(y);
    Room<float> a = random_numbers<float>(rank * in, 1);
    Room<float> b = random_numbers<float>(out * rank, 1);
    Room<float> low(rows * rank);
    std::vector<double> expected = doubles(y);
    std::vector<double> expected_other(expected);
    std::vector<double> expected_low(static_cast<size_t>(rows * rank));
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < rank; i++) {
            expected_low[static_cast<size_t>(row * rank + i)] = 0.5 * sum_of(in, [&](int64_t k) {
                return static_cast<double>(a[i * in + k]) * widen(x[row * in + k]);
            });
        }
        for (int64_t i = 0; i < out; i++) {
            size_t at = static_cast<size_t>(row * lines.stride() + i);
            double start = add ? expected[at] : 0;
            expected[at] = start + widen(bias[i]) + sum_of(in, [&](int64_t k) {
                return static_cast<double>(widen(weight[i * in + k])) * widen(x[row * in + k]);
            });
            expected_other[at] = start + sum_of(rank, [&](int64_t k) {
                return b[i * rank + k] * expected_low[static_cast<size_t>(row * rank + k)];
            });
        }
    }
    int type = type_of<T>();
    cpu_gemv(
        level, threads, type, weight.place(), in, out, x.place(), rows, bias.place(), y.place(), lines.stride(), add);
    require_near(expected, y, static_cast<double>(in), text("dense rows", level, {rows, out, in, add}));
    cpu_low_rank(level, threads, type, a.place(), x.place(), low.place(), rows, rank, in, 0.5f);
    require_near(expected_low, low, static_cast<double>(in), text("low rank", level, {rows, rank, in}));
    cpu_high_rank(level, threads, type, b.place(), low.place(), other.place(), lines.stride(), rows, rank, out, add);
    require_near(
        expected_other, other, static_cast<double>(in * rank), text("high rank", level, {rows, out, rank, add}));
}

/// Angles of zero, so that heads stay as they are; the test in Java turns them. A soft cap of 0 bounds nothing.
template <typename T>
void check_attention(
    int level, int64_t heads, int64_t kv_heads, int64_t size, int64_t position, int64_t first, double soft_cap,
    int threads) {
    int64_t capacity = position + 1;
    Room<T> qkv = random_numbers<T>((heads + 2 * kv_heads) * size, 1);
    Room<T> keys = random_numbers<T>(kv_heads * capacity * size, 1);
    Room<T> values = random_numbers<T>(kv_heads * capacity * size, 1);
    Room<T> cosine(size);
    Room<T> sine(size);
    Room<float> room(heads * (capacity + size));
    Room<T> mixed(heads * size);
    for (int64_t i = 0; i < size; i++) {
        narrow(1.0f, cosine[i]);
    }
    cpu_attend(
        level, threads, type_of<T>(), heads, kv_heads, size, size / 2 / 2 * 2, capacity, first, position, 0.3f,
        static_cast<float>(soft_cap), qkv.place(), keys.place(), values.place(), cosine.place(), sine.place(),
        room.place(), mixed.place());
    std::vector<double> expected;
    for (int64_t head = 0; head < heads; head++) {
        int64_t start = head / (heads / kv_heads) * capacity * size;
        std::vector<double> weights;
        double sum = 0;
        for (int64_t at = 0; at < capacity; at++) {
            double score = 0.3 * sum_of(size, [&](int64_t k) {
                return static_cast<double>(widen(qkv[head * size + k])) * widen(keys[start + at * size + k]);
            });
            score = soft_cap > 0 ? soft_cap * std::tanh(score / soft_cap) : score;
            weights.push_back(at < first ? 0 : std::exp(score));
            sum += weights.back();
        }
        for (int64_t k = 0; k < size; k++) {
            expected.push_back(sum_of(capacity, [&](int64_t at) {
                return weights[static_cast<size_t>(at)] / sum * widen(values[start + at * size + k]);
            }));
        }
    }
    require_near(expected, mixed, 4, text("attention", level, {heads, kv_heads, size, position}));
}

template <typename T>
void check_tokens(int level) {
    constexpr int64_t ROWS[][4] = {{1, 1, 1, 1}, {1, 37, 19, 3}, {3, 200, 448, 16}, {2, 130, 1001, 24}};
    constexpr int64_t HEADS[][4] = {{1, 1, 2, 0}, {4, 2, 10, 1}, {6, 2, 64, 37}, {3, 3, 40, 300}};
    for (int threads : THREADS) {
        for (const auto &[rows, out, in, rank] : ROWS) {
            check_few_rows<T>(level, rows, out, in, rank, threads, false);
            check_few_rows<T>(level, rows, out, in, rank, threads, true);
        }
        for (const auto &[heads, kv_heads, size, position] : HEADS) {
            check_attention<T>(level, heads, kv_heads, size, position, 0, 0, threads);
            check_attention<T>(level, heads, kv_heads, size, position, position / 3, 2, threads);
        }
    }
}

inline void check_decode(int level) {
    check_tokens<float>(level);
    check_tokens<bf16>(level);
}

}  // namespace finetune4j::check
