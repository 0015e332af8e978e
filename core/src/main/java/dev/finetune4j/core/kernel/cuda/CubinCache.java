package dev.finetune4j.core.kernel.cuda;

import dev.finetune4j.core.DeviceException;
import dev.finetune4j.core.cache.CacheFolder;
import dev.finetune4j.core.cache.Sha256;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Optional;
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

    private CubinCache() {}

    /** The file of a compiled source, whether or not it is there. */
    private static Path file(String source, String architecture) {
        return CacheFolder.of("cuda").resolve(Sha256.hex(architecture + '\n' + compiler() + '\n' + source) + ".cubin");
    }

    /** What was kept of an earlier compilation, if there is one. */
    static Optional<byte[]> kept(String source, String architecture) {
        Path file = file(source, architecture);
        try {
            return Files.isRegularFile(file) ? Optional.of(Files.readAllBytes(file)) : Optional.empty();
        } catch (IOException e) {
            LOG.debug("{} cannot be read: {}", file, e.toString());
            return Optional.empty();
        }
    }

    /** Compiles a source and keeps the result. */
    static byte[] compiled(String source, String name, String architecture) {
        byte[] cubin = compile(source, name, architecture);
        Path file = file(source, architecture);
        try {
            Files.createDirectories(file.getParent());
            Path partial = Files.createTempFile(file.getParent(), "kernel", ".part");
            try {
                Files.write(partial, cubin);
                Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            } finally {
                Files.deleteIfExists(partial);
            }
        } catch (IOException e) {
            LOG.debug("the compiled kernel is not kept: {}", e.toString());
        }
        return cubin;
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
