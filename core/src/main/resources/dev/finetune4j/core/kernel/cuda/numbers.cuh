// What the kernels share: numbers in float and bfloat16, and the order of overlapping kernels. No headers of CUDA: the
// compiler runs where no CUDA toolkit is installed.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

struct bf16 { u16 bits; };

__device__ __forceinline__ float wide(float x) { return x; }
__device__ __forceinline__ float wide(bf16 x) { return __uint_as_float(static_cast<u32>(x.bits) << 16); }

// Two floats, each rounded to the nearest bfloat16 (ties to even), the first in the low half.
__device__ __forceinline__ u32 bf16x2(float first, float second) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}

template <class T> __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 narrow<bf16>(float x) { return bf16{static_cast<u16>(bf16x2(x, 0.f))}; }

// Eight values that lie in a row, moved in 16-byte pieces.
template <class T> struct alignas(16) Eight { T v[8]; };

template <class T> __device__ __forceinline__ void load(const T* from, float* to) {
    const Eight<T> e = *reinterpret_cast<const Eight<T>*>(from);
#pragma unroll
    for (int i = 0; i < 8; i++) to[i] = wide(e.v[i]);
}

template <class T> __device__ __forceinline__ void store(T* to, const float* from) {
    Eight<T> e;
#pragma unroll
    for (int i = 0; i < 8; i++) e.v[i] = narrow<T>(from[i]);
    *reinterpret_cast<Eight<T>*>(to) = e;
}

// The next kernel of the stream may begin as far as it does not need what this one writes; see waitForPrevious.
__device__ __forceinline__ void nextMayStart() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Until the kernels before this one have written everything. Comes before all that reads their results or writes.
__device__ __forceinline__ void waitForPrevious() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
