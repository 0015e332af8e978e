package dev.finetune4j.core.cpu;

import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Namespace;
import org.bytedeco.javacpp.annotation.Platform;

/**
 * The functions of {@code finetune4j_cpu.h}. Addresses are those of native memory; nothing is checked here or there.
 *
 * <p>The build compiles the library for the machine that it runs on, where there is a C++ compiler.
 */
@Platform(
        include = "finetune4j_cpu.h",
        compiler = {"cpp17", "kernels"},
        library = "jnifinetune4jcpu")
@Namespace("finetune4j")
final class CpuNative {
    private CpuNative() {}

    /** @throws UnsatisfiedLinkError when the library is not there for this platform */
    static void load() {
        Loader.load(CpuNative.class);
    }

    static native @Cast("bool") boolean cpu_runs(int level);

    static native void cpu_decode(
            int level,
            int threads,
            long packed,
            int shift,
            long table,
            long absmax,
            long nested,
            long map,
            float offset,
            long columns,
            long row,
            long rows,
            long column,
            long width,
            int type,
            long to,
            long stride);

    static native void cpu_absmax(int level, int threads, int type, long from, long count, int shift, long to);

    static native void cpu_encode(
            int level,
            int threads,
            int type,
            long from,
            long count,
            int shift,
            long factors,
            long limits,
            long intervalCodes,
            long to);

    static native void cpu_rows(
            int level,
            int threads,
            long packed,
            int shift,
            long table,
            long absmax,
            long nested,
            long map,
            float offset,
            long in,
            long out,
            int type,
            long x,
            long tokens,
            long bias,
            long y,
            long stride,
            @Cast("bool") boolean add);

    static native @Cast("bool") boolean cpu_has_pairs(int level);

    static native void cpu_forward(
            int level,
            int threads,
            int type,
            long packed,
            int shift,
            long table,
            long absmax,
            long nested,
            long map,
            float offset,
            long in,
            long out,
            long x,
            long xStride,
            long tokens,
            long bias,
            long y,
            long yStride,
            @Cast("bool") boolean add);

    static native void cpu_backward(
            int level,
            int threads,
            int type,
            long packed,
            int shift,
            long table,
            long absmax,
            long nested,
            long map,
            float offset,
            long in,
            long out,
            long gradient,
            long gradientStride,
            long tokens,
            long dx,
            long dxStride,
            @Cast("bool") boolean add);

    static native void cpu_rms_forward(
            int level,
            int threads,
            int type,
            long x,
            long weight,
            long y,
            long inverse,
            long rows,
            long width,
            float epsilon,
            @Cast("bool") boolean unitOffset);

    static native void cpu_rms_backward(
            int level,
            int threads,
            int type,
            long gradient,
            long x,
            long weight,
            long inverse,
            long past,
            long dx,
            long y,
            long rows,
            long width,
            @Cast("bool") boolean unitOffset);

    static native void cpu_swiglu_forward(int level, int threads, int type, long both, long y, long rows, long width);

    static native void cpu_swiglu_backward(
            int level, int threads, int type, long gradient, long both, long y, long rows, long width);

    static native void cpu_dropout(
            int level,
            int threads,
            int type,
            long x,
            long y,
            long count,
            int part,
            int module,
            int pass,
            long seed,
            int threshold,
            float scale);

    static native void cpu_rope(
            int level,
            int threads,
            int type,
            long x,
            long y,
            long cosines,
            long sines,
            @Cast("const long long*") long[] shape,
            float direction);

    static native void cpu_cross_entropy(
            int level,
            int threads,
            int type,
            long logits,
            long labels,
            long losses,
            float scale,
            long rows,
            long width);

    static native void cpu_adamw(
            int level,
            int threads,
            long values,
            long gradients,
            long copies,
            long mean,
            long variance,
            long count,
            float factor,
            float keep,
            float beta1,
            float beta2,
            float rate,
            float root,
            float epsilon);

    static native void cpu_by_rows(
            int level,
            int threads,
            int type,
            long a,
            long aStride,
            long b,
            long bStride,
            long bias,
            long c,
            long cStride,
            long rows,
            long columns,
            long depth,
            float scale,
            @Cast("bool") boolean add);

    static native void cpu_by_columns(
            int level,
            int threads,
            int type,
            long a,
            long aStride,
            long b,
            long bStride,
            long c,
            long cStride,
            long rows,
            long columns,
            long depth,
            float scale,
            @Cast("bool") boolean add);

    static native void cpu_add_columns(
            int level,
            int threads,
            int type,
            long a,
            long aStride,
            long b,
            long bStride,
            long c,
            long cStride,
            long rows,
            long columns,
            long depth,
            @Cast("bool") boolean turned);

    static native void cpu_dense_rows(
            int level,
            int threads,
            int type,
            long weight,
            long in,
            long out,
            long x,
            long rows,
            long bias,
            long y,
            long stride,
            @Cast("bool") boolean add);

    static native void cpu_low_rank(
            int level, int threads, int type, long a, long x, long low, long rows, long rank, long in, float scale);

    static native void cpu_high_rank(
            int level,
            int threads,
            int type,
            long b,
            long low,
            long y,
            long stride,
            long rows,
            long rank,
            long out,
            @Cast("bool") boolean add);

    static native void cpu_attend(
            int level,
            int threads,
            int type,
            long heads,
            long kvHeads,
            long size,
            long capacity,
            long position,
            float scale,
            long qkv,
            long keys,
            long values,
            long cosine,
            long sine,
            long room,
            long mixed);
}
