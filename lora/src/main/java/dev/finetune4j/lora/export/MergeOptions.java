package dev.finetune4j.lora.export;

import java.util.List;

/**
 * How an adapter is merged.
 *
 * @param intoFourBit whether a checkpoint whose weights are in 4 bits may be merged into
 * @param prompts questions on which the result is compared with base and adapter; empty for no comparison
 */
public record MergeOptions(boolean intoFourBit, List<String> prompts) {
    public MergeOptions {
        prompts = List.copyOf(prompts);
    }
}
