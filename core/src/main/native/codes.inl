// Between numbers and 4-bit codes. Included once for each level, inside its namespace.

constexpr int64_t RANGE = 1 << 16;  // weights that a thread takes at least
constexpr int64_t AWAY_BYTES = 1 << 20;  // larger results go past the caches

template <bool AWAY, typename T>
inline void expand(const Lookup<T> &lookup, const uint8_t *packed, T *to) {
    if (AWAY) {
        expand_away(lookup, packed, to);
    } else {
        expand(lookup, packed, to);
    }
}

/// Decodes weights [at, stop) of one block.
template <typename T, bool AWAY>
inline void decode_piece(const Codes &codes, Table table, int64_t at, int64_t stop, T *to) {
    float scale = codes.scale(at >> codes.shift);
    Lookup<T> lookup;
    scaled(table, scale, lookup);
    if ((at & 1) != 0) {
        narrow(codes.table[codes.code(at)] * scale, *to++);
        at++;
    }
    for (; at + 32 <= stop; at += 32, to += 32) {
        expand<AWAY>(lookup, codes.packed + (at >> 1), to);
    }
    for (; at < stop; at++) {
        narrow(codes.table[codes.code(at)] * scale, *to++);
    }
}

/// Decodes whole blocks of a multiple of 64 weights; little but the vectors is left in the loop.
template <typename T, bool AWAY, typename Scale>
inline void decode_blocks(
    Table table, const Scale &scale, int64_t block, int64_t last, int64_t size, const uint8_t *packed, T *to) {
    for (; block < last; block++) {
        Lookup<T> lookup;
        scaled(table, scale(block), lookup);
        for (int64_t i = 0; i < size; i += 64, packed += 32, to += 64) {
            expand<AWAY>(lookup, packed, to);
            expand<AWAY>(lookup, packed + 16, to + 32);
        }
    }
}

/// Decodes weights [start, start + count) of the flat matrix.
template <typename T, bool AWAY>
inline void decode_range(const Codes &of, Table table, int64_t start, int64_t count, T *to) {
    const Codes codes = of;  // a copy that no write to memory can change
    const int64_t size = int64_t{1} << codes.shift;
    int64_t end = start + count;
    int64_t at = start;
    while (at < end) {
        int64_t block = at >> codes.shift;
        int64_t last = end >> codes.shift;
        if (size >= 64 && block < last && (at & (size - 1)) == 0) {
            const uint8_t *packed = codes.packed + (at >> 1);
            if (codes.nested == nullptr) {
                const float *scales = codes.absmax;
                decode_blocks<T, AWAY>(table, [=](int64_t i) { return scales[i]; }, block, last, size, packed, to);
            } else {
                decode_blocks<T, AWAY>(
                    table, [=](int64_t i) { return codes.scale(i); }, block, last, size, packed, to);
            }
            to += (last << codes.shift) - at;
            at = last << codes.shift;
        } else {
            int64_t stop = std::min(end, (block + 1) << codes.shift);
            decode_piece<T, AWAY>(codes, table, at, stop, to);
            to += stop - at;
            at = stop;
        }
    }
}

/// Decodes columns [column, column + width) of rows [row, row + rows) of a matrix; stride counts numbers of the output.
template <typename T>
void decode(
    const Codes &codes, int64_t columns, int64_t row, int64_t rows, int64_t column, int64_t width, T *to,
    int64_t stride, int threads) {
    Table table = codes_of(codes.table);
    if (width == columns && stride == columns) {
        int64_t first = row * columns;
        bool away = rows * columns * static_cast<int64_t>(sizeof(T)) > AWAY_BYTES && (first & 63) == 0 &&
                    (reinterpret_cast<uintptr_t>(to) & 63) == 0;
        parallel(threads, rows * columns, RANGE, [&](int64_t begin, int64_t end) {
            if (away) {
                decode_range<T, true>(codes, table, first + begin, end - begin, to + begin);
                finish_away();
            } else {
                decode_range<T, false>(codes, table, first + begin, end - begin, to + begin);
            }
        });
        return;
    }
    parallel(threads, rows, std::max<int64_t>(1, RANGE / std::max<int64_t>(1, width)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            decode_range<T, false>(codes, table, (row + i) * columns + column, width, to + i * stride);
        }
    });
}

/// The largest magnitude of each block, as bits: above those of the largest number where a NaN or an infinity is.
template <typename T>
void absmax(const T *from, int64_t count, int shift, float *to, int threads) {
    int64_t size = int64_t{1} << shift;
    int64_t blocks = (count + size - 1) >> shift;
    parallel(threads, blocks, std::max<int64_t>(1, RANGE >> shift), [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; block++) {
            int64_t at = block << shift;
            int64_t stop = std::min(count, at + size);
            Magnitudes most = no_magnitudes();
            for (; at + LANES <= stop; at += LANES) {
                most = with(most, load(from + at));
            }
            uint32_t bits = largest(most);
            for (; at < stop; at++) {
                bits = std::max(bits, bits_of(widen(from[at])) & 0x7fffffffu);
            }
            to[block] = float_of(bits);
        }
    });
}

/// The codes of numbers times the factor of their block; a factor of zero makes code 0.
template <typename T>
void encode(
    const T *from, int64_t count, int shift, const float *factors, const float *limits, const uint8_t *interval_codes,
    uint8_t *to, int threads) {
    int64_t size = int64_t{1} << shift;
    int64_t blocks = (count + size - 1) >> shift;
    Intervals places = intervals(limits);
    parallel(threads, blocks, std::max<int64_t>(1, RANGE >> shift), [&](int64_t begin, int64_t end) {
        uint8_t found[32];
        for (int64_t block = begin; block < end; block++) {
            int64_t at = block << shift;
            int64_t stop = std::min(count, at + size);
            float factor = factors[block];
            if (factor == 0) {
                std::memset(to + (at >> 1), 0, static_cast<size_t>((stop - at + 1) >> 1));
                continue;
            }
            for (; at < stop; at += 32) {
                int64_t some = std::min<int64_t>(32, stop - at);
                T rest[32] = {};
                const T *numbers = from + at;
                if (some < 32) {
                    std::copy(numbers, numbers + some, rest);
                    numbers = rest;
                }
                for (int i = 0; i < 32; i += LANES) {
                    find(places, load(numbers + i) * spread(factor), found + i);
                }
                if ((some & 1) != 0) {
                    // The second half of the last byte is what zero times the factor gives.
                    some++;
                }
                for (int64_t i = 0; i < some; i += 2) {
                    to[(at + i) >> 1] =
                        static_cast<uint8_t>(interval_codes[found[i]] << 4 | interval_codes[found[i + 1]]);
                }
            }
        }
    });
}
