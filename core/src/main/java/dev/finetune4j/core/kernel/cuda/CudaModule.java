package dev.finetune4j.core.kernel.cuda;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceException;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.cuda.cudart.CUfunc_st;
import org.bytedeco.cuda.cudart.CUmod_st;
import org.bytedeco.cuda.cudart.cudaDeviceProp;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.cuda.CUDAGuard;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.bytedeco.pytorch.global.torch_cuda;

/**
 * A CUDA C++ source, compiled for one GPU. Modules live as long as the process: there is one for each source and GPU.
 *
 * <p>Thread-safe.
 */
public final class CudaModule {
    /** A source, what stands before it, and where it runs. */
    private record Key(String folder, String resource, String prologue, int device) {}

    private record KernelKey(String name, int sharedBytes) {}

    private static final int GIVEN_SHARED_BYTES = 48 << 10;

    private static final Pattern INCLUDE = Pattern.compile("(?m)^#include \"([a-z]+\\.cuh)\"$");
    /** Those that are loaded, or being loaded by one thread while others that need them wait. */
    private static final Map<Key, FutureTask<CudaModule>> LOADED = new ConcurrentHashMap<>();

    private final ComputeDevice device;
    private final CUmod_st module;
    private final int multiprocessors;
    private final Map<KernelKey, CudaKernel> kernels = new ConcurrentHashMap<>();
    /** The most shared memory that a kernel was told to have, by its name. */
    private final Map<String, Integer> mostShared = new ConcurrentHashMap<>();

    private CudaModule(ComputeDevice device, int multiprocessors, CUmod_st module) {
        this.device = device;
        this.multiprocessors = multiprocessors;
        this.module = module;
    }

    /**
     * The kernels of a source on a GPU, compiled at the first call; a compiled form is kept in the user's cache folder.
     *
     * @param owner a class of the package that holds the resource
     * @param resource name of the source, such as {@code quant4bit.cu}; it may include files of the ending
     *     {@code .cuh} that lie beside it, and {@code numbers.cuh}
     * @throws DeviceException when the source cannot be compiled or loaded; the message holds the compiler's
     */
    public static CudaModule of(Class<?> owner, String resource, ComputeDevice device) {
        return of(owner, resource, "", device);
    }

    /**
     * The same with definitions before it, so that only those instances of templates are compiled which somebody needs.
     *
     * @param prologue lines of the preprocessor
     */
    public static CudaModule of(Class<?> owner, String resource, String prologue, ComputeDevice device) {
        TorchRuntime.require(device);
        Key key = new Key(owner.getPackageName(), resource, prologue, device.index());
        FutureTask<CudaModule> task = LOADED.get(key);
        if (task == null) {
            FutureTask<CudaModule> own =
                    new FutureTask<>(() -> load(prologue + source(owner, resource), resource, device));
            FutureTask<CudaModule> other = LOADED.putIfAbsent(key, own);
            task = other == null ? own : other;
            // Does nothing where another thread runs it.
            task.run();
        }
        return result(key, task);
    }

    private static CudaModule result(Key key, FutureTask<CudaModule> task) {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return task.get();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } catch (ExecutionException e) {
            // The next one tries again.
            LOADED.remove(key, task);
            if (e.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw new IllegalStateException("loading " + key.resource() + " failed", e.getCause());
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** The text of a source with what it includes in the place where it asks for it: its neighbours, or what all kernels share. */
    private static String source(Class<?> owner, String resource) {
        return INCLUDE.matcher(read(owner, resource)).replaceAll(include -> {
            String name = include.group(1);
            return Matcher.quoteReplacement(read(owner.getResource(name) == null ? CudaModule.class : owner, name));
        });
    }

    private static CudaModule load(String source, String name, ComputeDevice device) {
        // A module belongs to the context of the GPU that is current; libtorch's primary context exists after this.
        try (CUDAGuard current = new CUDAGuard((byte) device.index());
                Tensor wake = Tensors.zeros(device, ScalarType.Byte, 1);
                cudaDeviceProp properties = torch_cuda.getDeviceProperties((byte) device.index())) {
            String architecture = architecture(properties.major(), properties.minor());
            CUmod_st module = new CUmod_st();
            // A file that was kept may be damaged; then it is made anew.
            boolean loaded = CubinCache.kept(source, architecture)
                    .map(cubin -> load(module, cubin) == 0)
                    .orElse(false);
            if (!loaded) {
                check(
                        load(module, CubinCache.compiled(source, name, architecture)),
                        "loading " + name + " for " + architecture);
            }
            return new CudaModule(device, properties.multiProcessorCount(), module);
        }
    }

    /** That of a compute capability; 9.0 has instructions of its own, which no later one has. */
    private static String architecture(int major, int minor) {
        return "sm_" + major + minor + (major == 9 && minor == 0 ? "a" : "");
    }

    private static int load(CUmod_st module, byte[] cubin) {
        try (BytePointer image = new BytePointer(cubin)) {
            return cudart.cuModuleLoadData(module, image);
        }
    }

    private static String read(Class<?> owner, String resource) {
        try (InputStream in = owner.getResourceAsStream(resource)) {
            if (in == null) {
                throw new IllegalStateException("the resource " + resource + " is not beside " + owner.getName());
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /**
     * A kernel of the source.
     *
     * @throws DeviceException when the source has none of this name
     */
    public CudaKernel kernel(String name) {
        return kernel(name, 0);
    }

    /**
     * A kernel of the source whose blocks get shared memory at the launch.
     *
     * @param sharedBytes for each block; above 48 KiB only as much as {@link #maxSharedBytes}
     * @throws DeviceException when the source has no kernel of this name, or the GPU not so much shared memory
     */
    public CudaKernel kernel(String name, int sharedBytes) {
        return kernels.computeIfAbsent(new KernelKey(name, sharedBytes), key -> {
            CUfunc_st function = new CUfunc_st();
            check(cudart.cuModuleGetFunction(function, module, name), "finding the kernel " + name);
            if (sharedBytes > GIVEN_SHARED_BYTES) {
                // What the GPU is told holds for all launches of the function, those with more of it too.
                mostShared.compute(name, (known, most) -> {
                    int bytes = most == null ? sharedBytes : Math.max(most, sharedBytes);
                    check(
                            cudart.cuFuncSetAttribute(
                                    function, cudart.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes),
                            "reserving " + bytes + " bytes of shared memory for the kernel " + name);
                    return bytes;
                });
            }
            return new CudaKernel(name, function, sharedBytes, device);
        });
    }

    /** How much shared memory a block can have on a GPU, in bytes. */
    public static long maxSharedBytes(ComputeDevice device) {
        TorchRuntime.require(device);
        try (cudaDeviceProp properties = torch_cuda.getDeviceProperties((byte) device.index())) {
            return properties.sharedMemPerBlockOptin();
        }
    }

    /** How many multiprocessors the GPU has. */
    public int multiprocessors() {
        return multiprocessors;
    }

    static void check(int result, String what) {
        if (result != 0) {
            throw new DeviceException(what + " failed on the GPU with CUDA error " + result
                    + "; if the GPU was used by a faulty kernel before, restart the process");
        }
    }
}
