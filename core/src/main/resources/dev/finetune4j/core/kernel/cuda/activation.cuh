// What a gate goes through in a decoder, by the codes of Activation.java.

constexpr int SILU = 0, GELU = 1;  // else the approximation of GELU by a hyperbolic tangent

__device__ __forceinline__ float activated(int activation, float x) {
    if (activation == GELU) return 0.5f * x * (1.f + erff(x * 0.70710678f));
    // x (1 + tanh(u)) / 2 = x sigmoid(2 u)
    const float steepness = activation == SILU ? 1.f : 1.59576912f * (1.f + 0.044715f * x * x);
    return x / (1.f + __expf(-steepness * x));
}
