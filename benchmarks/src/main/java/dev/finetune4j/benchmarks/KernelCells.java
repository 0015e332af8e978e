package dev.finetune4j.benchmarks;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.FusedGemv;
import dev.finetune4j.core.kernel.cuda.CudaGraph;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinear;
import dev.finetune4j.quant.kernel.QuantizedTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntConsumer;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Times the kernels on 4-bit weights of a GPU: making a weight dense, and a linear forward and backward. The weights rotate over more
 * bytes than the second-level cache holds. One line of JSON for each cell; before them what the GPU reaches at most ({@link Roofline}),
 * and beside each the dense product. A GPU works harder than its power limit lets it for long, so the products of many rows depend on
 * what ran before: each begins after half a second without work.
 */
public final class KernelCells {
    private static final long ROTATION_BYTES = 256L << 20;
    private static final int ROUNDS = 5;
    /** Of a round: so long that its begin and end, where the GPU waits for the host, do not count. */
    private static final double ROUND_MILLIS = 60;

    private static final int MOST_CALLS = 2000;
    private static final long REST_NANOS = 500_000_000L;
    /** How often a captured graph of GEMVs goes through the weights: a decoder's holds some hundred products. */
    private static final int CAPTURED_TURNS = 16;

    private KernelCells() {}

    public static void main(String[] args) {
        ComputeDevice gpu = ComputeDevice.cuda(0);
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Roofline.cells(gpu);
            for (int[] shape : new int[][] {{4096, 4096}, {11008, 4096}, {4096, 11008}}) {
                cells(gpu, shape[0], shape[1]);
            }
        }
    }

    private static void cells(ComputeDevice gpu, int out, int in) {
        try (TensorScope scope = new TensorScope()) {
            Tensor dense = normal(gpu, 0.02, out, in);
            List<QuantizedTensor> weights = new ArrayList<>();
            List<Tensor> copies = new ArrayList<>();
            for (long bytes = 0; bytes < ROTATION_BYTES; bytes += dense.nbytes() / 4) {
                weights.add(QuantizedTensor.quantize(dense, QuantSettings.nf4()));
                copies.add(dense.clone());
            }
            long stored = weights.get(0).storedBytes();
            double ms = millis(i -> weights.get(i % weights.size()).dequantize(ScalarType.BFloat16));
            print(
                    "\"op\": \"dequant\", \"n\": %d, \"k\": %d, \"ms\": %.4f, \"gb_s\": %.0f, \"gelem_s\": %.0f",
                    out, in, ms, (stored + dense.nbytes()) / ms / 1e6, (double) out * in / ms / 1e6);
            List<QuantizedLinear> linears = new ArrayList<>();
            weights.forEach(weight -> linears.add(new QuantizedLinear(weight, null)));
            for (int tokens : new int[] {1, 16, 512, 4096}) {
                Tensor x = normal(gpu, 1, tokens, in);
                rest();
                double own = millis(i -> linears.get(i % linears.size()).forward(x));
                rest();
                double plain = millis(i -> torch.linear(x, copies.get(i % copies.size())));
                printProduct("fwd", tokens, out, in, own, plain, stored);
                Tensor dy = normal(gpu, 1, tokens, out);
                rest();
                double ownBack = millis(i -> linears.get(i % linears.size()).inputGradient(dy));
                rest();
                double plainBack = millis(i -> dy.matmul(copies.get(i % copies.size())));
                printProduct("bwd_dx", tokens, out, in, ownBack, plainBack, stored);
            }
            gemv(gpu, linears, stored, out, in);
            linears.forEach(QuantizedLinear::close);
        }
    }

    /** Half a second without work: each cell begins on a GPU that is as cool as for the others. */
    private static void rest() {
        CudaMemory.synchronize();
        LockSupport.parkNanos(REST_NANOS);
    }

    static Tensor normal(ComputeDevice gpu, double deviation, long... shape) {
        return Tensors.empty(gpu, ScalarType.BFloat16, shape).normal_(0, deviation, new GeneratorOptional());
    }

    private static void printProduct(String op, int tokens, int out, int in, double own, double dense, long bytes) {
        double flops = 2.0 * tokens * out * in;
        print(
                "\"op\": \"%s\", \"tokens\": %d, \"n\": %d, \"k\": %d, \"ms\": %.4f, \"tflops\": %.0f,"
                        + " \"dense_tflops\": %.0f, \"weight_gb_s\": %.0f",
                op, tokens, out, in, own, flops / own / 1e9, flops / dense / 1e9, bytes / own / 1e6);
    }

    /** GEMVs as a decoder runs them: captured, so that the host does not count. */
    private static void gemv(ComputeDevice gpu, List<QuantizedLinear> linears, long bytes, int out, int in) {
        List<FusedGemv> products = new ArrayList<>();
        for (QuantizedLinear linear : linears) {
            products.add(Objects.requireNonNull(
                    FusedGemv.of(Collections.singletonList(linear.gemvWeight(ScalarType.BFloat16)))));
        }
        for (int tokens : new int[] {1, 4, 8}) {
            try (TensorScope scope = new TensorScope()) {
                Tensor x = normal(gpu, 1, tokens, in);
                Tensor y = Tensors.empty(gpu, ScalarType.BFloat16, tokens, out);
                Tensor low = Tensors.empty(gpu, ScalarType.Float, 1);
                products.get(0).run(x, tokens, low, y, false);
                try (CudaGraph graph = CudaGraph.captureOverlapping(gpu, () -> {
                    for (int turn = 0; turn < CAPTURED_TURNS; turn++) {
                        products.forEach(product -> product.run(x, tokens, low, y, false));
                    }
                })) {
                    double ms = millis(i -> graph.launch()) / (CAPTURED_TURNS * products.size());
                    print(
                            "\"op\": \"rows\", \"tokens\": %d, \"n\": %d, \"k\": %d, \"ms\": %.5f,"
                                    + " \"weight_gb_s\": %.0f",
                            tokens, out, in, ms, bytes / ms / 1e6);
                }
            }
        }
    }

    /**
     * Median time of one call, in milliseconds, over rounds of {@link #ROUND_MILLIS} or of {@link #MOST_CALLS} calls. What a call
     * makes is freed at its end.
     */
    static double millis(IntConsumer call) {
        millis(call, 3);
        int calls = (int) Math.max(1, Math.min(MOST_CALLS, ROUND_MILLIS / millis(call, 3)));
        double[] rounds = new double[ROUNDS];
        for (int round = 0; round < ROUNDS; round++) {
            rounds[round] = millis(call, calls);
        }
        Arrays.sort(rounds);
        return rounds[ROUNDS / 2];
    }

    private static double millis(IntConsumer call, int calls) {
        CudaMemory.synchronize();
        long start = System.nanoTime();
        for (int i = 0; i < calls; i++) {
            try (TensorScope turn = new TensorScope()) {
                call.accept(i);
            }
        }
        CudaMemory.synchronize();
        return (System.nanoTime() - start) / 1e6 / calls;
    }

    private static void print(String format, Object... values) {
        print("kernels", format, values);
    }

    static void print(String part, String format, Object[] values) {
        System.out.println("{\"part\": \"" + part + "\", \"provider\": \"finetune4j\", "
                + String.format(Locale.ROOT, format, values) + "}");
    }
}
