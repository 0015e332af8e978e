package dev.finetune4j.lora.train.loop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

class FlatParametersTest {
    @Test
    void whatCannotBeMovedLeavesTheOthersAsTheyWere() {
        try (TensorScope scope = new TensorScope()) {
            Tensor first = Tensors.ofFloats(ComputeDevice.cpu(), new float[] {1, 2, 3}, 3);
            Tensor sparse =
                    Tensors.ofFloats(ComputeDevice.cpu(), new float[] {0, 4}, 2).to_sparse();
            Parameter parameter = new Parameter(first);
            Map<String, Parameter> trainable = new LinkedHashMap<>();
            trainable.put("first", parameter);
            trainable.put("sparse", new Parameter(sparse));
            assertThrows(
                    RuntimeException.class,
                    () -> new FlatParameters(trainable, ParameterGroups.ONE, ScalarType.BFloat16));
            assertFalse(first.requires_grad());
            assertFalse(first.grad().defined());
            assertArrayEquals(new float[] {1, 2, 3}, Tensors.toFloats(first));
            assertSame(first, parameter.as(ScalarType.Float));
        }
    }

    /** What modules read in low precision is the optimizer's copy, while there is one. */
    @Test
    void aParameterHasItsComputeCopyWhileItIsTrained() {
        try (TensorScope scope = new TensorScope()) {
            Parameter parameter = new Parameter(Tensors.ofFloats(ComputeDevice.cpu(), new float[] {1, 2, 3}, 3));
            try (FlatParameters flat =
                    new FlatParameters(Map.of("p", parameter), ParameterGroups.ONE, ScalarType.BFloat16)) {
                Tensor copy = parameter.as(ScalarType.BFloat16);
                assertSame(copy, parameter.as(ScalarType.BFloat16));
                assertSame(parameter.master(), parameter.as(ScalarType.Float));
                parameter.master().detach().mul_(new Scalar(2));
                flat.refreshComputeCopies();
                assertArrayEquals(new float[] {2, 4, 6}, Tensors.toFloats(copy));
            }
            assertNotSame(parameter.as(ScalarType.BFloat16), parameter.as(ScalarType.BFloat16));
            assertArrayEquals(new float[] {2, 4, 6}, Tensors.toFloats(parameter.as(ScalarType.BFloat16)));
        }
    }

    /** A view that nobody closes would keep the values and copies of a whole training until the garbage collector comes by. */
    @Test
    void nothingOfThemIsLeftToTheCollector() {
        try (Tensor tensor = Tensors.ofFloats(ComputeDevice.cpu(), new float[] {1, 2, 3}, 3)) {
            Map<String, Parameter> trainable = Map.of("p", new Parameter(tensor));
            // The first time makes what stays for good.
            refreshOnce(trainable);
            long before = Pointer.totalCount();
            refreshOnce(trainable);
            long left = Pointer.totalCount() - before;
            // The collector may free objects of other tests.
            assertTrue(left <= 0, left + " native objects");
        }
    }

    private static void refreshOnce(Map<String, Parameter> trainable) {
        try (FlatParameters flat = new FlatParameters(trainable, ParameterGroups.ONE, ScalarType.BFloat16)) {
            flat.refreshComputeCopies();
        }
    }
}
