package dev.finetune4j.core.kernel.cuda;

import dev.finetune4j.core.ComputeDevice;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.cuda.cudart.CUfunc_st;
import org.bytedeco.cuda.cudart.CUlaunchAttribute;
import org.bytedeco.cuda.cudart.CUlaunchConfig;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.cuda.CUDAGuard;
import org.bytedeco.pytorch.cuda.CUDAStream;
import org.bytedeco.pytorch.global.torch_cuda;
import org.jspecify.annotations.Nullable;

/** A function of a {@link CudaModule} that runs on the GPU. Thread-safe. */
public final class CudaKernel {
    private static final int MAX_ARGUMENTS = 64;

    private final String name;
    private final CUfunc_st function;
    private final int sharedBytes;
    private final ComputeDevice device;
    private final Map<Integer, Integer> residentBlocks = new ConcurrentHashMap<>();

    CudaKernel(String name, CUfunc_st function, int sharedBytes, ComputeDevice device) {
        this.name = name;
        this.function = function;
        this.sharedBytes = sharedBytes;
        this.device = device;
    }

    /** Where the values of a launch lie while the driver copies them; each thread has its own. */
    private static final class Arguments {
        private static final ThreadLocal<Arguments> OF_THREAD = ThreadLocal.withInitial(Arguments::new);

        private final LongPointer values = new LongPointer(MAX_ARGUMENTS);
        private final PointerPointer<Pointer> addresses = new PointerPointer<>(MAX_ARGUMENTS);
        private final CUlaunchAttribute early = new CUlaunchAttribute();
        private final CUlaunchConfig config = new CUlaunchConfig();
        private boolean overlapping;

        Arguments() {
            // A thread that has launched nothing yet has no context of the GPU; asking for nothing to be freed gives it
            // one.
            CudaModule.check(cudart.cudaFree(null), "entering the GPU");
            // They outlive every scope that is open now.
            values.retainReference();
            addresses.retainReference();
            early.retainReference();
            config.retainReference();
            early.id(cudart.CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION);
            early.value().programmaticStreamSerializationAllowed(1);
            config.gridDimY(1).gridDimZ(1).blockDimY(1).blockDimZ(1);
            config.attrs(early).numAttrs(1);
            for (int i = 0; i < MAX_ARGUMENTS; i++) {
                addresses.put(i, values.getPointer(i));
            }
        }
    }

    /**
     * Runs a body whose launches may begin before the kernel in front of them has ended
     * (<a href="https://docs.nvidia.com/cuda/cuda-c-programming-guide/#programmatic-dependent-launch-and-synchronization">
     * programmatic dependent launch</a>).
     *
     * @param body launches only kernels that wait for what they need themselves
     */
    static void overlapping(Runnable body) {
        Arguments memory = Arguments.OF_THREAD.get();
        memory.overlapping = true;
        try {
            body.run();
        } finally {
            memory.overlapping = false;
        }
    }

    /**
     * How many blocks of the kernel a multiprocessor holds at a time; at least 1.
     *
     * @param threads threads of a block
     */
    public int residentBlocks(int threads) {
        return residentBlocks.computeIfAbsent(threads, this::askResidentBlocks);
    }

    private int askResidentBlocks(int threads) {
        try (CUDAGuard current = new CUDAGuard((byte) device.index())) {
            // Brings this thread into the GPU's context.
            Arguments.OF_THREAD.get();
            int[] blocks = new int[1];
            CudaModule.check(
                    cudart.cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, sharedBytes),
                    "asking how many blocks of the kernel " + name + " run at a time");
            return Math.max(1, blocks[0]);
        }
    }

    /**
     * Launches the kernel on libtorch's current stream of the GPU and returns at once.
     *
     * @param blocks thread blocks, in one dimension
     * @param threads threads of a block
     * @param arguments tensors (null for a null pointer), {@code long}, {@code int} and {@code float} values in the order
     *     and of the types of the kernel's parameters
     * @throws dev.finetune4j.core.DeviceException when the launch is refused
     */
    public void launch(long blocks, int threads, @Nullable Object... arguments) {
        Arguments memory = Arguments.OF_THREAD.get();
        for (int i = 0; i < arguments.length; i++) {
            memory.values.put(i, bits(arguments[i]));
        }
        if (torch_cuda.current_device() == device.index()) {
            launchHere(blocks, threads, memory);
        } else {
            try (CUDAGuard current = new CUDAGuard((byte) device.index())) {
                launchHere(blocks, threads, memory);
            }
        }
    }

    private void launchHere(long blocks, int threads, Arguments memory) {
        // The default stream has no handle of its own.
        try (CUDAStream stream = torch_cuda.getCurrentCUDAStream((byte) device.index());
                @Nullable CUstream_st handle = stream.stream()) {
            int grid = Math.toIntExact(blocks);
            int result;
            if (memory.overlapping) {
                memory.config
                        .gridDimX(grid)
                        .blockDimX(threads)
                        .sharedMemBytes(sharedBytes)
                        .hStream(handle);
                result = cudart.cuLaunchKernelEx(memory.config, function, memory.addresses, null);
            } else {
                result = cudart.cuLaunchKernel(
                        function, grid, 1, 1, threads, 1, 1, sharedBytes, handle, memory.addresses, null);
            }
            CudaModule.check(result, "launching the kernel " + name);
        }
    }

    /** The value in the low bytes, where the driver looks for it. */
    private static long bits(@Nullable Object argument) {
        if (argument == null) {
            return 0;
        }
        if (argument instanceof Tensor tensor) {
            try (Pointer data = tensor.data_ptr()) {
                return data.address();
            }
        }
        if (argument instanceof Long value) {
            return value;
        }
        if (argument instanceof Integer value) {
            return value & 0xffffffffL;
        }
        if (argument instanceof Float value) {
            return Float.floatToRawIntBits(value) & 0xffffffffL;
        }
        throw new IllegalArgumentException("a kernel takes tensors, long, int and float, not " + argument.getClass());
    }
}
