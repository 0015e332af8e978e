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

    static native @Cast("bool") boolean cpu_has_panels(int level);

    static native void cpu_forward(
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
}
