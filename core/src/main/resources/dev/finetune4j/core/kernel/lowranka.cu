// The products of low-rank factors A of linears that share an input. Compiled for LOWRANK_MEMBERS linears with LOWRANK_TILES · 8
// ranks each, with LOWRANK_DROP behind their dropout.

#include "numbers.cuh"
#include "philox.cuh"
#include "lowrank.cuh"

#define PARAMETERS                                                                                                     \
    u32 part, u32 pass, const u32 *passOnDevice, u32 key0, u32 key1, u32 threshold, u32 module0, u32 module1, u32 module2
#define DRAWS                                                                                                          \
    Draws<LOWRANK_MEMBERS> { part, passOnDevice ? *passOnDevice : pass, key0, key1, threshold, { module0, module1, module2 } }

constexpr int ALL_RANKS = LOWRANK_MEMBERS * LOWRANK_TILES * 8;

extern "C" __global__ void __launch_bounds__(256, RESIDENT<LOWRANK_MEMBERS * LOWRANK_TILES>) down_a(
        const bf16* x, i64 stride, const bf16* a, bf16* low, float* partial, int rows, int width, int splits, float scale0,
        float scale1, float scale2, PARAMETERS) {
    down<LOWRANK_MEMBERS, LOWRANK_TILES, LOWRANK_DROP>(
            x, stride, a, low, partial, rows, width, splits, scale0, scale1, scale2, DRAWS);
}

extern "C" __global__ void __launch_bounds__(256, RESIDENT<LOWRANK_MEMBERS * LOWRANK_TILES>) gradient_a(
        const bf16* x, i64 stride, const bf16* low, float* partial, int rows, int width, int panels, PARAMETERS) {
    gradient<LOWRANK_MEMBERS, LOWRANK_TILES, LOWRANK_DROP, false>(
            x, stride, low, ALL_RANKS, nullptr, partial, nullptr, rows, width, panels, DRAWS);
}

extern "C" __global__ void __launch_bounds__(256, RESIDENT<LOWRANK_MEMBERS * LOWRANK_TILES>) up_a(
        const bf16* low, const bf16* a, bf16* y, i64 stride, int rows, int width, int panels, float scale, PARAMETERS) {
    up<LOWRANK_MEMBERS, LOWRANK_TILES, LOWRANK_DROP, false>(
            low, ALL_RANKS, a, y, stride, rows, width, panels, scale, DRAWS);
}
