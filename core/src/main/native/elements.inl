// The element-wise parts of a decoder, each in one pass over its data; sums are in float. Included once for each level,
// inside its namespace. What is rounded, and when, is as in the kernels for GPUs (elementwise.cu, crossentropy.cu).

constexpr int64_t SOME_NUMBERS = 1 << 13;  // that a thread takes at least

/// e to the power of x, within two units in the last place.
inline Floats exponential(Floats x) {
    // In this order what is no number stays none.
    x = smaller(spread(88.0f), larger(spread(-87.0f), x));
    Floats n = whole(x * spread(1.44269504f));
    Floats r = fused(n, spread(-0.693145752f), x);
    r = fused(n, spread(-1.42860677e-6f), r);
    Floats p = spread(1.9875691500e-4f);
    p = fused(p, r, spread(1.3981999507e-3f));
    p = fused(p, r, spread(8.3334519073e-3f));
    p = fused(p, r, spread(4.1665795894e-2f));
    p = fused(p, r, spread(1.6666665459e-1f));
    p = fused(p, r, spread(5.0000001201e-1f));
    p = fused(p, r * r, r + spread(1.0f));
    return p * power_of_two(n);
}

inline Floats sigmoid(Floats x) { return spread(1.0f) / (spread(1.0f) + exponential(spread(0.0f) - x)); }

/// Rounded to the type and widened again.
template <typename T>
inline Floats rounded(Floats x) {
    T near[LANES];
    store(near, x);
    return load(near);
}

/// Calls work with vectors' places in [0, width), then once with the places that are left over.
template <typename Work>
inline void in_vectors(int64_t width, const Work &work) {
    for (int64_t at = 0; at < width; at += LANES) {
        work(at, std::min<int64_t>(LANES, width - at));
    }
}

template <typename T>
inline Floats some(const T *from, int64_t count) {
    if (count == LANES) {
        return load(from);
    }
    T near[LANES] = {};
    std::copy(from, from + count, near);
    return load(near);
}

template <typename T>
inline void put_some(T *to, Floats value, int64_t count) {
    if (count == LANES) {
        store(to, value);
        return;
    }
    T near[LANES];
    store(near, value);
    std::copy(near, near + count, to);
}

/// y = x / sqrt(mean(x²) + ε) · w by rows; inverse gets the factor of each row.
template <typename T>
void rms_forward(
    const T *x, const T *weight, T *y, float *inverse, int64_t rows, int64_t width, float epsilon, bool from_one,
    int threads) {
    parallel(threads, rows, std::max<int64_t>(1, SOME_NUMBERS / width), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            const T *from = x + row * width;
            T *to = y + row * width;
            Floats sum = spread(0);
            in_vectors(width, [&](int64_t at, int64_t n) {
                Floats v = some(from + at, n);
                sum = fused(v, v, sum);
            });
            float scale = 1.0f / std::sqrt(total(sum) / static_cast<float>(width) + epsilon);
            if (inverse != nullptr) {
                inverse[row] = scale;
            }
            in_vectors(width, [&](int64_t at, int64_t n) {
                Floats v = some(from + at, n) * spread(scale);
                Floats w = some(weight + at, n);
                put_some(to + at, from_one ? v * (spread(1.0f) + w) : rounded<T>(v) * w, n);
            });
        }
    });
}

/// dx = s · (g - x · s² · mean(g · x)) with g = dy · w, and past on top unless it is null. y, which may be dy, gets the
/// result of the forward pass unless it is null.
template <typename T>
void rms_backward(
    const T *dy, const T *x, const T *weight, const float *inverse, const T *past, T *dx, T *y, int64_t rows,
    int64_t width, bool from_one, int threads) {
    parallel(threads, rows, std::max<int64_t>(1, SOME_NUMBERS / width), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            int64_t start = row * width;
            Floats scale = spread(inverse[row]);
            Floats sum = spread(0);
            auto factor = [&](int64_t at, int64_t n) {
                Floats w = some(weight + at, n);
                return from_one ? spread(1.0f) + w : w;
            };
            in_vectors(width, [&](int64_t at, int64_t n) {
                sum = fused(some(dy + start + at, n) * factor(at, n), some(x + start + at, n), sum);
            });
            Floats shared = spread(total(sum) / static_cast<float>(width) * inverse[row] * inverse[row]);
            in_vectors(width, [&](int64_t at, int64_t n) {
                Floats w = factor(at, n);
                Floats v = some(x + start + at, n);
                Floats g = scale * (some(dy + start + at, n) * w - v * shared);
                if (y != nullptr) {
                    put_some(y + start + at, from_one ? v * scale * w : rounded<T>(v * scale) * w, n);
                }
                if (past != nullptr) {
                    g = g + some(past + start + at, n);
                }
                put_some(dx + start + at, g, n);
            });
        }
    });
}

/// y = silu(gate) · up; both has rows of gate and then up.
template <typename T>
void swiglu_forward(const T *both, T *y, int64_t rows, int64_t width, int threads) {
    parallel(threads, rows, std::max<int64_t>(1, SOME_NUMBERS / width), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            const T *gate = both + 2 * row * width;
            in_vectors(width, [&](int64_t at, int64_t n) {
                Floats g = some(gate + at, n);
                put_some(y + row * width + at, g * sigmoid(g) * some(gate + width + at, n), n);
            });
        }
    });
}

/// The gradients of gate and up take their places; y, which may be dy, gets the result once more unless it is null.
template <typename T>
void swiglu_backward(const T *dy, T *both, T *y, int64_t rows, int64_t width, int threads) {
    parallel(threads, rows, std::max<int64_t>(1, SOME_NUMBERS / width), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            T *first = both + 2 * row * width;
            T *second = first + width;
            in_vectors(width, [&](int64_t at, int64_t n) {
                Floats g = some(dy + row * width + at, n);
                Floats gate = some(first + at, n);
                Floats up = some(second + at, n);
                Floats s = sigmoid(gate);
                Floats silu = gate * s;
                if (y != nullptr) {
                    put_some(y + row * width + at, silu * up, n);
                }
                put_some(first + at, g * up * s * (spread(1.0f) + gate - silu), n);
                put_some(second + at, g * silu, n);
            });
        }
    });
}

/// Turns the pairs (i, i + size / 2) of each head by the angle of its position; direction -1 turns back. Strides are those
/// of x and of y, counted in numbers; they may be the same memory.
template <typename T>
void rope(
    const T *x, T *y, const T *cosines, const T *sines, const RopeShape &shape, float direction, int threads) {
    int64_t half = shape.size / 2;
    int64_t tokens = shape.batch * shape.tokens;
    parallel(threads, tokens, std::max<int64_t>(1, SOME_NUMBERS / std::max<int64_t>(1, shape.heads * shape.size)), [&](int64_t begin, int64_t end) {
        for (int64_t index = begin; index < end; index++) {
            int64_t batch = index / shape.tokens;
            int64_t token = index % shape.tokens;
            const T *cosine = cosines + token * shape.size;
            const T *sine = sines + token * shape.size;
            for (int64_t head = 0; head < shape.heads; head++) {
                const T *from = x + batch * shape.from[0] + token * shape.from[1] + head * shape.from[2];
                T *to = y + batch * shape.to[0] + token * shape.to[1] + head * shape.to[2];
                in_vectors(half, [&](int64_t at, int64_t n) {
                    Floats a = some(from + at, n);
                    Floats b = some(from + half + at, n);
                    Floats c = some(cosine + at, n);
                    Floats s = some(sine + at, n) * spread(direction);
                    put_some(to + at, a * c - b * s, n);
                    put_some(to + half + at, b * c + a * s, n);
                });
            }
        }
    });
}

/// cap tanh(x / cap), and its derivative; x and 1 where there is no cap.
struct SoftCap {
    float cap;

    Floats bent(Floats x) const {
        return spread(1) - spread(2) / (spread(1) + exponential(x * spread(2 / cap)));
    }
    Floats operator()(Floats x) const { return cap == 0 ? x : bent(x) * spread(cap); }
    float operator()(float x) const { return cap == 0 ? x : cap * std::tanh(x / cap); }
    Floats slope(Floats x) const {
        if (cap == 0) {
            return spread(1);
        }
        Floats t = bent(x);
        return spread(1) - t * t;
    }
    float slope(float x) const {
        float t = cap == 0 ? 0 : std::tanh(x / cap);
        return 1 - t * t;
    }
};

/// Numbers become the gradients by them, (softmax - onehot) · scale of their logits, which a cap may bound, and losses gets the loss
/// of each row; labels below 0 make none.
template <typename T>
void cross_entropy(
    T *logits, const int64_t *labels, float *losses, float scale, float cap, int64_t rows, int64_t width, int threads) {
    SoftCap logit = {cap};
    parallel(threads, rows, 1, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            T *from = logits + row * width;
            int64_t label = labels[row];
            if (label < 0 || label >= width) {
                std::fill(from, from + width, T{});
                losses[row] = 0;
                continue;
            }
            Floats most = spread(-3.402823466e38f);
            int64_t vectors = width / LANES * LANES;
            for (int64_t at = 0; at < vectors; at += LANES) {
                most = larger(most, load(from + at));
            }
            float peak = largest(most);
            for (int64_t at = vectors; at < width; at++) {
                peak = std::max(peak, widen(from[at]));
            }
            peak = logit(peak);
            Floats sum = spread(0);
            for (int64_t at = 0; at < vectors; at += LANES) {
                sum = sum + exponential(logit(load(from + at)) - spread(peak));
            }
            float all = total(sum);
            for (int64_t at = vectors; at < width; at++) {
                all += std::exp(logit(widen(from[at])) - peak);
            }
            float log_sum = peak + std::log(all);
            float number = widen(from[label]);
            losses[row] = log_sum - logit(number);
            float of_label = (std::exp(logit(number) - log_sum) - 1.0f) * scale * logit.slope(number);
            in_vectors(width, [&](int64_t at, int64_t n) {
                Floats x = some(from + at, n);
                put_some(from + at, exponential(logit(x) - spread(log_sum)) * spread(scale) * logit.slope(x), n);
            });
            narrow(of_label, from[label]);
        }
    });
}

/// One step of AdamW on float32 values, whose bfloat16 copies follow them unless they are null. Gradients are read times a
/// factor and cleared.
inline void adamw(
    float *values, float *gradients, bf16 *copies, float *mean, float *variance, int64_t count, const AdamwStep &step,
    int threads) {
    parallel(threads, count, SOME_NUMBERS, [&](int64_t begin, int64_t end) {
        in_vectors(end - begin, [&](int64_t offset, int64_t n) {
            int64_t at = begin + offset;
            Floats g = some(gradients + at, n) * spread(step.factor);
            Floats m = some(mean + at, n);
            m = m + (g - m) * spread(1.0f - step.beta1);
            Floats v = some(variance + at, n) * spread(step.beta2) + g * g * spread(1.0f - step.beta2);
            Floats value = some(values + at, n) * spread(step.keep);
            value = value - spread(step.rate) * (m / (root(v) / spread(step.root) + spread(step.epsilon)));
            put_some(mean + at, m, n);
            put_some(variance + at, v, n);
            put_some(values + at, value, n);
            put_some(gradients + at, spread(0), n);
            if (copies != nullptr) {
                put_some(copies + at, value, n);
            }
        });
    });
}
