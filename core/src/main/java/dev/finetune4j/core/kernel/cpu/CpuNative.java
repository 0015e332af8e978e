package dev.finetune4j.core.kernel.cpu;

import dev.finetune4j.core.tensor.NativeFailure;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.net.URL;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Namespace;
import org.bytedeco.javacpp.annotation.Platform;
import org.jspecify.annotations.Nullable;

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
    /** What the library takes, with room to spare. */
    private static final long UNPACKED_BYTES = 4_000_000;

    private CpuNative() {}

    /** @throws UnsatisfiedLinkError when the library is not there for this platform */
    static void load() {
        Loader.load(CpuNative.class);
    }

    private static @Nullable URL library() {
        return CpuNative.class.getResource(Loader.getPlatform() + "/" + System.mapLibraryName("jnifinetune4jcpu"));
    }

    /** Whether the library is there for this platform, if it can be loaded or not. */
    static boolean isBuilt() {
        return library() != null;
    }

    /** What to say when the library cannot be loaded. */
    static NativeFailure failure() {
        List<@Nullable URL> resources = new ArrayList<>();
        resources.add(library());
        return new NativeFailure(
                "the library of the CPU's kernels",
                resources,
                "this build has no CPU kernels for " + Loader.getPlatform() + "; build it where a C++ compiler is",
                TorchRuntime.unpackingFolder(),
                UNPACKED_BYTES,
                TorchRuntime.CHOOSE_FOLDER);
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

    static native void cpu_gemv_4bit(
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
            float cap,
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

    static native void cpu_adamw8bit(
            int level,
            int threads,
            long values,
            long gradients,
            long copies,
            long blocks,
            long count,
            long codes1,
            long codes2,
            long absmax1,
            long absmax2,
            long wide1,
            long wide2,
            long maps,
            long limits,
            float factor,
            float keep,
            float beta1,
            float beta2,
            float rate,
            float root,
            float epsilon);

    static native void cpu_gemm_nt(
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

    static native void cpu_gemm_nn(
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

    static native void cpu_gemm_tn(
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

    static native void cpu_attend_sequences(
            int level,
            int threads,
            int type,
            @Cast("const long long*") long[] shape,
            float scale,
            float cap,
            long qkv,
            long y,
            long logs);

    static native void cpu_attend_sequences_back(
            int level,
            int threads,
            int type,
            @Cast("const long long*") long[] shape,
            float scale,
            float cap,
            long qkv,
            long y,
            long gradient,
            long logs,
            long gradients,
            long room);

    static native void cpu_gemv(
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
            long rotary,
            @Cast("bool") boolean interleaved,
            long capacity,
            long first,
            long position,
            float scale,
            float softCap,
            long qkv,
            long keys,
            long values,
            long cosine,
            long sine,
            long room,
            long mixed);
}
