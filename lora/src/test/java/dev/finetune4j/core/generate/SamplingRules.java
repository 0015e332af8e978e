package dev.finetune4j.core.generate;

/** Lets the tests of this module see what the rules of a {@link Sampler} make of logits, before a token is chosen. */
public final class SamplingRules {
    private SamplingRules() {}

    /** Changes the logits of one position, (V), by the rules about repetition and then by those that narrow the choice. */
    public static void apply(GenerationSettings settings, float[] logits, int[] history) {
        Sampler sampler = new Sampler(settings);
        sampler.processLogits(logits, history, history.length);
        sampler.warp(logits);
    }
}
