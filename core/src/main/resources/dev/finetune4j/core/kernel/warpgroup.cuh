// What the four warps of a warpgroup do together with tensor cores of compute capability 9: products of matrices that lie in shared
// memory (wgmma), asked for one after another between beginProducts and endProducts.
//
// A matrix lies in rows of 128 bytes, 64 numbers, whose pieces of 16 bytes are in the order that 128-byte swizzling wants
// (piece i of row r at i ^ r % 8); wider matrices are blocks of such rows behind one another. It begins at a multiple of 1,024 bytes.

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define WARPGROUPS 1

__device__ __forceinline__ void beginProducts() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

__device__ __forceinline__ void endProducts() {
    asm volatile("wgmma.commit_group.sync.aligned;\n\twgmma.wait_group.sync.aligned 0;" ::: "memory");
}

// What a thread has written to shared memory is there for products after the next barrier.
__device__ __forceinline__ void publish() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// blockBytes: from one block of rows to the next, for matrices that are read across their rows.
__device__ __forceinline__ u64 matrixAt(u32 at, u32 blockBytes) {
    const u64 groupBytes = 8 * 128, swizzled = 1;
    return (at & 0x3ffff) >> 4 | static_cast<u64>(blockBytes >> 4) << 16 | groupBytes >> 4 << 32 | swizzled << 62;
}

#define FOUR(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define SIXTEEN(i) FOUR(i), FOUR(i + 1), FOUR(i + 2), FOUR(i + 3)
#define NAMES_32 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define NAMES_64 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES_128 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

// d (64 x N) += a (64 x 16) times, rows: the transposed b (N x 16), or columns: b (16 x N).
template <int N> struct Products;

template <> struct Products<32> {
    static __device__ __forceinline__ void rows(float (&d)[4][4], u64 a, u64 b) {
        asm volatile("{.reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {" NAMES_32
                     "}, %16, %17, p, 1, 1, 0, 0;}"
                     : SIXTEEN(0)
                     : "l"(a), "l"(b));
    }
    static __device__ __forceinline__ void columns(float (&d)[4][4], u64 a, u64 b) {
        asm volatile("{.reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {" NAMES_32
                     "}, %16, %17, p, 1, 1, 0, 1;}"
                     : SIXTEEN(0)
                     : "l"(a), "l"(b));
    }
    static __device__ __forceinline__ void columns(float (&d)[4][4], const u32 (&a)[4], u64 b) {
        asm volatile("{.reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {" NAMES_32
                     "}, {%16, %17, %18, %19}, %20, p, 1, 1, 1;}"
                     : SIXTEEN(0)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
    }
};

template <> struct Products<64> {
    static __device__ __forceinline__ void rows(float (&d)[8][4], u64 a, u64 b) {
        asm volatile("{.reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" NAMES_64
                     "}, %32, %33, p, 1, 1, 0, 0;}"
                     : SIXTEEN(0), SIXTEEN(4)
                     : "l"(a), "l"(b));
    }
    static __device__ __forceinline__ void columns(float (&d)[8][4], u64 a, u64 b) {
        asm volatile("{.reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" NAMES_64
                     "}, %32, %33, p, 1, 1, 0, 1;}"
                     : SIXTEEN(0), SIXTEEN(4)
                     : "l"(a), "l"(b));
    }
    static __device__ __forceinline__ void columns(float (&d)[8][4], const u32 (&a)[4], u64 b) {
        asm volatile("{.reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" NAMES_64
                     "}, {%32, %33, %34, %35}, %36, p, 1, 1, 1;}"
                     : SIXTEEN(0), SIXTEEN(4)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
    }
};

template <> struct Products<128> {
    static __device__ __forceinline__ void rows(float (&d)[16][4], u64 a, u64 b) {
        asm volatile("{.reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" NAMES_128
                     "}, %64, %65, p, 1, 1, 0, 0;}"
                     : SIXTEEN(0), SIXTEEN(4), SIXTEEN(8), SIXTEEN(12)
                     : "l"(a), "l"(b));
    }
    static __device__ __forceinline__ void columns(float (&d)[16][4], u64 a, u64 b) {
        asm volatile("{.reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" NAMES_128
                     "}, %64, %65, p, 1, 1, 0, 1;}"
                     : SIXTEEN(0), SIXTEEN(4), SIXTEEN(8), SIXTEEN(12)
                     : "l"(a), "l"(b));
    }
    static __device__ __forceinline__ void columns(float (&d)[16][4], const u32 (&a)[4], u64 b) {
        asm volatile("{.reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" NAMES_128
                     "}, {%64, %65, %66, %67}, %68, p, 1, 1, 1;}"
                     : SIXTEEN(0), SIXTEEN(4), SIXTEEN(8), SIXTEEN(12)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
    }
};

#undef FOUR
#undef SIXTEEN
#undef NAMES_32
#undef NAMES_64
#undef NAMES_128
#else
#define WARPGROUPS 0

__device__ __forceinline__ void publish() {}
#endif
