package dev.finetune4j.core.cuda;

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
 * Large products with weights in bfloat16 on a CUDA GPU by the quickest of the kernels that cuBLAS proposes, which is not
 * always its first. A shape is tried out when it or one of nearly as many rows is met for the first time, in about a second
 * where a product is large; the choice is kept in the user's cache folder, so that a later run takes the same kernels and
 * gives the same numbers. The system property {@code finetune4j.cuda.tune=false} leaves everything to libtorch.
 *
 * <p>Thread-safe. Results come in the order of the GPU's current stream, as libtorch's do.
 */
public final class TunedProducts {
    private static final Logger LOG = LoggerFactory.getLogger(TunedProducts.class);
    private static final boolean WANTED = Boolean.parseBoolean(System.getProperty("finetune4j.cuda.tune", "true"));
    /** Operations of a product that runs long enough for a choice to matter: about 30 µs on an H200. */
    private static final double LEAST_OPERATIONS = 2e10;

    private static final int ALIGNED_NUMBERS = 8;
    private static final int MOST_READY = 512;

    private static final Map<ComputeDevice, TunedProducts> OF_DEVICE = new ConcurrentHashMap<>();

    /** A product that is ready to run. */
    private record Ready(ProductPlan plan, ProductPlan.Kernel kernel) {}

    private final ComputeDevice device;
    private final cublasLtContext context;
    private final ProductChoices choices;
    /** Texts of many lengths make many shapes, of some kilobytes each: the ones that were not used for longest are made anew. */
    private final RecentlyUsed<ProductShape, Ready> ready = new RecentlyUsed<>(MOST_READY);
    /** What was tried out and stays libtorch's. */
    private final RecentlyUsed<ProductShape, Boolean> left = new RecentlyUsed<>(MOST_READY);

    private final AtomicBoolean trying = new AtomicBoolean();

    private TunedProducts(ComputeDevice device) {
        this.device = device;
        try (TensorScope scope = new TensorScope();
                CUDAGuard current = new CUDAGuard((byte) device.index())) {
            context = scope.release(new cublasLtContext());
            CudaModule.check(cublas.cublasLtCreate(context), "opening cuBLAS");
            cudaDeviceProp properties = torch_cuda.getDeviceProperties((byte) device.index());
            choices = ProductChoices.of(properties.name().getString(), cublas.cublasLtGetVersion());
        }
    }

    /**
     * {@code y = x Wᵀ} or {@code y = x W}, or the same added to what y holds.
     *
     * @param y shape (n, m), bfloat16; rows may have gaps between them
     * @param x shape (n, k), bfloat16; rows may have gaps between them
     * @param weight shape (m, k) to be transposed, or (k, m); rows may have gaps between them
     * @return false when the product is left to libtorch, and nothing has happened: it is small, of another type or layout, or
     *     would have to be tried out while the GPU's work is being recorded
     */
    public static boolean multiply(Tensor y, Tensor x, Tensor weight, boolean transposed, boolean add) {
        if (!WANTED || !serves(y) || !serves(x) || !serves(weight)) {
            return false;
        }
        ProductShape shape = new ProductShape(
                y.size(1), x.size(0), x.size(1), weight.stride(0), x.stride(0), y.stride(0), transposed);
        if (shape.operations() < LEAST_OPERATIONS) {
            return false;
        }
        return OF_DEVICE
                .computeIfAbsent(Tensors.deviceOf(x), TunedProducts::new)
                .run(shape, y, x, weight, add);
    }

    private static boolean serves(Tensor t) {
        return t.is_cuda()
                && t.dim() == 2
                && Tensors.typeOf(t) == ScalarType.BFloat16
                && t.stride(1) == 1
                && t.stride(0) >= t.size(1)
                && t.stride(0) % ALIGNED_NUMBERS == 0
                && t.storage_offset() % ALIGNED_NUMBERS == 0;
    }

    private boolean run(ProductShape shape, Tensor y, Tensor x, Tensor weight, boolean add) {
        // The default stream has no handle of its own.
        try (TensorScope scope = new TensorScope();
                CUDAStream stream = torch_cuda.getCurrentCUDAStream((byte) device.index());
                @Nullable CUstream_st handle = stream.stream()) {
            if (!isMet(shape)) {
                meet(shape, x, weight, handle);
            }
            Ready product = ready.get(shape);
            if (product == null) {
                return false;
            }
            CudaModule.check(launch(product.plan(), product.kernel(), y, x, weight, add, handle), "multiplying");
            return true;
        }
    }

    private boolean isMet(ProductShape shape) {
        return ready.get(shape) != null || left.get(shape) != null;
    }

    private void meet(ProductShape shape, Tensor x, Tensor weight, @Nullable CUstream_st stream) {
        boolean chosen = takeChosen(shape);
        if (isRecording(stream)) {
            return;
        }
        if (!chosen) {
            tryOut(shape, x, weight, stream);
        }
        if (shape.transposed()) {
            tryOutGradient(shape.ofGradient(), weight, stream);
        }
    }

    private static boolean isRecording(@Nullable CUstream_st stream) {
        int[] status = new int[1];
        CudaModule.check(cudart.cudaStreamIsCapturing(stream, status), "asking whether GPU work is recorded");
        return status[0] != 0;
    }

    /** Whether a kernel was chosen earlier for about as many rows, and takes these; then the product is ready. */
    private boolean takeChosen(ProductShape shape) {
        Optional<long[]> numbers = choices.get(shape);
        if (numbers.isEmpty()) {
            return false;
        }
        ProductPlan plan = new ProductPlan(context, shape);
        Optional<ProductPlan.Kernel> kernel = plan.kernel(numbers.get());
        kernel.ifPresent(found -> ready.put(shape, new Ready(plan, found)));
        return kernel.isPresent();
    }

    private void tryOut(ProductShape shape, Tensor x, Tensor weight, @Nullable CUstream_st stream) {
        ProductPlan plan = new ProductPlan(context, shape);
        Optional<ProductPlan.Kernel> kernel = ifThereIsRoom(shape, () -> quickest(shape, plan, x, weight, stream));
        if (kernel.isEmpty()) {
            left.put(shape, true);
            return;
        }
        choices.put(shape, kernel.get().numbers());
        ready.put(shape, new Ready(plan, kernel.get()));
    }

    /**
     * The product of the gradient comes when the memory is full of what the backward pass needs, so it is tried out beside the
     * forward product.
     */
    private void tryOutGradient(ProductShape shape, Tensor weight, @Nullable CUstream_st stream) {
        if (isMet(shape) || takeChosen(shape)) {
            return;
        }
        try (TensorScope scope = new TensorScope()) {
            Optional<Tensor> gradient = ifThereIsRoom(
                    shape,
                    () -> Optional.of(Tensors.empty(device, ScalarType.BFloat16, shape.n(), shape.k())
                            .normal_(0, 1, new GeneratorOptional())));
            gradient.ifPresent(found -> tryOut(shape, found, weight, stream));
        }
    }

    /** Nothing when the trial finds no memory for its result: training without it may still have enough. */
    private <T> Optional<T> ifThereIsRoom(ProductShape shape, Supplier<Optional<T>> trial) {
        try {
            return trial.get();
        } catch (RuntimeException e) {
            RuntimeException typed = MemoryErrors.typed(e, device, "trying out products");
            if (typed instanceof OutOfDeviceMemoryException) {
                LOG.info("no memory is left to try out the product {}; it stays libtorch's", shape.key());
                return Optional.empty();
            }
            throw typed;
        }
    }

    private Optional<ProductPlan.Kernel> quickest(
            ProductShape shape, ProductPlan plan, Tensor x, Tensor weight, @Nullable CUstream_st stream) {
        try (TensorScope scope = new TensorScope()) {
            List<ProductPlan.Kernel> kernels = plan.candidates();
            if (kernels.isEmpty()) {
                LOG.debug("cuBLAS proposes no kernel for {}", shape);
                return Optional.empty();
            }
            if (!trying.getAndSet(true)) {
                LOG.info("large products of new shapes are tried out on {}, once for about a second each", device);
            }
            Tensor y = Tensors.empty(device, ScalarType.BFloat16, shape.n(), shape.yStride());
            ProductTrial trial = new ProductTrial(
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
            ProductPlan plan,
            ProductPlan.Kernel kernel,
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
