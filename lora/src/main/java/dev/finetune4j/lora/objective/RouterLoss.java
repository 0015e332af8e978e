package dev.finetune4j.lora.objective;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.nn.RouterBalance;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import java.util.Arrays;
import java.util.Objects;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The load-balancing loss of a model's routers beside that of its answers, where config.json asks for it
 * ({@code output_router_logits}). A micro-batch has as great a part in it as in the loss of the answers.
 */
final class RouterLoss {
    private RouterLoss() {}

    /** That of a batch, in the caller's scope; null where the model is trained without. */
    static @Nullable RouterBalance of(CausalLM model, DeviceBatch batch) {
        double factor = model.routerLossFactor();
        if (factor == 0) {
            return null;
        }
        int experts = model.config().layerTypes().stream()
                .map(ModelConfig.LayerType::experts)
                .filter(Objects::nonNull)
                .mapToInt(ModelConfig.Experts::count)
                .max()
                .orElseThrow();
        Tensor weight = batch.scale().mul(new Scalar(factor * batch.host().targetTokens()));
        return new RouterBalance(experts, weight, counted(batch));
    }

    /** 1 for the tokens of sequences and 0 for what fills up. */
    private static Tensor counted(DeviceBatch batch) {
        Batch host = batch.host();
        float[] counted = new float[host.rows() * host.length()];
        for (Batch.Sequence sequence : host.sequences()) {
            Arrays.fill(counted, sequence.start(), sequence.end(), 1);
        }
        return Tensors.ofFloats(Tensors.deviceOf(batch.scale()), counted, counted.length);
    }
}
