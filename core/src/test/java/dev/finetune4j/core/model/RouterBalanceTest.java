package dev.finetune4j.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.nn.RouterBalance;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The load-balancing loss of transformers and the gradient with it, whether blocks are recomputed or not. */
class RouterBalanceTest {
    @ParameterizedTest
    @CsvSource({
        "qwen3_moe_mixed, 4, 0.05, false",
        "qwen3_moe_mixed, 4, 0.05, true",
        "mixtral_window, 6, 0.1, false",
        "mixtral_window, 6, 0.1, true"
    })
    void hasTheLossAndGradientOfTransformers(String name, int experts, float factor, boolean recomputed) {
        Path folder = TestData.resource("model/" + name);
        try (CausalLM loaded =
                        ModelLoader.load(PretrainedFolder.open(folder), LinearFactory.dense(), Placement.cpuFp32());
                SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"));
                TensorScope scope = TensorScope.forStep()) {
            CausalLM model =
                    loaded.withActivations(recomputed ? ActivationCheckpointing.all() : ActivationCheckpointing.none());
            Tensor ids = golden.read("input_ids");
            Tensor weight = Objects.requireNonNull(model.parameters().get("model.layers.0.self_attn.o_proj.weight"));
            weight.set_requires_grad(true);
            // A second row that does not count changes nothing.
            long count = ids.numel();
            Tensor both = ids.repeat(2, 1);
            float[] counted = new float[(int) (2 * count)];
            Arrays.fill(counted, 0, (int) count, 1);
            RouterBalance balance = new RouterBalance(
                    experts,
                    Tensors.ofFloats(ComputeDevice.cpu(), new float[] {factor}, 1),
                    Tensors.ofFloats(ComputeDevice.cpu(), counted, counted.length));
            Tensor hidden = model.hidden(ModelInput.padded(both), balance);
            long[] labels = new long[(int) (2 * count)];
            Arrays.fill(labels, Labels.IGNORE);
            System.arraycopy(Tensors.toLongs(ids), 1, labels, 0, (int) count - 1);
            NextTokenLoss.lossAndBackward(hidden, model::logits, labels, 1.0 / (count - 1));
            assertEquals(
                    factor * TensorData.floats(golden, "aux_loss")[0],
                    balance.loss().item_double(),
                    1e-4);
            TensorData.assertClose(
                    "gradient", TensorData.floats(golden, "aux_gradient"), Tensors.toFloats(weight.grad()), 1e-3);
        }
    }
}
