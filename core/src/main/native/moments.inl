// AdamW with its moments in 8 bits, in blocks that share a scale.

/// Nearest codes of numbers up to 1: the leading bits of a number say with which code to begin, and few are left to pass by.
class NearestCode {
  public:
    /// limits: 255 between the codes, rising.
    explicit NearestCode(const float *limits) : limits(limits) {
        int code = 0;
        for (int cell = CELLS - 1; cell >= 0; cell--) {
            code = above(-lowest(cell + 1), code);
            first[1][cell] = static_cast<uint8_t>(code);
        }
        for (int cell = 0; cell < CELLS; cell++) {
            code = above(cell == 0 ? 0.0f : lowest(cell), code);
            first[0][cell] = static_cast<uint8_t>(code);
        }
    }

    uint8_t operator()(float x) const {
        uint32_t bits;
        std::memcpy(&bits, &x, sizeof bits);
        int cell = static_cast<int>((bits & 0x7fffffffu) >> SHIFT) - LOWEST;
        int code = first[bits >> 31][std::min(std::max(cell, 0), CELLS - 1)];
        // Cells of bitsandbytes' maps hold one limit at most, and a comparison is cheaper than a branch.
        code += (code < 255) & (x > limits[std::min(code, 254)]);
        return static_cast<uint8_t>(above(x, code));
    }

  private:
    static constexpr int SHIFT = 16;                   // leaves sign, exponent and 7 bits behind the point
    static constexpr int LOWEST = (127 - 24) << 7;     // what is smaller shares a cell
    static constexpr int CELLS = (24 << 7) + 1;        // up to 1

    static float lowest(int cell) {
        uint32_t bits = static_cast<uint32_t>(cell + LOWEST) << SHIFT;
        float x;
        std::memcpy(&x, &bits, sizeof x);
        return x;
    }

    int above(float x, int code) const {
        while (code < 255 && x > limits[code]) {
            code++;
        }
        return code;
    }

    const float *limits;
    uint8_t first[2][CELLS];
};

/// The moments of one block while a step works on it.
struct MomentBlock {
    static constexpr int64_t SIZE = 256;

    const Moments &all;
    int64_t place;
    int64_t count;
    float narrow[2][SIZE];

    MomentBlock(const Moments &all, int64_t place, int64_t count) : all(all), place(place), count(count) {
        for (int i = 0; i < 2 && place >= 0; i++) {
            const uint8_t *codes = all.codes[i] + place * SIZE;
            float scale = all.absmax[i][place];
            for (int64_t k = 0; k < count; k++) {
                narrow[i][k] = all.maps[i * SIZE + codes[k]] * scale;
            }
        }
    }

    float *numbers(int moment) { return place >= 0 ? narrow[moment] : all.wide[moment] + (-1 - place); }

    void keep(const NearestCode *nearest) {
        for (int i = 0; i < 2 && place >= 0; i++) {
            float top = 0;
            for (int64_t k = 0; k < count; k++) {
                top = std::max(top, std::fabs(narrow[i][k]));
            }
            all.absmax[i][place] = top;
            uint8_t *codes = all.codes[i] + place * SIZE;
            for (int64_t k = 0; k < count; k++) {
                uint8_t code = nearest[i](top > 0 ? narrow[i][k] / top : 0.0f);
                // What is below zero stays there, as bitsandbytes has it.
                codes[k] = narrow[i][k] < 0 && all.maps[i * SIZE + code] >= 0 ? code - 1 : code;
            }
        }
    }
};

/// A step of AdamW, see elements.inl, with moments in blocks.
inline void adamw8bit(
    float *values, float *gradients, bf16 *copies, const Moments &moments, int64_t blocks, const AdamwStep &step,
    int threads) {
    const NearestCode nearest[2] = {NearestCode(moments.limits), NearestCode(moments.limits + 255)};
    parallel(threads, blocks, SOME_NUMBERS / MomentBlock::SIZE, [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; block++) {
            const int64_t *place = moments.blocks + 3 * block;
            MomentBlock kept(moments, place[1], place[2]);
            int64_t from = place[0];
            adamw(
                values + from, gradients + from, copies == nullptr ? nullptr : copies + from, kept.numbers(0),
                kept.numbers(1), place[2], step, 1);
            kept.keep(nearest);
        }
    });
}
