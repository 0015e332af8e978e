package dev.finetune4j.core.inference;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.decode.BatchDecoder;
import dev.finetune4j.core.generate.BatchSettings;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.kernel.DecodeRow;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.MemoryErrors;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The texts that are being generated, and what one turn does for them: it lets waiting ones in, computes a piece of one new prompt,
 * and a token of each of the others. What goes wrong with one text ends that text only. Confined to the batcher's thread.
 */
final class BatchEngine implements AutoCloseable {
    /** The texts that wait. */
    @FunctionalInterface
    interface Waiting {
        /** The first; null for none. */
        @Nullable
        BatchedText next(boolean take);
    }

    private static final Logger LOG = LoggerFactory.getLogger(BatchEngine.class);
    /** Pieces of prompts that several take together. */
    private static final int JOINT_CHUNKS = 4;

    private final ComputeDevice device;
    private final BatchSettings settings;
    private final TokenBudget budget;
    private final List<BatchedText> running = new ArrayList<>();
    private final BatchDecoder decoder;
    /** Keeps the memory of the last step's texts from being freed while the device may write to it. */
    private final List<Lifetime.Use> held = new ArrayList<>();
    /** Tells that texts have ended, when their memory is free. */
    private final List<Runnable> ending = new ArrayList<>();
    /** Whether the device has begun with the next step by itself. */
    private boolean isAhead;

    /** Whether the prompts of several texts are computed together: where the host is slower than the device. */
    private boolean joint;

    BatchEngine(CausalLM base, BatchSettings settings) {
        this.device = base.placement().device();
        this.settings = settings;
        this.budget = new TokenBudget(
                base,
                settings.maxTokens(),
                free -> settings.residentWeights() ? BatchDecoder.residentBytes(base, free) : 0);
        this.decoder = new BatchDecoder(base, settings.residentWeights());
        this.joint = DeviceKernels.of(device).isAsync();
    }

    /** Whether nothing is being generated; for any thread that keeps the batcher's from working. */
    boolean isEmpty() {
        return running.isEmpty();
    }

    /** Checks that a text can ever be let in; for any thread. */
    void requireFits(BatchedText text) {
        budget.requireFits(text.positions());
    }

    /** How many texts of so many positions can run at once; for any thread. */
    int most(long positions) {
        return (int) Math.min(settings.maxRunning(), budget.most(positions));
    }

    void turn(Waiting waiting) {
        endCancelled();
        decoder.forgetClosed();
        admit(waiting);
        prefill();
        // Before the step, whose rows go on behind what is remembered; what is forgotten here comes in the next turn.
        for (BatchedText text : List.copyOf(running)) {
            attempt(text, text::followLength);
        }
        List<List<BatchedText>> groups = groups();
        boolean ahead = groups.size() == 1 && groups.get(0).size() == running.size() && waiting.next(false) == null;
        for (List<BatchedText> group : groups) {
            step(group, ahead);
        }
        if (groups.isEmpty() || running.isEmpty()) {
            settle();
        }
    }

    private void endCancelled() {
        for (BatchedText text : List.copyOf(running)) {
            FinishReason reason = text.cancelled();
            if (reason != null) {
                end(text, reason);
            }
        }
    }

    private void admit(Waiting waiting) {
        BatchedText next = waiting.next(false);
        while (next != null && (next.cancelled() != null || running.size() < settings.maxRunning())) {
            if (next.cancelled() != null) {
                next.listener().ended(next.cancelled());
            } else if (!admit(next)) {
                return;
            }
            waiting.next(true);
            next = waiting.next(false);
        }
    }

    /** Makes room for all that a text may become; false when it has to wait for the end of others. */
    private boolean admit(BatchedText text) {
        if (!budget.take(text.positions())) {
            return false;
        }
        try {
            text.reserve();
            decoder.begin(text.model());
            running.add(text);
            return true;
        } catch (RuntimeException e) {
            budget.giveBack(text.positions());
            if (MemoryErrors.ranOut(e) && !running.isEmpty()) {
                return false;
            }
            text.listener().failed(MemoryErrors.typed(e, device, "making room for " + text.positions() + " tokens"));
            return true;
        }
    }

    /** A piece of the prompt of the first text that has more than its last token to be computed, or several prompts. */
    private void prefill() {
        for (BatchedText text : running) {
            if (text.pending() > 1) {
                List<BatchedText> together = joint
                        ? JointPrefill.choose(text, running, JOINT_CHUNKS * settings.prefillChunk())
                        : List.of(text);
                if (together.size() > 1) {
                    prefill(together);
                } else {
                    attempt(
                            text,
                            () -> accept(
                                    text,
                                    text.prefill(decoder.withResidentWeights(text.model()), settings.prefillChunk())));
                }
                return;
            }
        }
    }

    private void prefill(List<BatchedText> together) {
        List<int[]> prompts = together.stream().map(BatchedText::wholePrompt).toList();
        try (JointPrefill computed =
                JointPrefill.of(decoder.withResidentWeights(together.get(0).model()), prompts)) {
            for (int i = 0; i < together.size(); i++) {
                BatchedText text = together.get(i);
                int index = i;
                attempt(text, () -> accept(text, text.choose(computed.giveTo(text.memory(), index))));
            }
        } catch (RuntimeException e) {
            if (MemoryErrors.ranOut(e)) {
                LOG.info("prompts are computed one after another from now on, because memory ran out");
                joint = false;
            } else {
                together.forEach(text -> fail(text, e));
            }
        }
    }

    /** The texts that wait for their next token, those that can be in one step together. */
    private List<List<BatchedText>> groups() {
        Map<CausalLM, List<BatchedText>> groups = new LinkedHashMap<>();
        for (BatchedText text : List.copyOf(running)) {
            if (text.pending() == 1) {
                attempt(text, () -> {
                    Optional<CausalLM> group = decoder.group(text.model());
                    if (group.isPresent()) {
                        groups.computeIfAbsent(group.get(), model -> new ArrayList<>())
                                .add(text);
                    } else {
                        accept(text, text.prefill(text.model(), 1));
                    }
                });
            }
        }
        return List.copyOf(groups.values());
    }

    /** @param ahead whether nothing but these texts has to be done next */
    private void step(List<BatchedText> group, boolean ahead) {
        List<BatchedText> fed = new ArrayList<>();
        List<DecodeRow> rows = new ArrayList<>();
        List<Lifetime.Use> uses = new ArrayList<>();
        List<Lifetime.Use> models = new ArrayList<>();
        for (BatchedText text : group) {
            attempt(text, () -> {
                // Held until the pass is over: an adapter closed meanwhile ends its own texts, not those beside them.
                models.add(Lifetime.useAll(text.model().lifetimes()));
                text.memory().lifetime().requireOpen();
                DecodeRow row = text.row();
                uses.add(text.memory().lifetime().use());
                rows.add(row);
                fed.add(text);
            });
        }
        if (rows.isEmpty()) {
            models.forEach(Lifetime.Use::close);
            return;
        }
        isAhead = ahead && fed.stream().allMatch(BatchedText::takesArgmax);
        List<OptionalInt> chosen;
        try {
            chosen = fedAndChosen(rows, fed, models);
        } catch (RuntimeException e) {
            held.addAll(uses);
            settle();
            fed.forEach(text -> fail(text, e));
            return;
        }
        // The step before this one is through.
        release();
        held.addAll(uses);
        for (int row = 0; row < fed.size(); row++) {
            if (chosen.get(row).isPresent()) {
                BatchedText text = fed.get(row);
                int id = chosen.get(row).getAsInt();
                attempt(text, () -> accept(text, id));
            }
        }
        for (int row = 0; row < fed.size(); row++) {
            if (chosen.get(row).isEmpty()) {
                chooseAgain(fed.get(row), rows.get(row));
            }
        }
        if (!isAhead) {
            release();
        }
    }

    private List<OptionalInt> fedAndChosen(List<DecodeRow> rows, List<BatchedText> fed, List<Lifetime.Use> models) {
        try {
            decoder.feed(rows, fed.stream().map(BatchedText::model).toList(), isAhead);
            fed.forEach(BatchedText::stepped);
            return chosen(fed);
        } finally {
            models.forEach(Lifetime.Use::close);
        }
    }

    /** What follows each row; empty where the device, a step ahead already, has seen that something is no number. */
    private List<OptionalInt> chosen(List<BatchedText> fed) {
        List<OptionalInt> chosen = new ArrayList<>();
        List<Integer> others = new ArrayList<>();
        for (int row = 0; row < fed.size(); row++) {
            OptionalInt ofDevice = fed.get(row).takesArgmax() ? decoder.deviceArgmax(row) : OptionalInt.empty();
            chosen.add(ofDevice);
            if (ofDevice.isEmpty() && !isAhead) {
                others.add(row);
            }
        }
        if (!others.isEmpty()) {
            List<float[]> logits = decoder.logits(others);
            // To sort and sum a vocabulary takes longer than a GPU takes for a step.
            List<Choice> choices = IntStream.range(0, others.size())
                    .parallel()
                    .mapToObj(i -> Choice.of(fed.get(others.get(i)), logits.get(i)))
                    .toList();
            for (int i = 0; i < others.size(); i++) {
                RuntimeException failure = choices.get(i).failure();
                if (failure != null) {
                    fail(fed.get(others.get(i)), failure);
                } else {
                    chosen.set(others.get(i), OptionalInt.of(choices.get(i).id()));
                }
            }
        }
        return chosen;
    }

    /** A token, or what has kept it from being chosen. */
    private record Choice(int id, @Nullable RuntimeException failure) {
        static Choice of(BatchedText text, float[] logits) {
            try {
                return new Choice(text.choose(logits), null);
            } catch (RuntimeException e) {
                return new Choice(-1, e);
            }
        }
    }

    /** The logits were written over by a step that the device has begun by itself. */
    private void chooseAgain(BatchedText text, DecodeRow row) {
        if (running.contains(text)) {
            attempt(text, () -> {
                isAhead = false;
                decoder.feed(List.of(row), List.of(text.model()), false);
                accept(text, text.choose(decoder.logits(List.of(0)).get(0)));
            });
        }
    }

    /** Waits for the device, which may be a step ahead, and lets go of what it needed. */
    private void settle() {
        decoder.settle();
        isAhead = false;
        release();
    }

    /** Lets go of the memory of texts that the device is done with. */
    private void release() {
        held.forEach(Lifetime.Use::close);
        held.clear();
        List.copyOf(ending).forEach(Runnable::run);
        ending.clear();
    }

    private void accept(BatchedText text, int id) {
        FinishReason reason = id < 0 ? null : text.accept(id);
        if (reason != null) {
            end(text, reason);
        }
    }

    /** Does something for a text; if that fails, the text ends with it. */
    private void attempt(BatchedText text, Runnable work) {
        try {
            work.run();
        } catch (RuntimeException e) {
            fail(text, e);
        }
    }

    private void end(BatchedText text, FinishReason reason) {
        leave(text, () -> text.listener().ended(reason));
    }

    private void fail(BatchedText text, RuntimeException cause) {
        leave(
                text,
                () -> text.listener()
                        .failed(MemoryErrors.typed(
                                cause, device, "generating the next token beside " + running.size() + " other texts")));
    }

    /** The text's memory is its owner's again as soon as the device does not write to it any more. */
    private void leave(BatchedText text, Runnable tell) {
        if (running.remove(text)) {
            budget.giveBack(text.positions());
            ending.add(tell);
        }
    }

    /** Ends all texts, in whatever state the device is. */
    void failAll(RuntimeException cause) {
        try {
            decoder.settle();
        } catch (RuntimeException e) {
            cause.addSuppressed(e);
        }
        isAhead = false;
        release();
        for (BatchedText text : List.copyOf(running)) {
            fail(text, cause);
        }
        release();
    }

    /** Frees the working memory; the texts have ended before. Closing twice is fine. */
    @Override
    public void close() {
        decoder.close();
    }
}
