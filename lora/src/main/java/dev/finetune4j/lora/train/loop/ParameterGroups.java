package dev.finetune4j.lora.train.loop;

import org.bytedeco.pytorch.Tensor;

/** Sorts the parameters of a training into groups. */
@FunctionalInterface
public interface ParameterGroups {
    /** All parameters in one group. */
    ParameterGroups ONE = (name, parameter) -> ParameterGroup.usual();

    /**
     * The groups of LoRA+ for adapter parameters by their names in PEFT.
     *
     * @param learningRate the peak learning rate of the training, which A gets
     */
    static ParameterGroups of(LoraPlus plus, double learningRate) {
        ParameterGroup embedding = new ParameterGroup(plus.embeddingLearningRate() / learningRate, true);
        return (name, parameter) -> {
            if (name.contains("lora_embedding_")) {
                return embedding;
            }
            boolean fast = name.contains("lora_B") || parameter.dim() == 1;
            return fast ? new ParameterGroup(plus.ratio(), !name.contains("bias")) : ParameterGroup.usual();
        };
    }

    /**
     * The group of one parameter.
     *
     * @param name its name, for an adapter that in a PEFT file
     * @param parameter read for its shape only
     */
    ParameterGroup groupOf(String name, Tensor parameter);
}
