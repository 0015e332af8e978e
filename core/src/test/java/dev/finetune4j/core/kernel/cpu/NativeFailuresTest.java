package dev.finetune4j.core.kernel.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.Threads;
import dev.finetune4j.testsupport.Needs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

/** What goes wrong in the C++ code, and what keeps it from being loaded, reaches Java. */
class NativeFailuresTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();

    /** Bytes that a thread takes for a token of a head with one channel in a backward pass: more than its working memory. */
    private static final long BYTES_OF_TOKEN = 4 * (128 + 2);

    /** The memory and swap of the machine, of which the system gives no more at once. */
    private static long memory() throws IOException {
        long kibibytes = 0;
        for (String line : Files.readAllLines(Path.of("/proc/meminfo"))) {
            if (line.startsWith("MemTotal:") || line.startsWith("SwapTotal:")) {
                kibibytes += Long.parseLong(line.replaceAll("\\D", ""));
            }
        }
        return kibibytes * 1024;
    }

    @Test
    void lackOfMemoryInTheThreadsOfAKernelIsAnException() throws IOException {
        AttentionKernels kernels = Needs.cpuKernels().attention();
        Path overcommit = Path.of("/proc/sys/vm/overcommit_memory");
        Needs.that(
                Files.exists(overcommit) && Files.readString(overcommit).trim().equals("0"),
                "this system does not refuse more memory than the machine has");
        // The tensors are never touched, so that they take no memory; each of the heads would take more than there is.
        long tokens = memory() / BYTES_OF_TOKEN * 11 / 10;
        try (TensorScope scope = new TensorScope();
                Threads.Share share = Threads.share(4)) {
            AttentionKernels.Heads of = new AttentionKernels.Heads(1, 1, 1, 1, 0, 0);
            Tensor qkv = Tensors.empty(CPU, ScalarType.BFloat16, 2, tokens, 3);
            Tensor y = Tensors.empty(CPU, ScalarType.BFloat16, 2, tokens, 1);
            Tensor logs = Tensors.empty(CPU, ScalarType.Float, 2, 1, tokens);
            for (int i = 0; i < 3; i++) {
                RuntimeException thrown =
                        assertThrows(RuntimeException.class, () -> kernels.backward(of, qkv, y, y, logs, qkv));
                assertTrue(MemoryErrors.ranOut(thrown), thrown::toString);
            }
            // The threads are still there and at work.
            Tensor a = Tensors.zeros(CPU, ScalarType.Float, 400, 300);
            Tensor c = Tensors.empty(CPU, ScalarType.Float, 400, 400);
            Needs.cpuKernels().products().gemmNT(a, a, null, c, 1, false);
            assertEquals(0, c.count_nonzero().item_long());
        }
    }

    @Test
    void whyTheKernelsCannotBeLoaded() {
        Needs.cpuKernels();
        assertTrue(CpuNative.isBuilt());
        String message = CpuNative.failure()
                .explain(List.of(new UnsatisfiedLinkError(
                        "libjnifinetune4jcpu.so: failed to map segment from shared object: Operation not permitted")));
        assertTrue(
                message.startsWith("the library of the CPU's kernels could not be loaded: the file system of ")
                        && message.endsWith(
                                " is mounted noexec, so that no program code may be loaded from it; choose another folder"
                                        + " with -Dorg.bytedeco.javacpp.cachedir=FOLDER"),
                message);
    }
}
