// The products of one low-rank factor B, with LOWRANK_TILES · 8 ranks.

#include "numbers.cuh"
#include "philox.cuh"
#include "lowrank.cuh"

extern "C" __global__ void __launch_bounds__(256, RESIDENT<LOWRANK_TILES>) gradient_b(
        const bf16* dy, i64 stride, const bf16* low, int lowStride, const bf16* b, float* partial, float* narrow, int rows,
        int width, int panels) {
    gradient<1, LOWRANK_TILES, false, true>(
            dy, stride, low, lowStride, b, partial, narrow, rows, width, panels, Draws<1>{});
}

extern "C" __global__ void __launch_bounds__(256, RESIDENT<LOWRANK_TILES>) up_b(
        const bf16* low, int lowStride, const bf16* b, bf16* y, i64 stride, int rows, int width, int panels) {
    up<1, LOWRANK_TILES, false, true>(low, lowStride, b, y, stride, rows, width, panels, 1.f, Draws<1>{});
}
