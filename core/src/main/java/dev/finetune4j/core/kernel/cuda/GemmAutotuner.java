package dev.finetune4j.core.kernel.cuda;

import dev.finetune4j.core.OutOfDeviceMemoryException;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.IntSupplier;
import java.util.function.Supplier;
import org.bytedeco.cuda.cublas.cublasLtContext;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.cudart.cudaDeviceProp;
import org.bytedeco.cuda.global.cublas;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.cuda.CUDAGuard;
import org.bytedeco.pytorch.cuda.CUDAStream;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.bytedeco.pytorch.global.torch_cuda;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * GEMM autotuning: large matrix products with bfloat16 weights on a CUDA GPU by the fastest of the algorithms that cuBLAS's
 * heuristic proposes, which is not always its first. The algorithms are timed when a shape, or one of nearly as many rows, comes
 * for the first time, in about a second where a product is large; the choice is kept in the user's cache folder, so that a later
 * run takes the same algorithms and gives the same numbers. The system property {@code finetune4j.cuda.tune=false} leaves
 * everything to libtorch.
 *
 * <p>Thread-safe. Results come in the order of the GPU's current stream, as libtorch's do.
 */
public final class GemmAutotuner {
    private static final Logger LOG = LoggerFactory.getLogger(GemmAutotuner.class);
    private static final boolean WANTED = Boolean.parseBoolean(System.getProperty("finetune4j.cuda.tune", "true"));
    /** Operations of a product that runs long enough for a choice to matter: about 30 µs on an H200. */
    private static final double MIN_OPERATIONS = 2e10;

    private static final int ALIGNMENT = 8;
    private static final int MAX_READY = 512;

    private static final Map<ComputeDevice, GemmAutotuner> OF_DEVICE = new ConcurrentHashMap<>();

    /** A product that is ready to run. */
    private record Ready(GemmPlan plan, GemmPlan.Kernel kernel) {}

    private final ComputeDevice device;
    private final cublasLtContext context;
    private final AlgorithmCache cache;
    /** Texts of many lengths make many shapes, of some kilobytes each: the ones that were not used for longest are made anew. */
    private final RecentlyUsed<GemmShape, Ready> ready = new RecentlyUsed<>(MAX_READY);
    /** What was timed and stays libtorch's. */
    private final RecentlyUsed<GemmShape, Boolean> left = new RecentlyUsed<>(MAX_READY);

    private final AtomicBoolean tuning = new AtomicBoolean();

    private GemmAutotuner(ComputeDevice device) {
        this.device = device;
        try (TensorScope scope = new TensorScope();
                CUDAGuard current = new CUDAGuard((byte) device.index())) {
            context = scope.release(new cublasLtContext());
            CudaModule.check(cublas.cublasLtCreate(context), "opening cuBLAS");
            cudaDeviceProp properties = torch_cuda.getDeviceProperties((byte) device.index());
            cache = AlgorithmCache.of(properties.name().getString(), cublas.cublasLtGetVersion());
        }
    }

    /**
     * {@code y = x Wᵀ} or {@code y = x W}, or the same added to what y holds.
     *
     * @param y shape (n, m), bfloat16; rows may have gaps between them
     * @param x shape (n, k), bfloat16; rows may have gaps between them
     * @param weight shape (m, k) to be transposed, or (k, m); rows may have gaps between them
     * @return false when the product is left to libtorch, and nothing has happened: it is small, of another type or layout, or
     *     its algorithms would have to be timed while a CUDA graph is captured
     */
    public static boolean multiply(Tensor y, Tensor x, Tensor weight, boolean transposed, boolean add) {
        if (!WANTED || !supports(y) || !supports(x) || !supports(weight)) {
            return false;
        }
        GemmShape shape =
                new GemmShape(y.size(1), x.size(0), x.size(1), weight.stride(0), x.stride(0), y.stride(0), transposed);
        if (shape.operations() < MIN_OPERATIONS) {
            return false;
        }
        return OF_DEVICE
                .computeIfAbsent(Tensors.deviceOf(x), GemmAutotuner::new)
                .run(shape, y, x, weight, add);
    }

    private static boolean supports(Tensor t) {
        return t.is_cuda()
                && t.dim() == 2
                && Tensors.typeOf(t) == ScalarType.BFloat16
                && t.stride(1) == 1
                && t.stride(0) >= t.size(1)
                && t.stride(0) % ALIGNMENT == 0
                && t.storage_offset() % ALIGNMENT == 0;
    }

    private boolean run(GemmShape shape, Tensor y, Tensor x, Tensor weight, boolean add) {
        // The default stream has no handle of its own.
        try (TensorScope scope = new TensorScope();
                CUDAStream stream = torch_cuda.getCurrentCUDAStream((byte) device.index());
                @Nullable CUstream_st handle = stream.stream()) {
            if (!isKnown(shape)) {
                select(shape, x, weight, handle);
            }
            Ready product = ready.get(shape);
            if (product == null) {
                return false;
            }
            CudaModule.check(launch(product.plan(), product.kernel(), y, x, weight, add, handle), "multiplying");
            return true;
        }
    }

    private boolean isKnown(GemmShape shape) {
        return ready.get(shape) != null || left.get(shape) != null;
    }

    private void select(GemmShape shape, Tensor x, Tensor weight, @Nullable CUstream_st stream) {
        boolean chosen = fromCache(shape);
        if (isCapturing(stream)) {
            return;
        }
        if (!chosen) {
            tune(shape, x, weight, stream);
        }
        if (shape.transposed()) {
            tuneGradient(shape.ofGradient(), weight, stream);
        }
    }

    private static boolean isCapturing(@Nullable CUstream_st stream) {
        int[] status = new int[1];
        CudaModule.check(cudart.cudaStreamIsCapturing(stream, status), "asking whether a CUDA graph is being captured");
        return status[0] != 0;
    }

    /** Whether a kernel was chosen earlier for about as many rows, and takes these; then the product is ready. */
    private boolean fromCache(GemmShape shape) {
        Optional<long[]> numbers = cache.get(shape);
        if (numbers.isEmpty()) {
            return false;
        }
        GemmPlan plan = new GemmPlan(context, shape);
        Optional<GemmPlan.Kernel> kernel = plan.kernel(numbers.get());
        kernel.ifPresent(found -> ready.put(shape, new Ready(plan, found)));
        return kernel.isPresent();
    }

    private void tune(GemmShape shape, Tensor x, Tensor weight, @Nullable CUstream_st stream) {
        GemmPlan plan = new GemmPlan(context, shape);
        Optional<GemmPlan.Kernel> kernel = ifMemoryAllows(shape, () -> fastest(shape, plan, x, weight, stream));
        if (kernel.isEmpty()) {
            left.put(shape, true);
            return;
        }
        cache.put(shape, kernel.get().numbers());
        ready.put(shape, new Ready(plan, kernel.get()));
    }

    /**
     * The product of the gradient comes when the memory is full of what the backward pass needs, so it is timed beside the
     * forward product.
     */
    private void tuneGradient(GemmShape shape, Tensor weight, @Nullable CUstream_st stream) {
        if (isKnown(shape) || fromCache(shape)) {
            return;
        }
        try (TensorScope scope = new TensorScope()) {
            Optional<Tensor> gradient = ifMemoryAllows(
                    shape,
                    () -> Optional.of(Tensors.empty(device, ScalarType.BFloat16, shape.n(), shape.k())
                            .normal_(0, 1, new GeneratorOptional())));
            gradient.ifPresent(found -> tune(shape, found, weight, stream));
        }
    }

    /** Nothing when timing finds no memory for its result: training without it may still have enough. */
    private <T> Optional<T> ifMemoryAllows(GemmShape shape, Supplier<Optional<T>> trial) {
        try {
            return trial.get();
        } catch (RuntimeException e) {
            RuntimeException typed = MemoryErrors.typed(e, device, "tuning out products");
            if (typed instanceof OutOfDeviceMemoryException) {
                LOG.info("no memory is left to time algorithms for the product {}; it stays libtorch's", shape.key());
                return Optional.empty();
            }
            throw typed;
        }
    }

    private Optional<GemmPlan.Kernel> fastest(
            GemmShape shape, GemmPlan plan, Tensor x, Tensor weight, @Nullable CUstream_st stream) {
        try (TensorScope scope = new TensorScope()) {
            List<GemmPlan.Kernel> kernels = plan.candidates();
            if (kernels.isEmpty()) {
                LOG.debug("cuBLAS proposes no algorithm for {}", shape);
                return Optional.empty();
            }
            if (!tuning.getAndSet(true)) {
                LOG.info(
                        "cuBLAS algorithms for large matrix products of new shapes are timed on {}, once for about a second each",
                        device);
            }
            Tensor y = Tensors.empty(device, ScalarType.BFloat16, shape.n(), shape.yStride());
            AlgorithmBenchmark trial = new AlgorithmBenchmark(
                    shape.operations(),
                    kernels.size(),
                    (i, calls) ->
                            seconds(() -> launch(plan, kernels.get(i), y, x, weight, false, stream), calls, stream));
            OptionalInt quickest = trial.quickest();
            return quickest.isPresent() ? Optional.of(kernels.get(quickest.getAsInt())) : Optional.empty();
        }
    }

    /** Of one call; infinite when one is refused. */
    private static double seconds(IntSupplier launch, int calls, @Nullable CUstream_st stream) {
        CudaModule.check(cudart.cudaStreamSynchronize(stream), "waiting for the GPU");
        long start = System.nanoTime();
        for (int i = 0; i < calls; i++) {
            if (launch.getAsInt() != 0) {
                return Double.POSITIVE_INFINITY;
            }
        }
        CudaModule.check(cudart.cudaStreamSynchronize(stream), "waiting for the GPU");
        return (System.nanoTime() - start) / 1e9 / calls;
    }

    private int launch(
            GemmPlan plan,
            GemmPlan.Kernel kernel,
            Tensor y,
            Tensor x,
            Tensor weight,
            boolean add,
            @Nullable CUstream_st stream) {
        try (TensorScope scope = new TensorScope()) {
            Pointer workspace = kernel.workspace() == 0
                    ? null
                    : Tensors.empty(device, ScalarType.Byte, kernel.workspace()).data_ptr();
            return plan.launch(kernel, y.data_ptr(), x.data_ptr(), weight.data_ptr(), add, workspace, stream);
        }
    }
}
