package dev.finetune4j.core.kernel;

import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** The down projections of low-rank additions on a CUDA GPU ({@code gemv.cu}), one launch for all weights of one input. */
public final class CudaLowRank {
    private static final int THREADS = 512;
    /** Rows of x that a block takes. */
    private static final int ROWS = 2;
    /** With a norm a thread has all its part of a row at once. */
    private static final int MAX_NORM_WIDTH = THREADS * 8 * 3;

    private CudaLowRank() {}

    /** As {@link GemvKernel#launchLowRank} has it. */
    public static <W> void launch(Tensor x, int rows, List<GemvWeight<W>> weights, Tensor low) {
        launch("low_rank", x, rows, weights, arguments(x, rows, weights, low));
    }

    /** As {@link GemvKernel#launchLowRankOfNorm} has it. */
    public static <W> boolean launchOfNorm(
            Tensor x, int rows, NormSpec norm, Tensor y, List<GemvWeight<W>> weights, Tensor low) {
        if (weights.get(0).in() > MAX_NORM_WIDTH || norm.centered()) {
            return false;
        }
        List<@Nullable Object> arguments = arguments(x, rows, weights, low);
        arguments.add(y);
        CudaNorm.add(arguments, norm);
        launch("norm_low_rank", x, rows, weights, arguments);
        return true;
    }

    private static <W> List<@Nullable Object> arguments(Tensor x, int rows, List<GemvWeight<W>> weights, Tensor low) {
        List<@Nullable Object> arguments =
                new ArrayList<>(List.of(x, low, rows, weights.get(0).in()));
        for (int i = 0; i < GemvKernel.MAX_WEIGHTS; i++) {
            GemvWeight.LowRank addition = i < weights.size() ? weights.get(i).addition() : null;
            arguments.add(addition == null ? null : addition.a());
            arguments.add(addition == null ? 0f : addition.scale());
            arguments.add(addition == null ? 0 : addition.rank());
        }
        return arguments;
    }

    private static <W> void launch(
            String name, Tensor x, int rows, List<GemvWeight<W>> weights, List<@Nullable Object> arguments) {
        long rank = weights.stream().mapToInt(GemvWeight::rank).sum();
        CudaModule.of(CudaLowRank.class, "gemv.cu", Tensors.deviceOf(x))
                .kernel(name + (Tensors.typeOf(x) == ScalarType.Float ? "_f32" : "_bf16"))
                .launch(rank * ((rows + ROWS - 1) / ROWS), THREADS, arguments.toArray());
    }
}
