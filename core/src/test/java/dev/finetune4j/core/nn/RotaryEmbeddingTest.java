package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

class RotaryEmbeddingTest {
    private static final RopeScaling LONG = new RopeScaling.LongRope(List.of(1.0, 1.5), List.of(2.0, 4.0), 16, 1.2);

    @Test
    void tokensOneByOneHaveTheAnglesOfTheSequencesThatTheyEnd() {
        for (RopeScaling scaling :
                List.of(new RopeScaling.None(), new RopeScaling.Dynamic(2, 16), LONG, new RopeScaling.Linear(4))) {
            try (TensorScope scope = new TensorScope();
                    RotaryEmbedding rotary =
                            new RotaryEmbedding(new RopeSpec(10_000, 4, scaling), ComputeDevice.cpu())) {
                RotaryEmbedding.Angles steps = rotary.stepAngles(40, ScalarType.Float);
                for (int position = 0; position < 40; position++) {
                    RotaryEmbedding.Angles own = rotary.angles(position, 1, ScalarType.Float);
                    String what = scaling + " at " + position;
                    assertArrayEquals(
                            Tensors.toFloats(own.cos()),
                            Tensors.toFloats(steps.cos().narrow(0, position, 1)),
                            what);
                    assertArrayEquals(
                            Tensors.toFloats(own.sin()),
                            Tensors.toFloats(steps.sin().narrow(0, position, 1)),
                            what);
                }
                boolean changes = scaling == LONG || scaling instanceof RopeScaling.Dynamic;
                assertEquals(true, rotary.isFixedUpTo(16), scaling.toString());
                assertEquals(!changes, rotary.isFixedUpTo(17), scaling.toString());
            }
        }
    }
}
