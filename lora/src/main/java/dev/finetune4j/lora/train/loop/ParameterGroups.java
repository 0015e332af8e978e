package dev.finetune4j.lora.train.loop;

import java.util.regex.Pattern;
import org.bytedeco.pytorch.Tensor;

/** Sorts the parameters of a training into groups. */
@FunctionalInterface
public interface ParameterGroups {
    /** Names of biases and of the weights of norms. */
    Pattern UNDECAYED = Pattern.compile("bias|layernorm|rmsnorm|(^|\\.|_)norm($|\\.)", Pattern.CASE_INSENSITIVE);

    /** All parameters in one group. */
    ParameterGroups ONE = (name, parameter) -> ParameterGroup.usual();

    /**
     * Weight decay for all but biases and the weights of norms, which it would pull towards zero for nothing; by the names that
     * transformers' trainer leaves out.
     */
    ParameterGroups DECAY =
            (name, parameter) -> new ParameterGroup(1, !UNDECAYED.matcher(name).find());

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
