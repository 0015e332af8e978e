// The element-wise kernels and the products of dense bfloat16 matrices.
#pragma once
#include "check.h"

namespace finetune4j::check {

template <typename T>
std::vector<double> doubles(const Room<T> &from) {
    std::vector<double> result;
    for (int64_t i = 0; i < from.count; i++) {
        result.push_back(widen(from[i]));
    }
    return result;
}

template <typename T>
void check_norm(int level, int64_t rows, int64_t width, int threads, bool from_one, bool all) {
    Room<T> x = random_numbers<T>(rows * width, 2);
    Room<T> weight = random_numbers<T>(width, 1);
    Room<T> gradient = random_numbers<T>(rows * width, 1);
    Room<T> past = random_numbers<T>(rows * width, 1);
    Room<T> y(rows * width);
    Room<T> dx(rows * width);
    Room<float> inverse(rows);
    std::vector<double> expected(static_cast<size_t>(y.count));
    std::vector<double> expected_dx(expected);
    for (int64_t row = 0; row < rows; row++) {
        double squares = 0;
        double shared = 0;
        auto factor = [&](int64_t i) { return widen(weight[i]) + (from_one ? 1.0 : 0.0); };
        for (int64_t i = 0; i < width; i++) {
            double v = widen(x[row * width + i]);
            squares += v * v;
            shared += widen(gradient[row * width + i]) * factor(i) * v;
        }
        double scale = 1 / std::sqrt(squares / static_cast<double>(width) + 1e-5);
        for (int64_t i = 0; i < width; i++) {
            size_t at = static_cast<size_t>(row * width + i);
            double v = widen(x[row * width + i]);
            expected[at] = v * scale * factor(i);
            expected_dx[at] = scale * (widen(gradient[row * width + i]) * factor(i) -
                                       v * scale * scale * shared / static_cast<double>(width));
            expected_dx[at] += all ? widen(past[row * width + i]) : 0;
        }
    }
    int type = type_of<T>();
    cpu_rms_forward(
        level, threads, type, x.place(), weight.place(), y.place(), inverse.place(), rows, width, 1e-5f, from_one);
    require_near(expected, y, 16, text("norm", level, {rows, width, from_one}));
    cpu_rms_backward(
        level, threads, type, gradient.place(), x.place(), weight.place(), inverse.place(), all ? past.place() : 0,
        dx.place(), all ? gradient.place() : 0, rows, width, from_one);
    require_near(expected_dx, dx, 16, text("norm backward", level, {rows, width, from_one}));
    if (all) {
        require_same(y, gradient, text("norm again", level, {rows, width, from_one}));
    }
}

template <typename T>
void check_unit(int level, int64_t rows, int64_t width, int threads, bool again) {
    Room<T> both = random_numbers<T>(2 * rows * width, 4);
    Room<T> gradient = random_numbers<T>(rows * width, 1);
    Room<T> y(rows * width);
    std::vector<double> expected(static_cast<size_t>(y.count));
    std::vector<double> expected_both(static_cast<size_t>(both.count));
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < width; i++) {
            double gate = widen(both[2 * row * width + i]);
            double up = widen(both[(2 * row + 1) * width + i]);
            double g = widen(gradient[row * width + i]);
            double s = 1 / (1 + std::exp(-gate));
            expected[static_cast<size_t>(row * width + i)] = gate * s * up;
            expected_both[static_cast<size_t>(2 * row * width + i)] = g * up * s * (1 + gate * (1 - s));
            expected_both[static_cast<size_t>((2 * row + 1) * width + i)] = g * gate * s;
        }
    }
    cpu_swiglu_forward(level, threads, type_of<T>(), both.place(), y.place(), rows, width);
    require_near(expected, y, 16, text("unit", level, {rows, width}));
    cpu_swiglu_backward(
        level, threads, type_of<T>(), gradient.place(), both.place(), again ? gradient.place() : 0, rows, width);
    require_near(expected_both, both, 16, text("unit backward", level, {rows, width}));
    if (again) {
        require_same(y, gradient, text("unit again", level, {rows, width}));
    }
}

template <typename T>
void check_rope(int level, int64_t heads, int64_t size, int threads, bool in_place) {
    constexpr long long BATCH = 2, TOKENS = 3;
    long long token = heads * size + (in_place ? 5 : 0);
    long long shape[] = {BATCH, TOKENS, heads, size, TOKENS * token, token, size, heads * TOKENS * size, size, TOKENS * size};
    if (in_place) {
        std::copy(shape + 4, shape + 7, shape + 7);
    }
    Room<T> x = random_numbers<T>(BATCH * TOKENS * token - (in_place ? 5 : 0), 1);
    Room<T> cosines = random_numbers<T>(TOKENS * size, 1);
    Room<T> sines = random_numbers<T>(TOKENS * size, 1);
    Room<T> apart(BATCH * TOKENS * heads * size);
    const Room<T> &y = in_place ? x : apart;
    std::vector<double> expected = doubles(y);
    for (int64_t b = 0; b < BATCH; b++) {
        for (int64_t t = 0; t < TOKENS; t++) {
            for (int64_t h = 0; h < heads; h++) {
                for (int64_t i = 0; i < size / 2; i++) {
                    int64_t from = b * shape[4] + t * shape[5] + h * shape[6] + i;
                    int64_t to = b * shape[7] + t * shape[8] + h * shape[9] + i;
                    double c = widen(cosines[t * size + i]);
                    double s = -widen(sines[t * size + i]);
                    double first = widen(x[from]);
                    double second = widen(x[from + size / 2]);
                    expected[static_cast<size_t>(to)] = first * c - second * s;
                    expected[static_cast<size_t>(to + size / 2)] = second * c + first * s;
                }
            }
        }
    }
    cpu_rope(level, threads, type_of<T>(), x.place(), y.place(), cosines.place(), sines.place(), shape, -1);
    require_near(expected, y, 4, text("rope", level, {heads, size, in_place}));
}

template <typename T>
void check_loss(int level, int64_t width, int threads) {
    constexpr int64_t ROWS = 4;
    Room<T> logits = random_numbers<T>(ROWS * width, 5);
    Room<int64_t> labels(ROWS);
    labels[0] = width - 1;
    labels[1] = -100;
    labels[3] = width;  // as large as none may be
    Room<float> losses(ROWS);
    std::vector<double> expected(static_cast<size_t>(logits.count));
    std::vector<double> expected_losses(ROWS);
    for (int64_t row = 0; row < ROWS; row++) {
        int64_t label = labels[row];
        if (label < 0 || label >= width) {
            continue;
        }
        double sum = 0;
        for (int64_t i = 0; i < width; i++) {
            sum += std::exp(static_cast<double>(widen(logits[row * width + i])));
        }
        expected_losses[static_cast<size_t>(row)] = std::log(sum) - widen(logits[row * width + label]);
        for (int64_t i = 0; i < width; i++) {
            double p = std::exp(static_cast<double>(widen(logits[row * width + i]))) / sum;
            expected[static_cast<size_t>(row * width + i)] = (p - (i == label ? 1 : 0)) * 0.5;
        }
    }
    cpu_cross_entropy(level, threads, type_of<T>(), logits.place(), labels.place(), losses.place(), 0.5f, ROWS, width);
    require_near(expected, logits, 16, text("loss's gradient", level, {width}));
    require_near(expected_losses, losses, 64, text("loss", level, {width}));
}

inline void check_adamw(int level, int64_t count, int threads, bool with_copies) {
    Room<float> values = random_numbers<float>(count, 1);
    Room<float> gradients = random_numbers<float>(count, 1);
    Room<float> mean = random_numbers<float>(count, 1);
    Room<float> variance = random_numbers<float>(count, 1);
    Room<bf16> copies(with_copies ? count : 0);
    std::vector<double> expected;
    for (int64_t i = 0; i < count; i++) {
        variance[i] = std::abs(variance[i]) + 0.01f;
        double g = gradients[i] * 0.5;
        double m = mean[i] + (g - mean[i]) * 0.1;
        double v = variance[i] * 0.999 + g * g * 0.001;
        expected.push_back(values[i] * 0.99 - 0.01 * m / (std::sqrt(v) / 0.7 + 1e-8));
    }
    cpu_adamw(
        level, threads, values.place(), gradients.place(), with_copies ? copies.place() : 0, mean.place(),
        variance.place(), count, 0.5f, 0.99f, 0.9f, 0.999f, 0.01f, 0.7f, 1e-8f);
    require_near(expected, values, 16, text("adamw", level, {count}));
    require_same(Room<float>(count), gradients, text("cleared gradients", level, {count}));
    if (with_copies) {
        require_near(expected, copies, 1, text("copies", level, {count}));
    }
}

template <typename T>
void check_elements_of_type(int level) {
    for (int64_t width : {1, 7, 8, 15, 16, 17, 33, 130, 4099}) {
        for (int threads : THREADS) {
            for (bool flag : {false, true}) {
                check_norm<T>(level, 5, width, threads, flag, flag);
                check_norm<T>(level, 1, width, threads, flag, !flag);
                check_unit<T>(level, 5, width, threads, flag);
            }
            check_loss<T>(level, width, threads);
        }
    }
    for (int64_t size : {2, 6, 32, 34, 130}) {
        for (bool in_place : {false, true}) {
            check_rope<T>(level, 1, size, 2, in_place);
            check_rope<T>(level, 33, size, 3, in_place);
        }
    }
}

inline void check_elements(int level) {
    check_elements_of_type<float>(level);
    check_elements_of_type<bf16>(level);
    for (int64_t count : {1, 7, 16, 33, 20001}) {
        check_adamw(level, count, 3, true);
        check_adamw(level, count, 1, false);
    }
}

/// How a matrix lies in memory: rows with a gap behind each but the last.
struct Lines {
    int64_t rows;
    int64_t columns;
    int64_t gap;

    int64_t stride() const { return columns + gap; }
    int64_t count() const { return (rows - 1) * stride() + columns; }
};

template <typename Term>
double sum_of(int64_t depth, const Term &term) {
    double sum = 0;
    for (int64_t k = 0; k < depth; k++) {
        sum += term(k);
    }
    return sum;
}

inline void check_dense(int level, int64_t rows, int64_t columns, int64_t depth, int threads) {
    Lines a{rows, depth, 2}, b{columns, depth, 4}, turned_b{depth, columns, 3}, c{rows, columns, 1};
    Room<bf16> left = random_numbers<bf16>(a.count(), 1);
    Room<bf16> right = random_numbers<bf16>(b.count(), 1);
    Room<bf16> turned = random_numbers<bf16>(turned_b.count(), 1);
    Room<bf16> product(c.count());
    Room<bf16> other(c.count());
    std::vector<double> expected(static_cast<size_t>(c.count()));
    std::vector<double> expected_other(expected);
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t k = 0; k < columns; k++) {
            size_t at = static_cast<size_t>(i * c.stride() + k);
            expected[at] = 0.5 * sum_of(depth, [&](int64_t d) {
                return static_cast<double>(widen(left[i * a.stride() + d])) * widen(right[k * b.stride() + d]);
            });
            expected_other[at] = 0.5 * sum_of(depth, [&](int64_t d) {
                return static_cast<double>(widen(left[i * a.stride() + d])) * widen(turned[d * turned_b.stride() + k]);
            });
        }
    }
    double terms = static_cast<double>(depth);
    cpu_gemm_nt(
        level, threads, type_of<bf16>(), left.place(), a.stride(), right.place(), b.stride(), 0, product.place(), c.stride(),
        rows, columns, depth, 0.5f, false);
    require_near(expected, product, terms, text("rows by rows", level, {rows, columns, depth}));
    cpu_gemm_nn(
        level, threads, type_of<bf16>(), left.place(), a.stride(), turned.place(), turned_b.stride(), other.place(),
        c.stride(), rows, columns, depth, 0.5f, false);
    require_near(expected_other, other, terms, text("rows by columns", level, {rows, columns, depth}));
}

inline void check_sums(int level, int64_t rows, int64_t columns, int64_t depth, int threads, bool turned) {
    Lines a{depth, rows, 1}, b{depth, columns, 2}, c{turned ? columns : rows, turned ? rows : columns, 3};
    Room<bf16> left = random_numbers<bf16>(a.count(), 1);
    Room<bf16> right = random_numbers<bf16>(b.count(), 1);
    Room<float> sums = random_numbers<float>(c.count(), 1);
    std::vector<double> expected = doubles(sums);
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t k = 0; k < columns; k++) {
            expected[static_cast<size_t>(turned ? k * c.stride() + i : i * c.stride() + k)] +=
                sum_of(depth, [&](int64_t d) {
                    return static_cast<double>(widen(left[d * a.stride() + i])) * widen(right[d * b.stride() + k]);
                });
        }
    }
    cpu_gemm_tn(
        level, threads, type_of<bf16>(), left.place(), a.stride(), right.place(), b.stride(), sums.place(), c.stride(), rows, columns,
        depth, turned);
    require_near(expected, sums, 4 * static_cast<double>(depth), text("sums", level, {rows, columns, depth, turned}));
}

inline void check_dense_products(int level) {
    constexpr int64_t SHAPES[][3] = {{1, 1, 2}, {5, 16, 64}, {37, 48, 130}, {16, 300, 48}, {200, 6, 1100}, {13, 33, 2050}};
    for (auto [rows, columns, depth] : SHAPES) {
        for (int threads : THREADS) {
            check_dense(level, rows, columns, depth, threads);
            check_sums(level, rows, columns, depth - 1, threads, false);
            check_sums(level, rows, columns, depth, threads, true);
        }
    }
}

}  // namespace finetune4j::check
