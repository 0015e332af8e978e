package dev.finetune4j.core.kernel.cuda;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.cuda.cublas.cublasLtContext;
import org.bytedeco.cuda.cublas.cublasLtMatmulAlgo_t;
import org.bytedeco.cuda.cublas.cublasLtMatmulDescOpaque_t;
import org.bytedeco.cuda.cublas.cublasLtMatmulHeuristicResult_t;
import org.bytedeco.cuda.cublas.cublasLtMatmulPreferenceOpaque_t;
import org.bytedeco.cuda.cublas.cublasLtMatrixLayoutOpaque_t;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cublas;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.SizeTPointer;
import org.jspecify.annotations.Nullable;

/**
 * A product as cuBLAS's descriptors have it, and the kernels it proposes. cuBLAS counts in columns: its matrices are ours
 * transposed, so y is (m, n) there and the weight comes first. Lives as long as the process.
 */
final class GemmPlan {
    /** Working memory that a kernel may ask for. */
    private static final long MAX_WORKSPACE = 32L << 20;

    private static final int MAX_CANDIDATES = 8;
    /** 64-bit words of cuBLAS's description of a kernel. */
    private static final int ALGORITHM_WORDS = 8;

    /**
     * A kernel for the product.
     *
     * @param algorithm as cuBLAS takes it
     * @param workspace bytes of working memory
     */
    record Kernel(cublasLtMatmulAlgo_t algorithm, long workspace) {
        /** How the kernel cuts the result. */
        GemmTiling tiling() {
            try (TensorScope scope = new TensorScope()) {
                IntPointer value = new IntPointer(1);
                SizeTPointer written = new SizeTPointer(1);
                return new GemmTiling(
                        attribute(cublas.CUBLASLT_ALGO_CONFIG_TILE_ID, value, written),
                        Math.max(1, attribute(cublas.CUBLASLT_ALGO_CONFIG_SPLITK_NUM, value, written)));
            }
        }

        private int attribute(int which, IntPointer value, SizeTPointer written) {
            CudaModule.check(
                    cublas.cublasLtMatmulAlgoConfigGetAttribute(algorithm, which, value, Integer.BYTES, written),
                    "asking how a kernel cuts a product");
            return value.get();
        }
    }

    private final cublasLtContext context;
    private final cublasLtMatmulDescOpaque_t operation;
    private final cublasLtMatrixLayoutOpaque_t weight;
    private final cublasLtMatrixLayoutOpaque_t x;
    private final cublasLtMatrixLayoutOpaque_t y;
    private final FloatPointer zero;
    private final FloatPointer one;

    GemmPlan(cublasLtContext context, GemmShape shape) {
        this.context = context;
        try (TensorScope scope = new TensorScope()) {
            operation = scope.release(new cublasLtMatmulDescOpaque_t());
            CudaModule.check(
                    cublas.cublasLtMatmulDescInit(operation, cublas.CUBLAS_COMPUTE_32F, cudart.CUDA_R_32F),
                    "describing a product");
            IntPointer turn = new IntPointer(1).put(0, shape.transposed() ? cublas.CUBLAS_OP_T : cublas.CUBLAS_OP_N);
            CudaModule.check(
                    cublas.cublasLtMatmulDescSetAttribute(
                            operation, cublas.CUBLASLT_MATMUL_DESC_TRANSA, turn, Integer.BYTES),
                    "describing a product");
            weight = scope.release(layout(
                    shape.transposed() ? shape.k() : shape.m(),
                    shape.transposed() ? shape.m() : shape.k(),
                    shape.weightStride()));
            x = scope.release(layout(shape.k(), shape.n(), shape.xStride()));
            y = scope.release(layout(shape.m(), shape.n(), shape.yStride()));
            zero = scope.release(new FloatPointer(new float[] {0f}));
            one = scope.release(new FloatPointer(new float[] {1f}));
        }
    }

    private static cublasLtMatrixLayoutOpaque_t layout(long rows, long columns, long stride) {
        cublasLtMatrixLayoutOpaque_t layout = new cublasLtMatrixLayoutOpaque_t();
        CudaModule.check(
                cublas.cublasLtMatrixLayoutInit(layout, cudart.CUDA_R_16BF, rows, columns, stride),
                "describing a matrix");
        return layout;
    }

    /** What cuBLAS proposes, its favourite first; empty when it knows no way. */
    List<Kernel> candidates() {
        try (TensorScope scope = new TensorScope()) {
            cublasLtMatmulPreferenceOpaque_t preference = new cublasLtMatmulPreferenceOpaque_t();
            CudaModule.check(cublas.cublasLtMatmulPreferenceInit(preference), "asking for kernels of a product");
            SizeTPointer bytes = new SizeTPointer(1).put(0, MAX_WORKSPACE);
            CudaModule.check(
                    cublas.cublasLtMatmulPreferenceSetAttribute(
                            preference, cublas.CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, bytes, Long.BYTES),
                    "asking for kernels of a product");
            cublasLtMatmulHeuristicResult_t results = new cublasLtMatmulHeuristicResult_t(MAX_CANDIDATES);
            int[] found = new int[1];
            int status = cublas.cublasLtMatmulAlgoGetHeuristic(
                    context, operation, weight, x, y, y, preference, MAX_CANDIDATES, results, found);
            List<Kernel> kernels = new ArrayList<>();
            for (int i = 0; status == 0 && i < found[0]; i++) {
                cublasLtMatmulHeuristicResult_t result = results.getPointer(i);
                if (result.state() == 0) {
                    kernels.add(new Kernel(copy(scope, result.algo()), result.workspaceSize()));
                }
            }
            return kernels;
        }
    }

    private static cublasLtMatmulAlgo_t copy(TensorScope scope, cublasLtMatmulAlgo_t from) {
        cublasLtMatmulAlgo_t to = scope.release(new cublasLtMatmulAlgo_t());
        for (int i = 0; i < ALGORITHM_WORDS; i++) {
            to.data(i, from.data(i));
        }
        return to;
    }

    /**
     * Asks for the product.
     *
     * @param add whether it is added to what y holds
     * @param workspace at least as many bytes as the kernel asks for
     * @return cuBLAS's status, 0 for success
     */
    int launch(
            Kernel kernel,
            Pointer yData,
            Pointer xData,
            Pointer weightData,
            boolean add,
            @Nullable Pointer workspace,
            @Nullable CUstream_st stream) {
        return cublas.cublasLtMatmul(
                context,
                operation,
                one,
                weightData,
                weight,
                xData,
                x,
                add ? one : zero,
                yData,
                y,
                yData,
                y,
                kernel.algorithm(),
                workspace,
                kernel.workspace(),
                stream);
    }
}
