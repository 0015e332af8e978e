package dev.finetune4j.testsupport;

import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.CpuLevel;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Loader;
import org.opentest4j.AssertionFailedError;
import org.opentest4j.TestAbortedException;

/**
 * What a test needs beyond the checkout. A test that lacks it is skipped with the reason, unless the system property
 * {@value #PROPERTY} lists it ({@code shared}, {@code cpu}, {@code gpu}, separated by commas): then the test fails. Every
 * module compiles this class among its tests.
 */
public final class Needs {
    /** The system property that lists what must be there. */
    public static final String PROPERTY = "finetune4j.require";

    private static final Set<String> REQUIRED = Arrays.stream(
                    System.getProperty(PROPERTY, "").split(","))
            .map(name -> name.trim().toLowerCase(Locale.ROOT))
            .filter(name -> !name.isEmpty())
            .collect(Collectors.toUnmodifiableSet());

    /** What a machine may lack. */
    enum Thing {
        /** The folder with wider fixtures that may lie beside the checkout. */
        SHARED,
        /** The kernels of the CPU, which a build without a C++ compiler leaves out. */
        CPU,
        /** A CUDA GPU. */
        GPU
    }

    private Needs() {}

    /** A file or folder of the shared folder, such as {@code fixtures/tokenizers}. */
    public static Path shared(String path) {
        return findShared(path).orElseThrow(() -> new TestAbortedException(absent(path)));
    }

    /** The same for tests that have something to do without it. */
    public static Optional<Path> findShared(String path) {
        Optional<Path> found = Stream.of("../shared", "../../shared", "shared")
                .map(folder -> Path.of(folder, path).toAbsolutePath().normalize())
                .filter(Files::exists)
                .findFirst();
        if (found.isEmpty() && REQUIRED.contains("shared")) {
            throw missing(Thing.SHARED, absent(path));
        }
        return found;
    }

    private static String absent(String path) {
        String root = path.split("/", 3)[0];
        boolean folder = Stream.of("../shared", "../../shared", "shared")
                .anyMatch(shared -> Files.isDirectory(Path.of(shared, root)));
        return folder ? "the shared folder has no " + path : "the shared folder is not beside this checkout";
    }

    /** A CUDA GPU. */
    public static void gpu() {
        check(REQUIRED, Thing.GPU, TorchRuntime.cudaDevices() > 0, "there is no CUDA GPU here");
    }

    /** The kernels of the CPU, on the level of this run. */
    public static CpuKernels cpuKernels() {
        Optional<CpuKernels> kernels = CpuKernels.get();
        that(
                kernels.isPresent()
                        || !System.getProperty(CpuKernels.PROPERTY, "").equals("off"),
                "the CPU kernels are switched off");
        check(REQUIRED, Thing.CPU, kernels.isPresent(), "this build has no CPU kernels");
        return kernels.orElseThrow();
    }

    /** The kernels of one level. */
    public static CpuKernels cpuKernels(CpuLevel level) {
        cpuKernels();
        Optional<CpuKernels> kernels = CpuKernels.of(level);
        that(kernels.isPresent(), "this processor does not run " + level.label());
        return kernels.orElseThrow();
    }

    /** That the kernels of the CPU were built, whether or not this processor runs the level that is asked for. */
    public static void builtKernels() {
        String file = Loader.getPlatform() + "/" + System.mapLibraryName("jnifinetune4jcpu");
        boolean built = CpuKernels.class.getResource(file) != null;
        check(REQUIRED, Thing.CPU, built, "this build has no CPU kernels");
    }

    /** Any other condition, whose absence is never a failure: another processor, an option that was not given. */
    public static void that(boolean condition, String reason) {
        if (!condition) {
            throw new TestAbortedException(reason);
        }
    }

    /** Skips or fails a test for lack of something. */
    static void check(Set<String> required, Thing thing, boolean there, String reason) {
        if (there) {
            return;
        }
        if (required.contains(thing.name().toLowerCase(Locale.ROOT))) {
            throw missing(thing, reason);
        }
        throw new TestAbortedException(reason);
    }

    private static AssertionFailedError missing(Thing thing, String reason) {
        return new AssertionFailedError(
                reason + ", but -D" + PROPERTY + " lists " + thing.name().toLowerCase(Locale.ROOT));
    }
}
