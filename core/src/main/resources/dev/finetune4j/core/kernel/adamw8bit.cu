// AdamW in one pass with its moments in blocks of 256 numbers, a warp for each: in 8-bit codes of two codebooks with a scale for
// each block, or in float32. The clipping by norm comes before it. Nothing changes when the loss or the norm is no number.
// copies, if they are there, hold the values in bfloat16.

typedef unsigned long long u64;
typedef long long i64;

constexpr int SIZE = 256;
constexpr int EACH = SIZE / 32;

__device__ __forceinline__ float largest(float x) {
#pragma unroll
    for (int other = 16; other > 0; other /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, other));
    return x;
}

// The nearest code: as many as there are limits below x.
__device__ __forceinline__ int nearest(const float* limits, float x) {
    int code = 0;
#pragma unroll
    for (int step = 128; step > 0; step /= 2) {
        if (x > limits[code + step - 1]) code += step;
    }
    return code;
}

extern "C" __global__ void __launch_bounds__(256) adamw8bit_f32(
        float* values, float* gradients, unsigned short* copies, const i64* blocks, i64 n, unsigned char* codes, float* absmax,
        i64 coded, float* wide, i64 wides, const float* maps, const float* limits, const float* norm, const double* loss,
        float maxNorm, float keep, float beta1, float beta2, float rate, float root2, float epsilon) {
    __shared__ float map[2][SIZE], limit[2][SIZE];
    for (int i = threadIdx.x; i < SIZE; i += blockDim.x) {
        for (int moment = 0; moment < 2; moment++) {
            map[moment][i] = maps[moment * SIZE + i];
            limit[moment][i] = i + 1 < SIZE ? limits[moment * (SIZE - 1) + i] : 3e38f;
        }
    }
    __syncthreads();
    if (!isfinite(*norm) || !isfinite(*loss)) return;
    const float factor = maxNorm > 0.f ? fminf(1.f, maxNorm / (*norm + 1e-6f)) : 1.f;
    const int lane = threadIdx.x % 32, warps = blockDim.x / 32;
    for (i64 b = static_cast<i64>(blockIdx.x) * warps + threadIdx.x / 32; b < n; b += static_cast<i64>(gridDim.x) * warps) {
        const i64 from = blocks[3 * b], place = blocks[3 * b + 1];
        const int count = static_cast<int>(blocks[3 * b + 2]);
        unsigned char* code1 = codes + place * SIZE;
        unsigned char* code2 = code1 + coded * SIZE;
        float* wide1 = wide + (-1 - place);
        float* wide2 = wide1 + wides;
        const float scale1 = place >= 0 ? absmax[place] : 0.f, scale2 = place >= 0 ? absmax[coded + place] : 0.f;
        float means[EACH], variances[EACH], top1 = 0.f, top2 = 0.f;
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            const int k = lane + 32 * j;
            means[j] = variances[j] = 0.f;
            if (k >= count) continue;
            const float g = gradients[from + k] * factor;
            float m = place >= 0 ? map[0][code1[k]] * scale1 : wide1[k];
            float v = place >= 0 ? map[1][code2[k]] * scale2 : wide2[k];
            m = m + (g - m) * (1.f - beta1);
            v = v * beta2 + g * g * (1.f - beta2);
            means[j] = m;
            variances[j] = v;
            top1 = fmaxf(top1, fabsf(m));
            top2 = fmaxf(top2, v);
            gradients[from + k] = 0.f;
            const float value = values[from + k] * keep - rate * (m / (sqrtf(v) / root2 + epsilon));
            values[from + k] = value;
            if (copies) {
                unsigned pair;
                asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(0.f), "f"(value));
                copies[from + k] = static_cast<unsigned short>(pair);
            }
        }
        top1 = largest(top1);
        top2 = largest(top2);
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            const int k = lane + 32 * j;
            if (k >= count) continue;
            if (place < 0) {
                wide1[k] = means[j];
                wide2[k] = variances[j];
                continue;
            }
            int code = nearest(limit[0], top1 > 0.f ? means[j] / top1 : 0.f);
            // What is below zero stays there, as bitsandbytes has it.
            code1[k] = static_cast<unsigned char>(means[j] < 0.f && map[0][code] >= 0.f ? code - 1 : code);
            code2[k] = static_cast<unsigned char>(nearest(limit[1], top2 > 0.f ? variances[j] / top2 : 0.f));
        }
        if (place >= 0 && lane == 0) {
            absmax[place] = top1;
            absmax[coded + place] = top2;
        }
    }
}
