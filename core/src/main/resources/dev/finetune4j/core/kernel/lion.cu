// Lion in one pass, with the clipping by norm before it. Nothing changes when the loss or the norm is no number. copies, if they
// are there, hold the values in bfloat16.

typedef unsigned long long u64;

extern "C" __global__ void __launch_bounds__(256) lion_f32(
        float* values, float* gradients, unsigned short* copies, float* means, u64 n, const float* norm, const double* loss,
        float maxNorm, float keep, float beta1, float beta2, float rate) {
    if (!isfinite(*norm) || !isfinite(*loss)) return;
    const float factor = maxNorm > 0.f ? fminf(1.f, maxNorm / (*norm + 1e-6f)) : 1.f;
    for (u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
         i += static_cast<u64>(gridDim.x) * blockDim.x) {
        const float g = gradients[i] * factor;
        const float m = means[i];
        const float direction = m + (g - m) * (1.f - beta1);
        const float sign = direction > 0.f ? 1.f : direction < 0.f ? -1.f : 0.f;
        const float value = values[i] * keep - rate * sign;
        means[i] = m + (g - m) * (1.f - beta2);
        gradients[i] = 0.f;
        values[i] = value;
        if (copies) {
            unsigned pair;
            asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(0.f), "f"(value));
            copies[i] = static_cast<unsigned short>(pair);
        }
    }
}
