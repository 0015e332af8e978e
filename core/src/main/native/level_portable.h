// Plain C++ for every processor; compilers make short vectors of it. Included inside the level's namespace.

constexpr int LANES = 8;
constexpr int TILE_OF_FLOATS = 3;

struct Floats {
    float v[LANES];
};

template <typename Operation>
inline Floats each(Operation operation) {
    Floats result;
    for (int i = 0; i < LANES; i++) {
        result.v[i] = operation(i);
    }
    return result;
}

inline Floats spread(float value) {
    return each([&](int) { return value; });
}
template <typename T>
inline Floats load(const T *from) {
    return each([&](int i) { return widen(from[i]); });
}
template <typename T>
inline void store(T *to, Floats value) {
    for (int i = 0; i < LANES; i++) {
        narrow(value.v[i], to[i]);
    }
}
inline Floats operator+(Floats a, Floats b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline Floats operator-(Floats a, Floats b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
}
inline Floats operator*(Floats a, Floats b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline Floats operator/(Floats a, Floats b) {
    return each([&](int i) { return a.v[i] / b.v[i]; });
}
/// Not fused here: the library function for that is slow where the processor has no instruction.
inline Floats fused(Floats a, Floats b, Floats c) { return a * b + c; }
inline Floats larger(Floats a, Floats b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Floats smaller(Floats a, Floats b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Floats root(Floats a) {
    return each([&](int i) { return std::sqrt(a.v[i]); });
}
inline Floats whole(Floats a) {
    return each([&](int i) { return std::nearbyint(a.v[i]); });
}
inline Floats power_of_two(Floats a) {
    return each([&](int i) { return float_of(static_cast<uint32_t>(static_cast<int>(a.v[i]) + 127) << 23); });
}
inline float total(Floats a) {
    float sum = 0;
    for (float value : a.v) {
        sum += value;
    }
    return sum;
}
inline float largest(Floats a) { return *std::max_element(a.v, a.v + LANES); }

struct Magnitudes {
    uint32_t v;
};
inline Magnitudes no_magnitudes() { return {0}; }
inline Magnitudes with(Magnitudes a, Floats value) {
    for (float lane : value.v) {
        a.v = std::max(a.v, bits_of(lane) & 0x7fffffffu);
    }
    return a;
}
inline uint32_t largest(Magnitudes a) { return a.v; }

struct Intervals {
    const float *limits;
};
inline Intervals intervals(const float *limits) { return {limits}; }
inline void find(const Intervals &of, Floats value, uint8_t *to) {
    for (int i = 0; i < LANES; i++) {
        int count = 0;
        for (int k = 0; k < 15; k++) {
            count += value.v[i] > of.limits[k];
        }
        to[i] = static_cast<uint8_t>(count);
    }
}

template <typename T>
struct Lookup {
    T table[16];
};

struct Table {
    const float *values;
};
inline Table codes_of(const float *table) { return {table}; }

template <typename T>
inline void scaled(Table table, float scale, Lookup<T> &to) {
    for (int i = 0; i < 16; i++) {
        narrow(table.values[i] * scale, to.table[i]);
    }
}
template <typename T>
inline void expand(const Lookup<T> &lookup, const uint8_t *packed, T *to) {
    for (int i = 0; i < 16; i++) {
        to[2 * i] = lookup.table[packed[i] >> 4];
        to[2 * i + 1] = lookup.table[packed[i] & 15];
    }
}
template <typename T>
inline void expand_away(const Lookup<T> &lookup, const uint8_t *packed, T *to) {
    expand(lookup, packed, to);
}
inline void finish_away() {}

inline void transpose(Floats v[LANES]) {
    for (int i = 0; i < LANES; i++) {
        for (int k = 0; k < i; k++) {
            std::swap(v[i].v[k], v[k].v[i]);
        }
    }
}
