// What the GEMV kernels of 4-bit weights share: the matrices as the host hands them over, and their products on tensor
// cores.

struct alignas(16) Vec4 { u32 x, y, z, w; };

// A matrix of weights, and what is done to its products: bias and low-rank addition. Every field has eight bytes, as the host
// lays out arguments.
struct Part {
    const u8* packed;
    const float* absmax;
    const u8* codes;
    const float* map;
    alignas(8) float offset;
    const void* bias;
    const float* low;
    const float* b;
    alignas(8) int rank;
    alignas(8) int out;

    template <class T> __device__ __forceinline__ float ending(int m, int row) const {
        float sum = bias ? wide(reinterpret_cast<const T*>(bias)[row]) : 0.f;
        for (int r = 0; r < rank; r++) sum += low[m * rank + r] * b[static_cast<u64>(row) * rank + r];
        return sum;
    }

    // The scale of block i as it is stored.
    __device__ __forceinline__ float outer(u64 i) const { return codes ? absmax[i >> 8] : absmax[i]; }
};

__device__ __forceinline__ void multiply(float* d, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

constexpr int WARPS = 8;

// A matrix among up to three, as all threads of a block see it.
struct Place {
    int part, start, column;
};

template <int OUTPUTS> __device__ __forceinline__ Place place(int tile, const Part& first, const Part& second) {
    const int tiles = (first.out + OUTPUTS - 1) / OUTPUTS;
    if (tile < tiles) return Place{0, tile * OUTPUTS, 0};
    tile -= tiles;
    const int more = (second.out + OUTPUTS - 1) / OUTPUTS;
    if (tile < more) return Place{1, tile * OUTPUTS, first.out};
    return Place{2, (tile - more) * OUTPUTS, first.out + second.out};
}

struct Parts {
    Part of[3];
};
