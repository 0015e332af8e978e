package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;

/**
 * LoRA+: B learns faster than A (<a href="https://arxiv.org/abs/2402.12354">Hayou et al. 2024</a>). Immutable. The groups
 * are those of PEFT's {@code create_loraplus_optimizer}:
 *
 * <ul>
 *   <li>the factors of an adapted embedding learn at a rate of their own;
 *   <li>B and every vector, such as a bias or DoRA's magnitude, learn {@code ratio} times as fast as the rest;
 *   <li>weight decay leaves biases alone.
 * </ul>
 *
 * @param ratio learning rate of B over that of A, at least 1; the paper finds 16 good for hard tasks, together with a
 *     learning rate about half as large as LoRA's usual one
 * @param embeddingLearningRate peak learning rate of an embedding's factors
 */
public record LoraPlus(double ratio, double embeddingLearningRate) {
    private static final double USUAL_EMBEDDING_RATE = 1e-6;

    public LoraPlus {
        List<String> problems = new ArrayList<>();
        if (!(ratio >= 1) || Double.isInfinite(ratio)) {
            problems.add("the LoRA+ ratio must be at least 1 (B as fast as A), but is " + ratio + "; 16 is usual");
        }
        if (!(embeddingLearningRate > 0) || Double.isInfinite(embeddingLearningRate)) {
            problems.add("the LoRA+ learning rate of embeddings must be above 0, but is " + embeddingLearningRate
                    + "; 1e-6 is usual");
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** B learns {@code ratio} times as fast as A, embeddings at 1e-6. */
    public static LoraPlus withRatio(double ratio) {
        return new LoraPlus(ratio, USUAL_EMBEDDING_RATE);
    }
}
