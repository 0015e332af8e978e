package dev.finetune4j.core.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class TensorScopeTest {
    @BeforeAll
    static void start() {
        TorchRuntime.start();
    }

    @Test
    void freesWhatItOwnsAndNothingElse() {
        Tensor temporary;
        Tensor kept;
        Tensor released;
        try (TensorScope outer = new TensorScope()) {
            try (TensorScope inner = new TensorScope()) {
                temporary = torch.ones(2);
                kept = inner.keep(torch.ones(3));
                released = inner.release(torch.ones(4));
            }
            assertTrue(temporary.isNull());
            assertEquals(3, kept.numel());
        }
        assertTrue(kept.isNull());
        assertEquals(4, released.sum().item_float());
        released.close();
        assertTrue(released.isNull());
    }

    @Test
    void keepInTheOutermostScopeLeavesTheObjectToTheCaller() {
        Tensor kept;
        try (TensorScope scope = new TensorScope()) {
            kept = scope.keep(torch.ones(3));
        }
        assertFalse(kept.isNull());
        kept.close();
    }

    @Test
    void knowsTheScopeOfTheStep() {
        assertNull(TensorScope.ofStep());
        try (TensorScope outer = new TensorScope();
                TensorScope inner = new TensorScope()) {
            assertSame(outer, TensorScope.ofStep());
            inner.close();
            inner.close();
            assertSame(outer, TensorScope.ofStep());
            try (TensorScope step = TensorScope.forStep();
                    TensorScope block = new TensorScope()) {
                assertSame(step, TensorScope.ofStep());
            }
            assertSame(outer, TensorScope.ofStep());
        }
        assertNull(TensorScope.ofStep());
    }

    @Test
    void tensorsHoldTheGivenValuesInRowMajorOrder() {
        try (TensorScope scope = new TensorScope()) {
            Tensor floats = Tensors.ofFloats(ComputeDevice.cpu(), new float[] {1, 2, 3, 4, 5, 6}, 2, 3);
            assertEquals(6, floats.select(0, 1).select(0, 2).item_float());
            assertEquals(ScalarType.Float, Tensors.typeOf(floats));
            assertSame(floats, Tensors.as(floats, ScalarType.Float));
            assertEquals(ScalarType.BFloat16, Tensors.typeOf(Tensors.as(floats, ScalarType.BFloat16)));
            assertEquals(3, Tensors.toLongs(Tensors.ofLongs(ComputeDevice.cpu(), new long[] {1, 2, 3}, 3))[2]);
            assertThrows(IllegalArgumentException.class, () -> Tensors.ofLongs(ComputeDevice.cpu(), new long[3], 2));
        }
    }

    @Test
    void theReportNamesLibtorchAndTheThreads() {
        String report = TorchRuntime.report();
        assertTrue(report.contains("libtorch") && report.contains(TorchRuntime.threads() + " thread"), report);
        assertThrows(IllegalArgumentException.class, () -> TorchRuntime.setThreads(0));
        assertThrows(IllegalArgumentException.class, () -> new ComputeDevice(ComputeDevice.Kind.CPU, 1));
    }
}
