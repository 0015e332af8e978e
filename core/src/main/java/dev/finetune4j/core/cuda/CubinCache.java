package dev.finetune4j.core.cuda;

import dev.finetune4j.core.DeviceException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Locale;
import org.bytedeco.cuda.global.nvrtc;
import org.bytedeco.cuda.nvrtc._nvrtcProgram;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.PointerPointer;
import org.bytedeco.javacpp.SizeTPointer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Compiles CUDA C++ for one architecture and keeps the result in a file that is named after source, compiler and GPU. */
final class CubinCache {
    private static final Logger LOG = LoggerFactory.getLogger(CubinCache.class);
    private static final String OPTION = "finetune4j.cache";

    private CubinCache() {}

    static byte[] get(String source, String name, String architecture) {
        Path file = folder().resolve(hash(architecture + '\n' + compiler() + '\n' + source) + ".cubin");
        try {
            if (Files.isRegularFile(file)) {
                return Files.readAllBytes(file);
            }
        } catch (IOException e) {
            LOG.debug("{} cannot be read: {}", file, e.toString());
        }
        byte[] cubin = compile(source, name, architecture);
        keep(file, cubin);
        return cubin;
    }

    private static void keep(Path file, byte[] cubin) {
        try {
            Files.createDirectories(file.getParent());
            Path partial = Files.createTempFile(file.getParent(), "kernel", ".part");
            Files.write(partial, cubin);
            Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            LOG.debug("the compiled kernel is not kept: {}", e.toString());
        }
    }

    private static Path folder() {
        String chosen = System.getProperty(OPTION);
        if (chosen != null) {
            return Path.of(chosen).resolve("cuda");
        }
        String home = System.getProperty("user.home", ".");
        String os = System.getProperty("os.name", "").toLowerCase(Locale.ROOT);
        String local = System.getenv(os.startsWith("win") ? "LOCALAPPDATA" : "XDG_CACHE_HOME");
        Path cache = local == null || local.isBlank() ? Path.of(home, ".cache") : Path.of(local);
        return cache.resolve("finetune4j").resolve("cuda");
    }

    private static String hash(String text) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(digest);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String compiler() {
        try (IntPointer major = new IntPointer(1);
                IntPointer minor = new IntPointer(1)) {
            nvrtc.nvrtcVersion(major, minor);
            return major.get() + "." + minor.get();
        }
    }

    private static byte[] compile(String source, String name, String architecture) {
        _nvrtcProgram program = new _nvrtcProgram();
        try (BytePointer text = new BytePointer(source, StandardCharsets.UTF_8);
                BytePointer title = new BytePointer(name, StandardCharsets.UTF_8);
                BytePointer target = new BytePointer("--gpu-architecture=" + architecture, StandardCharsets.UTF_8);
                BytePointer standard = new BytePointer("--std=c++17", StandardCharsets.UTF_8);
                PointerPointer<BytePointer> options = new PointerPointer<>(target, standard)) {
            check(nvrtc.nvrtcCreateProgram(
                    program, text, title, 0, (PointerPointer<?>) null, (PointerPointer<?>) null));
            int result = nvrtc.nvrtcCompileProgram(program, 2, options);
            if (result != 0) {
                throw new DeviceException(
                        "the kernels " + name + " do not compile for " + architecture + ":\n" + log(program));
            }
            try (SizeTPointer size = new SizeTPointer(1)) {
                check(nvrtc.nvrtcGetCUBINSize(program, size));
                byte[] cubin = new byte[Math.toIntExact(size.get())];
                check(nvrtc.nvrtcGetCUBIN(program, cubin));
                return cubin;
            }
        } finally {
            nvrtc.nvrtcDestroyProgram(program);
        }
    }

    private static String log(_nvrtcProgram program) {
        try (SizeTPointer size = new SizeTPointer(1)) {
            check(nvrtc.nvrtcGetProgramLogSize(program, size));
            byte[] log = new byte[Math.toIntExact(size.get())];
            check(nvrtc.nvrtcGetProgramLog(program, log));
            return new String(log, StandardCharsets.UTF_8);
        }
    }

    private static void check(int result) {
        CudaModule.check(result, "the kernel compiler (NVRTC)");
    }
}
