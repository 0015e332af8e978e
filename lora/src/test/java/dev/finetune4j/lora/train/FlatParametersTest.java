package dev.finetune4j.lora.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.finetune4j.core.nn.ComputeCopies;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.LinkedHashMap;
import java.util.Map;
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
            Map<String, Tensor> trainable = new LinkedHashMap<>();
            trainable.put("first", first);
            trainable.put("sparse", sparse);
            assertThrows(
                    RuntimeException.class,
                    () -> new FlatParameters(trainable, ParameterGroups.ONE, ScalarType.BFloat16));
            assertFalse(first.requires_grad());
            assertFalse(first.grad().defined());
            assertArrayEquals(new float[] {1, 2, 3}, Tensors.toFloats(first));
            assertSame(first, ComputeCopies.of(first, ScalarType.Float));
        }
    }
}
