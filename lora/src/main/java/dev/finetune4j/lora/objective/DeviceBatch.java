package dev.finetune4j.lora.objective;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.SharedKeys;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.PackedSequences;
import dev.finetune4j.core.nn.Targets;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.EncodedSequence;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * A micro-batch on the model's device, which a pass reads.
 *
 * @param host the batch itself; a pass that reads it, or the lengths of packed sequences, cannot be captured
 * @param input ids, (B, T), padded or packed
 * @param targets what its positions have to predict
 * @param scale factor on gradient and loss, one float32
 * @param answers what is known of its sequences; null where the loss is a sum over target tokens
 * @param reference what the reference says of its sequences, known beforehand or found by the pass; null where nobody asks
 */
public record DeviceBatch(
        Batch host,
        ModelInput input,
        Targets targets,
        Tensor scale,
        @Nullable Answers answers,
        @Nullable Reference reference)
        implements AutoCloseable {
    /** Numbers of sequences between a power of two and the next. */
    private static final int NUMBERS_OF_A_POWER = 8;

    private static final int SIZES_OF_SHARED = 4;

    /**
     * What two batches share that one captured pass is right for.
     *
     * @param rows B
     * @param length T
     * @param sequences how many lie behind one another in a packed row, empty ones included; 0 where rows are padded
     * @param shared how many keys there is room for that several sequences of a packed row share
     * @param targets their number, those that only fill up included
     * @param weighted whether they count differently
     * @param compared how many sequences the loss compares, parted ones twice; 0 where it is a sum over target tokens
     * @param referenceKnown whether the pass need not ask the reference
     * @param frequencies {@link CausalLM#rotaryKey} of the longest sequence of a packed row, or of all of padded rows
     */
    public record Shape(
            long rows,
            long length,
            int sequences,
            long shared,
            int targets,
            boolean weighted,
            int compared,
            boolean referenceKnown,
            long frequencies) {}

    /**
     * Log-probabilities of sequences under the reference.
     *
     * @param scores (S) float32
     * @param known whether they are there before the pass, which else computes them
     */
    record Reference(Tensor scores, boolean known) {}

    /** The batch of an objective whose loss is a sum over target tokens. */
    static DeviceBatch ofTokens(CausalLM model, Batch batch, double scale, int multiple) {
        return of(model, batch, scale, false, device -> Targets.of(device, batch.labels(), batch.weights(), multiple));
    }

    /** The batch of an objective whose loss is a function of whole sequences. */
    static DeviceBatch ofSequences(CausalLM model, Batch batch, double scale, int multiple) {
        return of(
                model,
                batch,
                scale,
                true,
                device -> Targets.ofSequences(device, batch.labels(), multiple, lengthsWithPadding(batch)));
    }

    /**
     * The same for an objective that learns the prompts of the chosen answers as well: each sequence is parted into prompt and answer,
     * so that there are 4N.
     */
    static DeviceBatch ofPromptsAndAnswers(CausalLM model, Batch batch, double scale, int multiple) {
        long[] labels = batch.labels();
        int[] together = lengthsWithPadding(batch);
        int[] lengths = new int[2 * together.length];
        for (int i = 0; i < together.length; i++) {
            Batch.Sequence sequence = batch.sequences().get(i);
            EncodedSequence tokens = sequence.tokens();
            int prompt = tokens.promptPositions() - sequence.shared();
            lengths[2 * i] = prompt;
            lengths[2 * i + 1] = together[i] - prompt;
            for (int p = 0; p < prompt && tokens.kind() == EncodedSequence.Kind.CHOSEN; p++) {
                labels[sequence.start() + p] = tokens.inputIds()[p + 1];
            }
        }
        return of(model, batch, scale, true, device -> Targets.ofSequences(device, labels, multiple, lengths));
    }

    /** How many of the B · T positions each sequence has, the padding behind it included. */
    private static int[] lengthsWithPadding(Batch batch) {
        List<Batch.Sequence> sequences = batch.sequences();
        int[] lengths = new int[sequences.size()];
        int end = batch.rows() * batch.length();
        for (int i = lengths.length - 1; i >= 0; i--) {
            int start = i == 0 ? 0 : sequences.get(i).start();
            lengths[i] = end - start;
            end = start;
        }
        return lengths;
    }

    private static DeviceBatch of(
            CausalLM model, Batch batch, double scale, boolean compares, Function<ComputeDevice, Targets> targets) {
        ComputeDevice device = model.placement().device();
        try (TensorScope scope = new TensorScope()) {
            ModelInput input = input(model, batch);
            Tensor factor = Tensors.ofFloats(device, new float[] {(float) scale}, 1);
            Answers answers = compares ? Answers.of(device, batch) : null;
            // Last of those that can fail, because no scope owns it.
            Targets wanted = targets.apply(device);
            return released(scope, new DeviceBatch(batch, input, wanted, factor, answers, null));
        }
    }

    private static DeviceBatch released(TensorScope scope, DeviceBatch batch) {
        batch.tensors().forEach(scope::release);
        return batch;
    }

    /** A batch as the model takes it; the caller's scope owns the tensors. */
    public static ModelInput input(CausalLM model, Batch batch) {
        Tensor tokens = model.tokens(batch.inputIds(), batch.rows(), batch.length()); // (B, T)
        return batch.isPacked()
                ? ModelInput.packed(tokens, sequences(model, batch))
                : ModelInput.padded(tokens, rowLengths(batch));
    }

    /** How many tokens each row has without its padding. */
    private static long[] rowLengths(Batch batch) {
        long[] lengths = new long[batch.rows()];
        batch.sequences().forEach(sequence -> lengths[sequence.start() / batch.length()] = sequence.length());
        return lengths;
    }

    /** Whether rows differ in their rotary frequencies, so that a captured pass would be right for the same rows only. */
    public boolean mixesFrequencies(CausalLM model) {
        return input instanceof ModelInput.Padded padded
                && Arrays.stream(Objects.requireNonNull(padded.lengths()))
                                .map(model::rotaryKey)
                                .distinct()
                                .count()
                        > 1;
    }

    private static PackedSequences sequences(CausalLM model, Batch batch) {
        ComputeDevice device = model.placement().device();
        long[] lengths = lengths(batch);
        if (!batch.isShared()) {
            return PackedSequences.of(device, lengths);
        }
        List<SharedKeys.Prefix> prefixes = new ArrayList<>();
        Batch.Sequence first = batch.sequences().get(0);
        int shared = 0;
        for (Batch.Sequence sequence : batch.sequences()) {
            first = sequence.example() == first.example() ? first : sequence;
            prefixes.add(new SharedKeys.Prefix(first.start(), sequence.shared()));
            shared += sequence.shared();
        }
        prefixes.addAll(Collections.nCopies(lengths.length - prefixes.size(), SharedKeys.Prefix.NONE));
        // In few sizes for each of the row.
        int step = (batch.length() + SIZES_OF_SHARED - 1) / SIZES_OF_SHARED;
        return PackedSequences.sharing(device, lengths, prefixes, (shared + step - 1) / step * step);
    }

    /**
     * With what fills up the row always there, and empty sequences up to one of few numbers, so that batches of nearly as many
     * sequences have one shape.
     */
    private static long[] lengths(Batch batch) {
        int needed = batch.sequences().size() + 1;
        int step = Math.max(1, Integer.highestOneBit(needed - 1) / NUMBERS_OF_A_POWER);
        return Arrays.copyOf(batch.packedLengths(), (needed + step - 1) / step * step);
    }

    /** All but the targets'. */
    private List<Tensor> tensors() {
        List<Tensor> all = new ArrayList<>(List.of(input.tokens(), scale));
        if (input instanceof ModelInput.Packed packed) {
            all.addAll(packed.sequences().tensors());
        }
        if (answers != null) {
            all.addAll(answers.tensors());
        }
        if (reference != null) {
            all.add(reference.scores());
        }
        return all;
    }

    /** The same with scores of the reference, which it owns from now on. */
    DeviceBatch with(Reference scores) {
        return new DeviceBatch(host, input, targets, scale, answers, scores);
    }

    /** Takes over what a pass over a batch of the same shape has found. */
    public void takeFindings(DeviceBatch other) {
        if (reference != null && other.reference != null && !reference.known()) {
            reference.scores().copy_(other.reference.scores());
        }
    }

    /** @throws IllegalStateException if the loss is a sum over target tokens */
    Answers requireAnswers() {
        if (answers == null) {
            throw new IllegalStateException("this batch was made for a loss over tokens and knows no answers");
        }
        return answers;
    }

    /** Its shape. */
    public Shape shape(CausalLM model) {
        Tensor tokens = input.tokens();
        int sequences = 0;
        long shared = 0;
        long longest;
        if (input instanceof ModelInput.Packed packed) {
            sequences = packed.sequences().lengths().length;
            longest = packed.sequences().longest();
            SharedKeys keys = packed.sequences().shared();
            shared = keys == null ? 0 : keys.copies().size(0);
        } else {
            longest = Arrays.stream(rowLengths(host)).max().orElseThrow();
        }
        return new Shape(
                tokens.size(0),
                tokens.size(1),
                sequences,
                shared,
                targets.count(),
                targets.isWeighted(),
                targets.sequenceCount(),
                reference != null && reference.known(),
                model.rotaryKey(longest));
    }

    /** The same in memory of its own. */
    public DeviceBatch copy() {
        try (TensorScope scope = new TensorScope()) {
            Tensor tokens = input.tokens().clone();
            ModelInput own = input instanceof ModelInput.Packed packed
                    ? ModelInput.packed(tokens, packed.sequences().copy())
                    : ModelInput.padded(tokens, rowLengths(host));
            Tensor ownScale = scale.clone();
            Answers ownAnswers = answers == null ? null : answers.copy();
            Reference ownReference =
                    reference == null ? null : new Reference(reference.scores().clone(), reference.known());
            // Last of those that can fail, because no scope owns it.
            Targets ownTargets = targets.copy();
            return released(scope, new DeviceBatch(host, own, ownTargets, ownScale, ownAnswers, ownReference));
        }
    }

    /** Takes over the tensors' values of a batch of the same shape. */
    public void copyFrom(DeviceBatch other) {
        List<Tensor> from = other.tensors();
        List<Tensor> to = tensors();
        for (int i = 0; i < to.size(); i++) {
            to.get(i).copy_(from.get(i));
        }
        targets.copyFrom(other.targets);
    }

    /** Frees the tensors. Closing twice is fine. */
    @Override
    public void close() {
        tensors().forEach(Tensor::close);
        targets.close();
    }
}
