package dev.finetune4j.core.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.OutOfDeviceMemoryException;
import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.message.ByteCount;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class MemoryErrorsTest {
    /** More bytes than any processor can address. */
    private static final long ABSURD = 1L << 56;

    @BeforeAll
    static void start() {
        TorchRuntime.start();
    }

    private static OutOfDeviceMemoryException typed(RuntimeException thrown) {
        return assertInstanceOf(
                OutOfDeviceMemoryException.class, MemoryErrors.typed(thrown, ComputeDevice.cpu(), "testing"));
    }

    private static Tensor absurd() {
        return Tensors.empty(ComputeDevice.cpu(), ScalarType.Byte, ABSURD);
    }

    @Test
    void anAllocationThatCannotBeHadIsTyped() {
        RuntimeException thrown;
        try (TensorScope scope = new TensorScope()) {
            thrown = assertThrows(RuntimeException.class, MemoryErrorsTest::absurd);
        }
        OutOfDeviceMemoryException out = typed(thrown);
        assertEquals(ABSURD, out.requestedBytes().orElseThrow());
        assertEquals("testing", out.action());
        assertEquals("cpu", out.device());
        assertTrue(out.freeBytes().orElseThrow() > 0);
        assertTrue(out.totalBytes().orElseThrow() >= out.freeBytes().orElseThrow());
        assertTrue(
                out.getMessage().startsWith("out of memory on cpu while testing: 64.0 PiB more could not be had"),
                out.getMessage());
        assertSame(out, MemoryErrors.typed(out, ComputeDevice.cpu(), "again"));
        OutOfDeviceMemoryException advised = out.withAdvice("take less");
        assertEquals("take less", advised.advice());
        assertEquals(out.requestedBytes(), advised.requestedBytes());
        assertTrue(advised.getMessage().endsWith("; take less"), advised.getMessage());
    }

    @Test
    void soIsOneWithinABackwardPassInJavaAndTheNextPassRuns() {
        try (TensorScope scope = new TensorScope()) {
            Tensor x = torch.randn(4, 3).set_requires_grad(true);
            Tensor y = CustomFunction.apply(x, given -> given.clone(), gradient -> absurd());
            RuntimeException thrown =
                    assertThrows(RuntimeException.class, () -> y.sum().backward());
            assertEquals(ABSURD, typed(thrown).requestedBytes().orElseThrow());
            Tensor z = CustomFunction.apply(x, given -> given.clone(), gradient -> gradient.clone());
            z.sum().backward();
            assertTrue(torch.allclose(x.grad(), torch.ones_like(x)));
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79 GiB | 2684354560",
                "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has | 20971520",
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes. Error | 4096",
                "java.lang.RuntimeException: CUDA out of memory. Tried to allocate 1.00 KiB | 1024",
                "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)` |",
                "CUDA error: out of memory |"
            })
    void theTextSaysHowMuch(String text, Long bytes) {
        assertTrue(MemoryErrors.ranOut(new RuntimeException(text)));
        assertTrue(MemoryErrors.ranOut(new IllegalStateException("around", new RuntimeException(text))));
        assertEquals(bytes, MemoryErrors.requested(text));
    }

    @Test
    void otherErrorsStayAsTheyAre() {
        RuntimeException other = new RuntimeException("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)");
        assertSame(other, MemoryErrors.typed(other, ComputeDevice.cpu(), "testing"));
    }

    @Test
    void theHostHasMemory() {
        DeviceMemory memory = DeviceMemory.of(ComputeDevice.cpu());
        assertTrue(memory.free() > 0 && memory.free() <= memory.total(), memory.toString());
    }

    @ParameterizedTest
    @CsvSource({"0, 0 B", "1023, 1023 B", "1024, 1.0 KiB", "12133000000, 11.3 GiB", "-2048, -2.0 KiB"})
    void bytesAreWrittenForPeople(long bytes, String text) {
        assertEquals(text, ByteCount.text(bytes));
    }
}
