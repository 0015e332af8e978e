package dev.finetune4j.core.tensor;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceException;
import dev.finetune4j.core.Precision;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URL;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;
import org.bytedeco.cuda.cudart.cudaDeviceProp;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch_cuda;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Starts libtorch once for the process and tells what it can use. Every entry point of the library calls
 * {@link #start()}, so an application needs this class only to ask questions or to set the number of threads.
 *
 * <p>Starting closes five traps of the native side: the memory accounting of JavaCPP that doubles the price of a small
 * operation is switched off (unless the application has set {@code org.bytedeco.javacpp.maxPhysicalBytes} itself); a file
 * lock keeps two processes from unpacking libraries into an empty cache at once; the CUDA library is loaded before
 * anything asks whether CUDA is there; libtorch's allocator of GPU memory grows its segments in place, unless {@code
 * PYTORCH_ALLOC_CONF} says otherwise; and the number of threads follows the processors that the JVM may use, which in a
 * container are often fewer than the machine has, and the thread pools of the CPU are kept from fighting ({@link Threads}).
 *
 * <p>Thread-safe.
 */
public final class TorchRuntime {
    private static final Logger LOG = LoggerFactory.getLogger(TorchRuntime.class);
    private static final String PHYSICAL_LIMIT = "org.bytedeco.javacpp.maxPhysicalBytes";

    /** Environment variables that set up libtorch's allocator of GPU memory, today's name and an older one. */
    private static final List<String> ALLOCATOR_VARIABLES = List.of("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF");

    /** Of compute capability; the first with products of bfloat16 and copies past the registers. */
    private static final int MIN_CAPABILITY = 8;

    /** Numbers of the GPUs that were found to be new enough. */
    private static final Set<Integer> SERVED = ConcurrentHashMap.newKeySet();

    /** What the CPU's libraries of Linux take, the largest of all. */
    private static final long UNPACKED_BYTES = 460_000_000;

    /** How another folder than {@link #unpackingFolder} is chosen, an imperative. */
    public static final String CHOOSE_FOLDER = "choose another folder with -Dorg.bytedeco.javacpp.cachedir=FOLDER";

    private static volatile boolean started;
    /** Why it could not be loaded; kept, because the JVM does not try again, and what it throws later names no cause. */
    private static @Nullable String refused;

    private static boolean cuda;

    private TorchRuntime() {}

    /**
     * Loads the native libraries if that has not been done yet.
     *
     * @throws DeviceException when they cannot be loaded; the message says why and what to do
     */
    public static void start() {
        if (!started) {
            startOnce();
        }
    }

    private static synchronized void startOnce() {
        if (started) {
            return;
        }
        if (System.getProperty(PHYSICAL_LIMIT) == null) {
            System.setProperty(PHYSICAL_LIMIT, "0");
        }
        load();
        Threads.setProcess(
                System.getenv("OMP_NUM_THREADS") == null
                        ? Runtime.getRuntime().availableProcessors()
                        : torch.get_num_threads());
        started = true;
        LOG.info("{}", report());
    }

    private static void load() {
        String before = refused;
        if (before != null) {
            throw new DeviceException(before);
        }
        List<Throwable> failures = new ArrayList<>();
        try (CacheLock lock = CacheLock.acquire()) {
            cuda = loadCuda(failures);
            Loader.load(torch.class);
            if (cuda) {
                growSegments();
            }
        } catch (LinkageError | IllegalCallerException e) {
            failures.add(e);
            String reason = failure().explain(failures);
            refused = reason;
            throw new DeviceException(reason, failures.get(0));
        }
    }

    /**
     * Lets libtorch's allocator of GPU memory grow what it has in place. Batches of many sizes else leave pieces behind that no other
     * fits into, and a training reserves more than twice of what it uses. An application's own choice stands.
     */
    private static void growSegments() {
        boolean chosen = ALLOCATOR_VARIABLES.stream().anyMatch(name -> System.getenv(name) != null);
        if (!chosen && Loader.getPlatform().startsWith("linux")) {
            torch.set_env(ALLOCATOR_VARIABLES.get(0), "expandable_segments:True", false);
        }
    }

    private static NativeFailure failure() {
        String platform = Loader.getPlatform();
        List<@Nullable URL> resources = new ArrayList<>();
        for (String file : List.of("pytorch/torch_cpu", "pytorch/jnitorch", "openblas/jniopenblas_nolapack")) {
            int slash = file.indexOf('/');
            // By the loader: on the module path the natives are in another module than the class.
            resources.add(torch.class
                    .getClassLoader()
                    .getResource("org/bytedeco/" + file.substring(0, slash + 1) + platform + "/"
                            + System.mapLibraryName(file.substring(slash + 1))));
        }
        return new NativeFailure(
                "libtorch", resources, absent(platform), unpackingFolder(), UNPACKED_BYTES, CHOOSE_FOLDER);
    }

    private static String absent(String platform) {
        String path = TorchRuntime.class.getModule().isNamed()
                ? "the modules of this program hold none for the platform " + platform + "; start it with --add-modules"
                        + " ALL-MODULE-PATH, and if that is not enough add"
                : "the class path holds none for the platform " + platform + "; add";
        return path + " org.bytedeco:pytorch, openblas and javacpp with this platform as classifier. They exist"
                + " for linux-x86_64, macosx-arm64 and windows-x86_64; there is none for Linux on ARM";
    }

    /** Where native libraries are unpacked. */
    public static Path unpackingFolder() {
        try {
            return Loader.getCacheDir().toPath();
        } catch (IOException e) {
            return Path.of(System.getProperty("user.home", "."), ".javacpp", "cache");
        }
    }

    /** The number of CUDA GPUs that can be used; 0 without GPU natives, driver or GPU. */
    public static int cudaDevices() {
        start();
        return cuda && torch.cuda_is_available() ? torch.cuda_device_count() : 0;
    }

    /**
     * Checks that a device can be used.
     *
     * @throws DeviceException when it is a GPU that this process cannot reach, saying why and what to do
     */
    public static void require(ComputeDevice device) {
        start();
        if (device.kind() == ComputeDevice.Kind.CPU) {
            return;
        }
        if (device.index() < cudaDevices()) {
            tooOld(device).ifPresent(reason -> {
                throw new DeviceException("the device " + device + " was asked for, but " + reason);
            });
            return;
        }
        String found;
        if (!cuda) {
            found = "the GPU build of libtorch is not on the class path; add org.bytedeco:pytorch with the classifier "
                    + Loader.getPlatform() + "-gpu and the CUDA libraries it needs";
        } else if (cudaDevices() == 0) {
            found = "libtorch finds no CUDA GPU; check the driver";
        } else {
            found = "this machine has " + cudaDevices() + " CUDA GPU(s), numbered from 0";
        }
        throw new DeviceException("the device " + device + " was asked for, but " + found + "; or ask for the CPU");
    }

    /** Whether a GPU that is there is new enough; one that is too old is named in a warning. */
    public static boolean supports(ComputeDevice gpu) {
        Optional<String> reason = tooOld(gpu);
        reason.ifPresent(text -> LOG.warn("{} stays unused: {}", gpu, text));
        return reason.isEmpty();
    }

    /** Why the kernels cannot run on a GPU that libtorch finds; empty when they can. */
    private static Optional<String> tooOld(ComputeDevice device) {
        if (SERVED.contains(device.index())) {
            return Optional.empty();
        }
        // Until then libtorch's allocator knows no GPU and cannot be asked about one.
        torch.globalContext().lazyInitDevice(torch.DeviceType.CUDA);
        try (cudaDeviceProp properties = torch_cuda.getDeviceProperties((byte) device.index())) {
            Optional<String> reason = tooOld(properties.name().getString(), properties.major(), properties.minor());
            if (reason.isEmpty()) {
                SERVED.add(device.index());
            }
            return reason;
        }
    }

    static Optional<String> tooOld(String name, int major, int minor) {
        return major >= MIN_CAPABILITY
                ? Optional.empty()
                : Optional.of(name + " has compute capability " + major + "." + minor + ", and bfloat16 products need "
                        + MIN_CAPABILITY + ".0 (Ampere) or newer; take another GPU or ask for the CPU");
    }

    /**
     * Sets how many threads one operation may use. This holds for every thread of the process, from its next operation on; by
     * default it is the number of processors that the JVM may use, or {@code OMP_NUM_THREADS} where that is set. A training
     * ({@code FineTuner.Builder.threads}) or a model ({@code LanguageModel.Loader.threads}) may have a number of its own.
     *
     * @throws IllegalArgumentException if the number is below 1
     */
    public static void setThreads(int newThreads) {
        if (newThreads < 1) {
            throw new IllegalArgumentException("threads must be at least 1, but was " + newThreads);
        }
        start();
        Threads.setProcess(newThreads);
    }

    /** How many threads one operation of the calling thread may use. */
    public static int threads() {
        start();
        return Threads.number();
    }

    /**
     * Says in which format the large matrix products on the CPU are. Where there are no kernels of our own, the threads go
     * to the library that does such products: OpenBLAS in float32, oneDNN (on libtorch's own threads) in bfloat16. This is a
     * setting of the whole process, made when a model is loaded; the last one decides.
     */
    public static void shareThreads(Precision precision) {
        start();
        Threads.setMain(precision);
    }

    /** One line that names libtorch, the CPU's instruction set, the threads and the GPUs. */
    public static String report() {
        start();
        String gpus = cudaDevices() == 0 ? "no CUDA GPU" : cudaDevices() + " CUDA GPU(s)";
        return String.format(
                Locale.ROOT,
                "libtorch on %s, CPU %s with %d thread(s), %s",
                Loader.getPlatform(),
                torch.get_cpu_capability().getString(),
                Threads.number(),
                gpus);
    }

    /** The bytes of physical memory that this process holds, Java and native together. */
    public static long residentBytes() {
        start();
        return Pointer.physicalBytes();
    }

    /** The most that it has held so far; what it holds now where the system does not say (other than Linux). */
    public static long peakResidentBytes() {
        try (Stream<String> lines = Files.lines(Path.of("/proc/self/status"))) {
            return lines.filter(line -> line.startsWith("VmHWM:"))
                    .mapToLong(line -> 1024 * Long.parseLong(line.replaceAll("\\D", "")))
                    .findFirst()
                    .orElseGet(TorchRuntime::residentBytes);
        } catch (IOException | UncheckedIOException e) {
            return residentBytes();
        }
    }

    private static boolean loadCuda(List<Throwable> failures) {
        try {
            Loader.load(torch_cuda.class);
            return true;
        } catch (LinkageError | IllegalCallerException e) {
            failures.add(e);
            LOG.debug("no GPU natives: {}", e.getMessage());
            return false;
        }
    }

    /** An exclusive lock beside the library cache; a cache that cannot be written needs none. */
    private record CacheLock(FileChannel channel, FileLock lock) implements AutoCloseable {
        static @Nullable CacheLock acquire() {
            try {
                Path file = Loader.getCacheDir().toPath().resolve("finetune4j.lock");
                Files.createDirectories(file.toAbsolutePath().getParent());
                FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                return new CacheLock(channel, channel.lock());
            } catch (IOException e) {
                LOG.debug("library cache is not locked: {}", e.getMessage());
                return null;
            }
        }

        @Override
        public void close() {
            try (channel) {
                lock.release();
            } catch (IOException e) {
                LOG.debug("library cache lock: {}", e.getMessage());
            }
        }
    }
}
