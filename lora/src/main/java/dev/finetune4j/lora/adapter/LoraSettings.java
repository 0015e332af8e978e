package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;

/**
 * The shape of a LoRA adapter (<a href="https://arxiv.org/abs/2106.09685">Hu et al. 2021</a>). Immutable. Names follow
 * PEFT's {@code LoraConfig}.
 *
 * @param rank columns of A and rows of B, r, at least 1
 * @param alpha the adapter's product is scaled by {@code alpha / rank}
 * @param dropout share of the adapter's inputs that training sets to zero, from 0 to below 1
 * @param targets the linears that get an adapter
 */
public record LoraSettings(int rank, double alpha, double dropout, TargetModules targets) {
    public LoraSettings {
        List<String> problems = new ArrayList<>();
        if (rank < 1) {
            problems.add("the LoRA rank must be at least 1, but is " + rank + "; 8 or 16 is usual");
        }
        if (!(alpha > 0) || Double.isInfinite(alpha)) {
            problems.add("the LoRA alpha must be above 0, but is " + alpha + "; once or twice the rank is usual");
        }
        if (!(dropout >= 0 && dropout < 1)) {
            problems.add("the LoRA dropout must be at least 0 and below 1, but is " + dropout);
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** Rank 16, alpha 32, no dropout, on all linears. */
    public static LoraSettings defaults() {
        return new LoraSettings(16, 32, 0, TargetModules.allLinear());
    }

    /** Factor on the product of B and A. */
    public double scale() {
        return alpha / rank;
    }
}
