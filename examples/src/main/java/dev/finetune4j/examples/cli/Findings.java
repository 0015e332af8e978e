package dev.finetune4j.examples.cli;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceException;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.cache.CacheFolder;
import dev.finetune4j.core.hub.ModelSource;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.message.ByteCount;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.io.IOException;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.CodeSource;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.bytedeco.pytorch.global.torch;

/** What was found on this machine, in the order in which a person would ask. Not thread-safe. */
final class Findings {
    private static final double LEAST_GLIBC = 2.35;
    private static final long LEAST_ROOM = 1L << 30;
    private static final Pattern GPU_LIBRARY =
            Pattern.compile("(/\\S*/lib(?:cudart|cublas|cudnn|nvrtc|nccl|cuda)\\.so[.0-9]*)$", Pattern.MULTILINE);

    private final List<Finding> findings = new ArrayList<>();

    /**
     * One line.
     *
     * @param name what it is about
     * @param value what was found
     * @param problem what is wrong and what helps; empty for nothing
     */
    record Finding(String name, String value, String problem) {}

    private Findings() {}

    static Findings of() {
        Findings findings = new Findings();
        findings.system();
        findings.java();
        if (findings.natives()) {
            findings.devices();
        }
        findings.caches();
        findings.hubs();
        return findings;
    }

    List<Finding> all() {
        return Collections.unmodifiableList(findings);
    }

    List<Finding> problems() {
        return findings.stream().filter(finding -> !finding.problem().isEmpty()).toList();
    }

    private void add(String name, String value) {
        add(name, value, "");
    }

    private void add(String name, String value, String problem) {
        findings.add(new Finding(name, value, problem));
    }

    private void system() {
        add("system", property("os.name") + " " + property("os.version") + " " + property("os.arch"));
        if (property("os.name").equals("Linux")) {
            String version = Probe.output("getconf", "GNU_LIBC_VERSION");
            Matcher number = Pattern.compile("glibc (\\d+\\.\\d+)").matcher(version);
            boolean known = number.find();
            boolean old = known && Double.parseDouble(number.group(1)) < LEAST_GLIBC;
            add(
                    "C library",
                    known ? number.group() : "no glibc",
                    known && !old
                            ? ""
                            : "the natives need glibc " + LEAST_GLIBC + " or newer, and "
                                    + (known ? number.group() : "none")
                                    + " is here; use a newer distribution, such as Debian 12 or Ubuntu 22.04 (Alpine has musl)");
        }
        add("processors", String.valueOf(Runtime.getRuntime().availableProcessors()));
    }

    private void java() {
        add("java", property("java.runtime.version") + ", " + property("java.vendor") + ", " + property("java.home"));
        add("java heap", "up to " + ByteCount.text(Runtime.getRuntime().maxMemory()));
        boolean allowed = Probe.nativeAccess(torch.class.getModule());
        add(
                "native access",
                allowed ? "allowed" : "allowed with a warning",
                allowed
                        ? ""
                        : "Java will refuse native code one day; start it with --enable-native-access=ALL-UNNAMED");
    }

    /** Whether libtorch is there. */
    private boolean natives() {
        CodeSource source = torch.class.getProtectionDomain().getCodeSource();
        add("natives from", source == null ? "unknown" : source.getLocation().getPath());
        add("unpacked to", TorchRuntime.unpackingFolder().toString());
        try {
            add("libtorch", TorchRuntime.report());
        } catch (DeviceException e) {
            add("libtorch", "cannot be loaded", String.valueOf(e.getMessage()));
            return false;
        }
        try {
            add(
                    "CPU kernels",
                    CpuKernels.get()
                            .map(kernels -> kernels.level().label())
                            .orElse("none in this build; libtorch computes, more slowly"));
        } catch (DeviceException e) {
            add("CPU kernels", "refused", String.valueOf(e.getMessage()));
        }
        String variable = System.getenv("OMP_NUM_THREADS");
        add("threads", TorchRuntime.threads() + (variable == null ? "" : ", of OMP_NUM_THREADS"));
        return true;
    }

    private void devices() {
        add("memory", DeviceMemory.of(ComputeDevice.cpu()).toString());
        String driver = Probe.firstLine(Path.of("/proc/driver/nvidia/version"));
        add("NVIDIA driver", driver.isEmpty() ? "none" : driver);
        int gpus = TorchRuntime.cudaDevices();
        for (int i = 0; i < gpus; i++) {
            ComputeDevice gpu = ComputeDevice.cuda(i);
            String problem = "";
            try {
                TorchRuntime.require(gpu);
            } catch (DeviceException e) {
                problem = String.valueOf(e.getMessage());
            }
            add(gpu.toString(), problem.isEmpty() ? DeviceMemory.of(gpu).toString() : "not used", problem);
        }
        if (gpus == 0 && !driver.isEmpty()) {
            String reason = "";
            try {
                TorchRuntime.require(ComputeDevice.cuda(0));
            } catch (DeviceException e) {
                reason = String.valueOf(e.getMessage());
            }
            add("CUDA", "a driver is there, but no GPU is used", reason);
        }
        Set<String> libraries = new TreeSet<>();
        Matcher matcher = GPU_LIBRARY.matcher(Probe.text(Path.of("/proc/self/maps")));
        while (matcher.find()) {
            libraries.add(Probe.real(Path.of(matcher.group(1))));
        }
        libraries.forEach(library -> add(Path.of(library).getFileName().toString(), library));
    }

    private void caches() {
        cache("Hugging Face cache", ModelSource.huggingFace("org/name").cacheFolder());
        cache("ModelScope cache", ModelSource.modelScope("org/name").cacheFolder());
        cache("native cache", TorchRuntime.unpackingFolder());
        cache("library cache", CacheFolder.of("").normalize());
    }

    private void cache(String name, Path folder) {
        Path there = folder.toAbsolutePath();
        while (there != null && !Files.exists(there)) {
            there = there.getParent();
        }
        if (there == null) {
            return;
        }
        String problem =
                Files.isWritable(there) ? "" : there + " cannot be written; see whose it is, or choose another cache";
        String room = "";
        try {
            FileStore store = Files.getFileStore(there);
            room = ", " + ByteCount.text(store.getUsableSpace()) + " free";
            if (problem.isEmpty() && store.getUsableSpace() < LEAST_ROOM) {
                problem = "the disk of " + folder + " has less than " + ByteCount.text(LEAST_ROOM) + " free; make room";
            }
        } catch (IOException e) {
            room = ", room unknown";
        }
        add(name, folder + (Files.exists(folder) ? "" : " (not there yet)") + room, problem);
    }

    private void hubs() {
        for (String variable : List.of(
                "HF_ENDPOINT", "MODELSCOPE_DOMAIN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "FINETUNE4J_HUB")) {
            String value = System.getenv(variable);
            if (value != null) {
                add(variable, value.replaceAll("//[^/@]*@", "//***@"));
            }
        }
        boolean tokens = Stream.of("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN")
                .anyMatch(name -> System.getenv(name) != null);
        add("tokens", tokens ? "set in the environment" : "none in the environment");
    }

    private static String property(String name) {
        return System.getProperty(name, "unknown");
    }
}
