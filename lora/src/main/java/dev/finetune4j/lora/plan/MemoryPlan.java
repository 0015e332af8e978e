package dev.finetune4j.lora.plan;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.message.ByteCount;
import dev.finetune4j.core.nn.TokenSlices;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * What a training will hold in memory, item by item. Immutable; its components are plain numbers and texts, so a JSON library
 * writes it as it is.
 *
 * @param device where it runs, such as {@code cuda:0}
 * @param rows examples of a batch, or rows that were packed beforehand
 * @param tokens of the longest example, without virtual tokens
 * @param positions that go through the model together, without virtual tokens: rows · tokens where examples are padded, mostly
 *     fewer where they are packed behind one another
 * @param activations which blocks compute again in the backward pass
 * @param bytes the items
 * @param memory of the device when the plan was made
 * @param peak the most that is there at one moment, {@link Bytes#peak()}
 * @param fits whether the peak leaves a reserve of the free memory
 * @param advice what to change: to make it fit, or, when it fits, should memory run out nevertheless
 */
public record MemoryPlan(
        String device,
        int rows,
        int tokens,
        long positions,
        ActivationCheckpointing activations,
        Bytes bytes,
        DeviceMemory memory,
        long peak,
        boolean fits,
        String advice) {
    /**
     * The items of a plan, in bytes. They are not all there at the same time: the peak is the largest of three moments, the
     * loss over a chunk of the vocabulary projection, a block at work, and the step of the optimizer.
     *
     * @param weights the base's weights, as they are kept
     * @param dequantized copies of 4-bit weights that are kept dense while it trains; 0 unless they were asked for
     * @param adapter the adapter's numbers, those that are not trained included; 0 for full fine-tuning
     * @param gradients of all that is trained, float32
     * @param optimizer what the optimizer keeps, and on a GPU copies of what is trained in the precision of the pass
     * @param tables rotary angles and masks
     * @param activations what the forward pass leaves for the backward pass, over all blocks
     * @param loss one chunk of logits, its gradients, and the gradient of the hidden states
     * @param block what one block needs while it runs: temporaries, gradients, a dense copy of its largest 4-bit linear, and what
     *     it computes again
     * @param step the temporaries of the optimizer's step
     * @param checkpoint the copy of what is trained, and of what the optimizer keeps, that is written while the training goes on; 0 on a
     *     GPU, where it is in the memory of the host, without checkpoints, and where it is too large for the free memory, so that the
     *     training waits for the writing
     */
    public record Bytes(
            long weights,
            long dequantized,
            long adapter,
            long gradients,
            long optimizer,
            long tables,
            long activations,
            long loss,
            long block,
            long step,
            long checkpoint) {
        /** What is there during the whole training. */
        public long resident() {
            return weights + dequantized + adapter + gradients + optimizer + tables;
        }

        /** The most that is there at one moment. */
        public long peak() {
            return resident() + checkpoint + Math.max(activations + Math.max(loss, block), step);
        }
    }

    /**
     * One line of the plan.
     *
     * @param name what it is
     * @param bytes how much
     */
    public record Item(String name, long bytes) {}

    /** All lines, in the order in which they come into being. */
    public List<Item> items() {
        List<Item> items = new ArrayList<>();
        items.add(new Item("weights", bytes.weights()));
        if (bytes.dequantized() > 0) {
            items.add(new Item("dequantized weights", bytes.dequantized()));
        }
        items.addAll(List.of(
                new Item("adapter", bytes.adapter()),
                new Item("gradients", bytes.gradients()),
                new Item("optimizer", bytes.optimizer()),
                new Item("rotary tables, masks", bytes.tables()),
                new Item("activations", bytes.activations()),
                new Item("loss chunk", bytes.loss()),
                new Item("one block at work", bytes.block()),
                new Item("optimizer step", bytes.step())));
        if (bytes.checkpoint() > 0) {
            items.add(new Item("checkpoint", bytes.checkpoint()));
        }
        return List.copyOf(items);
    }

    /** A table for people, several lines. */
    public String describe() {
        StringBuilder text = new StringBuilder(String.format(
                Locale.ROOT,
                "%s on %s, %s%n",
                describe(rows, tokens, positions),
                device,
                describe(activations) + slices()));
        for (Item item : items()) {
            text.append(String.format(Locale.ROOT, "%-22s%12s%n", item.name(), ByteCount.text(item.bytes())));
        }
        text.append(String.format(Locale.ROOT, "%-22s%12s  of %s%n", "peak", ByteCount.text(peak), memory));
        return text.append(fits ? "it fits" : advice).toString();
    }

    /** The size of a batch, such as "8 x 512 tokens". */
    public static String describe(int rows, int tokens, long positions) {
        return positions == (long) rows * tokens
                ? rows + " x " + tokens + " tokens"
                : rows + " of up to " + tokens + " tokens, " + positions + " together";
    }

    /** What is said of blocks that compute the MLP of a long context again. */
    private String slices() {
        return activations.every() > 0 && positions > TokenSlices.TOKENS
                ? ", its MLP " + TokenSlices.TOKENS + " tokens at a time"
                : "";
    }

    private static String describe(ActivationCheckpointing policy) {
        String attention = policy.keepsAttention() ? ", but for attention," : "";
        return switch (policy.every()) {
            case 0 -> "all activations kept";
            case 1 -> "every block" + attention + " computes again in the backward pass";
            default -> "one block of " + policy.every() + attention + " computes again in the backward pass";
        };
    }

    /** The same as {@link #describe()}. */
    @Override
    public String toString() {
        return describe();
    }
}
