package dev.finetune4j.lora.plan;

import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.OutOfDeviceMemoryException;
import dev.finetune4j.core.message.ByteCount;
import java.util.Locale;

/**
 * What serving a model will hold in memory. Immutable; its components are plain numbers and texts, so a JSON library writes it as it is.
 *
 * @param device where it runs, such as {@code cuda:0}
 * @param texts how many are generated at once
 * @param tokens that each of them has at most, prompt and answer together
 * @param weights bytes of the base's weights
 * @param adapters bytes of all adapters, and of the copies that a batch of several computes with
 * @param cache bytes of the keys and values of all texts, and of those that are kept of earlier ones
 * @param logits bytes of the logits of a step
 * @param memory of the device when the plan was made
 * @param fits whether the batch would have memory for all of these texts
 * @param advice what to change to make it fit, or what is left
 */
public record ServingPlan(
        String device,
        int texts,
        int tokens,
        long weights,
        long adapters,
        long cache,
        long logits,
        DeviceMemory memory,
        boolean fits,
        String advice) {
    /** All together, in bytes. */
    public long total() {
        return weights + adapters + cache + logits;
    }

    /**
     * This plan, if it fits.
     *
     * @throws OutOfDeviceMemoryException when it does not, with the advice
     */
    public ServingPlan requireFits() {
        if (!fits) {
            throw OutOfDeviceMemoryException.planned(
                    device,
                    "serving " + texts + " texts of " + tokens + " tokens",
                    total(),
                    memory.free(),
                    memory.total(),
                    advice);
        }
        return this;
    }

    /** A table for people, several lines. */
    @Override
    public String toString() {
        StringBuilder text =
                new StringBuilder(String.format(Locale.ROOT, "%d texts of %d tokens on %s%n", texts, tokens, device));
        line(text, "weights", weights);
        line(text, "adapters", adapters);
        line(text, "keys and values", cache);
        line(text, "logits", logits);
        text.append(String.format(Locale.ROOT, "%-22s%12s  of %s%n", "total", ByteCount.text(total()), memory));
        return text.append(fits ? "it fits; " : "it does not fit: ")
                .append(advice)
                .toString();
    }

    private static void line(StringBuilder text, String name, long bytes) {
        text.append(String.format(Locale.ROOT, "%-22s%12s%n", name, ByteCount.text(bytes)));
    }
}
