package dev.finetune4j.data.batch;

import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.DatasetProblems;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.KtoExample;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.data.batch.EncodedSequence.Kind;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Turns preference pairs and judged answers into ids and labels for objectives that compare sequences; the labels are those of
 * the last answer with its end. A pair becomes its two answers to one prompt, which is shortened for both alike. A judged
 * answer is joined by the answer to the next prompt of the data set, the last one by the first, as the sequence from which
 * KTO estimates the divergence: so it does not depend on the batch, which may be a single example.
 *
 * <p>Thread-safe. It borrows the chat encoder.
 */
public final class ComparisonEncoder {
    private static final Logger LOG = LoggerFactory.getLogger(ComparisonEncoder.class);

    private final ChatEncoder chat;
    private final Encoding encoding;
    private final Class<? extends Example> wanted;
    private final @Nullable EncodingCache cache;

    /**
     * An encoder.
     *
     * @param encoding of which {@code trainOn} does not count
     * @param wanted {@link PreferenceExample} or {@link KtoExample}, whichever is compared
     * @throws IllegalArgumentException if the truncation is {@link Truncation#PROPORTIONAL}, which would compare parts of answers
     */
    public ComparisonEncoder(ChatEncoder chat, Encoding encoding, Class<? extends Example> wanted) {
        if (encoding.truncation() == Truncation.PROPORTIONAL) {
            throw new IllegalArgumentException(
                    "Truncation.PROPORTIONAL cuts answers, but whole ones have to be compared;"
                            + " choose another policy");
        }
        this.chat = chat;
        this.encoding = encoding;
        this.wanted = wanted;
        this.cache = EncodingCache.of(chat, encoding, wanted.getSimpleName());
    }

    /**
     * Encodes all examples, which are pairs, or judged answers to at least two prompts.
     *
     * @throws DatasetException if there is no example, or a single judged answer, a placeholder has no value, an example is too long or of another kind, the
     *     chat template cannot write it, or all were skipped. All bad rows are reported together
     */
    public EncodedDataset encode(Dataset dataset) {
        dataset.requireReady();
        dataset.warnings().forEach(LOG::warn);
        List<Example> examples = dataset.examples();
        if (wanted == KtoExample.class && examples.size() == 1) {
            throw new DatasetException(DatasetProblem.ofRow(
                    examples.get(0).where(),
                    null,
                    "is the only row, but KTO compares each answer with that to another prompt; give two or more"));
        }
        DatasetProblems problems = new DatasetProblems();
        ReportBuilder report = new ReportBuilder(SftEncoder.vocabulary(chat), encoding.maxLength());
        EncodingCache.rows(cache, examples, each -> encodeAll(examples, each), (example, row) -> {
            DatasetProblem problem = row.problem();
            if (problem == null) {
                report.add(example, row);
            } else {
                SftEncoder.add(problems, problem, row.cause());
            }
        });
        problems.throwIfAny();
        if (report.kept().isEmpty()) {
            throw new DatasetException(DatasetProblem.ofRow(
                    examples.get(0).where(),
                    null,
                    "this row and all others have more tokens than the limit of " + encoding.maxLength()
                            + ", so skipping them leaves nothing; raise maxSequenceLength"));
        }
        DataReport built = report.build(examples.size());
        built.warnings().forEach(LOG::warn);
        return EncodedDataset.of(report.kept(), built);
    }

    /** Each with the example behind it, the last one with the first. */
    private void encodeAll(List<Example> examples, BiConsumer<Example, EncodedRow> sink) {
        OrderedMap.of(
                IntStream.range(0, examples.size()).boxed().toList(),
                index -> row(examples.get(index), examples.get((index + 1) % examples.size())),
                (index, row) -> sink.accept(examples.get(index), row));
    }

    private EncodedRow row(Example example, Example next) {
        if (!wanted.isInstance(example)) {
            return EncodedRow.bad(DatasetProblem.ofRow(example.where(), null, otherKind(example)), null);
        }
        try {
            if (example instanceof PreferenceExample pair) {
                return compared(example, pair.prompt(), pair.chosen(), Kind.CHOSEN, pair.rejected(), Kind.REJECTED);
            }
            if (example instanceof KtoExample judged && next instanceof KtoExample other) {
                return judged(judged, answer(other.conversation()));
            }
        } catch (IllegalArgumentException e) {
            return EncodedRow.bad(
                    DatasetProblem.ofRow(example.where(), null, "the chat template cannot write it: " + e.getMessage()),
                    e);
        }
        // The next row, with whose answer this one is to be joined, is of another kind and has its own line.
        return EncodedRow.skipped(0);
    }

    private String otherKind(Example example) {
        String needed = wanted == KtoExample.class
                ? "KTO learns from answers that were judged by themselves (columns like prompt, completion and label)"
                : "preferences are learned from pairs (columns like prompt, chosen and rejected)";
        return "is " + example.kind() + ", but " + needed + "; put rows of another kind into a data set of their own";
    }

    private EncodedRow judged(KtoExample example, ChatMessage mismatched) {
        List<ChatMessage> messages = example.conversation().messages();
        Conversation prompt = example.conversation().withMessages(messages.subList(0, messages.size() - 1));
        return compared(
                example,
                prompt,
                answer(example.conversation()),
                example.desirable() ? Kind.DESIRABLE : Kind.UNDESIRABLE,
                mismatched,
                Kind.MISMATCHED);
    }

    private static ChatMessage answer(Conversation conversation) {
        return conversation.messages().get(conversation.messages().size() - 1);
    }

    private EncodedRow compared(
            Example example, Conversation prompt, ChatMessage first, Kind kind, ChatMessage second, Kind secondKind) {
        Predicate<Conversation> fits =
                shorter -> Math.max(length(shorter.with(first)), length(shorter.with(second))) <= encoding.maxLength();
        Conversation shown = prompt;
        if (!fits.test(prompt)) {
            shown = switch (encoding.truncation()) {
                case DROP_OLDEST_TURNS -> Shortening.dropOldestTurns(prompt, fits);
                case CUT_SOURCE -> Shortening.cutSource(prompt, fits);
                case FAIL, SKIP, PROPORTIONAL -> null;
            };
        }
        if (shown == null) {
            int length = Math.max(length(prompt.with(first)), length(prompt.with(second)));
            return encoding.truncation() == Truncation.SKIP
                    ? EncodedRow.skipped(length)
                    : EncodedRow.bad(ExampleEncoder.tooLong(example, length, encoding), null);
        }
        EncodedExample encoded = new EncodedExample(
                List.of(sequence(shown.with(first), kind), sequence(shown.with(second), secondKind)));
        return EncodedRow.of(List.of(encoded), !shown.equals(prompt));
    }

    private int length(Conversation conversation) {
        return chat.encode(conversation, false).ids().length;
    }

    private EncodedSequence sequence(Conversation conversation, Kind kind) {
        EncodedChat encoded = chat.encode(conversation, false);
        List<AnswerSpans.Span> spans = AnswerSpans.of(encoded.trained());
        if (spans.isEmpty()) {
            throw new IllegalArgumentException("it writes no answer that can be learned");
        }
        AnswerSpans.Span last = spans.get(spans.size() - 1);
        boolean[] trained = new boolean[encoded.ids().length];
        Arrays.fill(trained, last.start(), last.end(), true);
        EncodedSequence learned = EncodedSequence.withPromptIgnored(new EncodedChat(encoded.ids(), trained));
        return new EncodedSequence(learned.inputIds(), learned.labels(), kind);
    }
}
