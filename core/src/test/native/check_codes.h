// The kernels on 4-bit codes.
#pragma once
#include "check.h"

namespace finetune4j::check {

inline const float NF4[16] = {-1.0f,         -0.6961928f,   -0.52507305f, -0.3949175f, -0.28444138f, -0.18477343f,
                              -0.091050036f, 0.0f,          0.0795803f,   0.1609302f,  0.2461123f,   0.33791524f,
                              0.44070983f,   0.562617f,     0.72295684f,  1.0f};

/// A weight with random codes and scales.
struct Weight {
    int64_t elements;
    int shift;
    Room<uint8_t> packed;
    Room<float> table;
    Room<float> absmax;
    Room<uint8_t> nested;
    Room<float> map;
    bool has_nested;
    float offset = 0.25f;

    Weight(int64_t size, int block_shift, bool two_steps)
        : elements(size), shift(block_shift), packed((size + 1) / 2), table(16), absmax(scales(size, block_shift, two_steps)),
          nested(two_steps ? blocks(size, block_shift) : 0), map(two_steps ? 256 : 0), has_nested(two_steps) {
        for (int64_t i = 0; i < packed.count; i++) {
            packed[i] = static_cast<uint8_t>(dice());
        }
        std::copy(NF4, NF4 + 16, table.get());
        for (int64_t i = 0; i < absmax.count; i++) {
            absmax[i] = std::abs(uniform(0.1f));
        }
        for (int64_t i = 0; i < nested.count; i++) {
            nested[i] = static_cast<uint8_t>(dice());
        }
        for (int64_t i = 0; i < map.count; i++) {
            map[i] = uniform(1);
        }
    }

    static int64_t blocks(int64_t size, int shift) { return (size + (int64_t{1} << shift) - 1) >> shift; }
    static int64_t scales(int64_t size, int shift, bool two_steps) {
        return two_steps ? (blocks(size, shift) + 255) / 256 : blocks(size, shift);
    }

    float value(int64_t i) const {
        int64_t block = i >> shift;
        float scale = absmax[has_nested ? block / 256 : block];
        if (has_nested) {
            volatile float product = map[nested[block]] * scale;
            scale = product + offset;
        }
        return table[i % 2 == 0 ? packed[i / 2] / 16 : packed[i / 2] % 16] * scale;
    }

    template <typename T>
    T rounded(int64_t i) const {
        T number;
        narrow(value(i), number);
        return number;
    }
};

template <typename T>
void check_decode(int level, const Weight &w, int64_t rows, int64_t columns, int threads) {
    auto run = [&](int64_t row, int64_t some, int64_t column, int64_t width, int64_t stride) {
        Room<T> expected((some - 1) * stride + width);
        Room<T> actual(expected.count);
        for (int64_t i = 0; i < some; i++) {
            for (int64_t k = 0; k < width; k++) {
                expected[i * stride + k] = w.rounded<T>((row + i) * columns + column + k);
            }
        }
        cpu_decode(
            level, threads, w.packed.place(), w.shift, w.table.place(), w.absmax.place(),
            w.has_nested ? w.nested.place() : 0, w.map.place(), w.offset, columns, row, some, column, width, type_of<T>(),
            actual.place(), stride);
        require_same(expected, actual, text("decode", level, {rows, columns, row, some, column, width, w.shift}));
    };
    run(0, rows, 0, columns, columns);
    if (rows > 1) {
        run(1, rows - 1, 0, columns, columns);
    }
    if (columns > 2) {
        run(0, rows, 1, columns - 2, columns - 2);
        run(rows / 2, rows - rows / 2, columns / 2, 1, 3);
    }
}

template <typename T>
void check_encode(int level, int64_t count, int shift, int threads) {
    Room<T> numbers = random_numbers<T>(count, 0.1f);
    int64_t blocks = Weight::blocks(count, shift);
    Room<float> most(blocks);
    Room<float> expected_most(blocks);
    for (int64_t i = 0; i < count; i++) {
        expected_most[i >> shift] = std::max(expected_most[i >> shift], std::abs(widen(numbers[i])));
    }
    cpu_absmax(level, threads, type_of<T>(), numbers.place(), count, shift, most.place());
    require_same(expected_most, most, text("absmax", level, {count, shift}));

    Room<float> limits(15);
    Room<uint8_t> codes(16);
    for (int i = 0; i < 16; i++) {
        codes[i] = static_cast<uint8_t>(15 - i);
        if (i < 15) {
            limits[i] = (NF4[i] + NF4[i + 1]) / 2;
        }
    }
    Room<float> factors(blocks);
    for (int64_t i = 0; i < blocks; i++) {
        factors[i] = i % 3 == 2 ? 0 : 1 / most[i];
    }
    auto code = [&](float value) {
        return codes[std::count_if(limits.get(), limits.get() + 15, [&](float limit) { return value > limit; })];
    };
    Room<uint8_t> packed((count + 1) / 2);
    Room<uint8_t> expected(packed.count);
    for (int64_t i = 0; i < 2 * packed.count; i++) {
        float factor = factors[std::min(i, count - 1) >> shift];
        uint8_t found = factor == 0 ? 0 : code(i < count ? widen(numbers[i]) * factor : 0.0f);
        expected[i / 2] = static_cast<uint8_t>(expected[i / 2] | found << (i % 2 == 0 ? 4 : 0));
    }
    cpu_encode(
        level, threads, type_of<T>(), numbers.place(), count, shift, factors.place(), limits.place(), codes.place(),
        packed.place());
    require_same(expected, packed, text("encode", level, {count, shift}));
}

/// What a product adds up: y = x Wᵀ + bias, or dx = dy W when turned, on top of what is there.
template <typename T>
std::vector<double> product(
    const Weight &w, int64_t in, int64_t out, const Room<T> &x, int64_t x_stride, int64_t tokens, const Room<T> *bias,
    const Room<T> &y, int64_t y_stride, bool add, bool turned) {
    int64_t columns = turned ? in : out;
    int64_t depth = turned ? out : in;
    std::vector<double> expected(static_cast<size_t>(y.count));
    for (int64_t i = 0; i < y.count; i++) {
        expected[static_cast<size_t>(i)] = widen(y[i]);
    }
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t c = 0; c < columns; c++) {
            double sum = bias == nullptr ? 0 : widen((*bias)[c]);
            for (int64_t k = 0; k < depth; k++) {
                sum += static_cast<double>(widen(x[t * x_stride + k])) *
                       widen(w.rounded<T>(turned ? k * in + c : c * in + k));
            }
            double &to = expected[static_cast<size_t>(t * y_stride + c)];
            to = sum + (add ? to : 0);
        }
    }
    return expected;
}

template <typename T>
void check_rows(int level, const Weight &w, int64_t out, int64_t in, int64_t tokens, int threads) {
    for (bool add : {false, true}) {
        int64_t stride = out + (add ? 3 : 0);
        Room<T> x = random_numbers<T>(tokens * in, 1);
        Room<T> bias = random_numbers<T>(out, 1);
        Room<T> y = random_numbers<T>((tokens - 1) * stride + out, 1);
        std::vector<double> expected = product(w, in, out, x, in, tokens, add ? nullptr : &bias, y, stride, add, false);
        cpu_gemv_4bit(
            level, threads, w.packed.place(), w.shift, w.table.place(), w.absmax.place(),
            w.has_nested ? w.nested.place() : 0, w.map.place(), w.offset, in, out, type_of<T>(), x.place(), tokens,
            add ? 0 : bias.place(), y.place(), stride, add);
        require_near(expected, y, static_cast<double>(in), text("rows", level, {out, in, tokens, w.shift, add}));
    }
}

inline void check_panels(int level, const Weight &w, int64_t out, int64_t in, int64_t tokens, int threads) {
    for (bool add : {false, true}) {
        int64_t more = add ? 2 : 0;
        Room<bf16> x = random_numbers<bf16>((tokens - 1) * (in + more) + in, 1);
        Room<bf16> y = random_numbers<bf16>((tokens - 1) * (out + more) + out, 1);
        Room<bf16> bias = random_numbers<bf16>(out, 1);
        Room<bf16> gradient = copy_of(y);
        std::vector<double> expected =
            product(w, in, out, x, in + more, tokens, add ? nullptr : &bias, y, out + more, add, false);
        address nested = w.has_nested ? w.nested.place() : 0;
        cpu_forward(
            level, threads, type_of<bf16>(), w.packed.place(), w.shift, w.table.place(), w.absmax.place(), nested, w.map.place(), w.offset,
            in, out, x.place(), in + more, tokens, add ? 0 : bias.place(), y.place(), out + more, add);
        require_near(expected, y, static_cast<double>(in), text("forward", level, {out, in, tokens, w.shift, add}));
        expected = product<bf16>(w, in, out, gradient, out + more, tokens, nullptr, x, in + more, add, true);
        cpu_backward(
            level, threads, type_of<bf16>(), w.packed.place(), w.shift, w.table.place(), w.absmax.place(), nested, w.map.place(), w.offset,
            in, out, gradient.place(), out + more, tokens, x.place(), in + more, add);
        require_near(expected, x, static_cast<double>(out), text("backward", level, {out, in, tokens, w.shift, add}));
    }
}

inline void check_codes(int level) {
    constexpr int64_t SHAPES[][2] = {{1, 1}, {1, 33}, {5, 7}, {13, 5}, {33, 130}, {6, 64}, {70, 192}, {258, 64}, {6, 1536}, {3, 2049}};
    for (auto [out, in] : SHAPES) {
        for (int shift : {5, 6, 8}) {
            for (bool two_steps : {false, true}) {
                Weight w(out * in, shift, two_steps);
                for (int threads : THREADS) {
                    check_decode<float>(level, w, out, in, threads);
                    check_decode<bf16>(level, w, out, in, threads);
                    check_decode<f16>(level, w, out, in, threads);
                }
                check_encode<float>(level, out * in, shift, 2);
                check_encode<bf16>(level, out * in, shift, 2);
                check_encode<f16>(level, out * in, shift, 2);
                for (int64_t tokens : {1, 2, 3, 4, 5, 8, 9, 32}) {
                    check_rows<float>(level, w, out, in, tokens, 2);
                    check_rows<bf16>(level, w, out, in, tokens, 2);
                }
            }
        }
    }
    // Larger than the caches, and many blocks a row.
    Weight large(1031 * 1024, 6, true);
    check_decode<float>(level, large, 1031, 1024, 2);
    check_decode<bf16>(level, large, 1031, 1024, 2);
    check_decode<f16>(level, large, 1031, 1024, 3);
    check_rows<bf16>(level, large, 1031, 1024, 3, 2);
    check_encode<bf16>(level, (1 << 18) + 1, 6, 3);
}

inline void check_products_of_panels(int level) {
    constexpr int64_t SHAPES[][2] = {{2, 64}, {34, 128}, {130, 192}, {290, 64}, {32, 1088}, {1090, 128}};
    for (auto [out, in] : SHAPES) {
        for (int shift : {6, 7}) {
            if (in % (int64_t{1} << shift) != 0) {
                continue;
            }
            for (bool two_steps : {false, true}) {
                Weight w(out * in, shift, two_steps);
                for (int64_t tokens : {1, 2, 11, 12, 13, 25, 40}) {
                    for (int threads : THREADS) {
                        check_panels(level, w, out, in, tokens, threads);
                    }
                }
            }
        }
    }
}

}  // namespace finetune4j::check
