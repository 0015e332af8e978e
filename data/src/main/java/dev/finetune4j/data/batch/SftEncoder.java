package dev.finetune4j.data.batch;

import dev.finetune4j.core.Labels;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.DatasetProblems;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.Truncation;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Turns conversations into ids and labels for supervised fine-tuning: the loss counts the assistant's answers and the
 * tokens that end them, nothing else.
 *
 * <p>Thread-safe. It borrows the chat encoder.
 */
public final class SftEncoder {
    private static final Logger LOG = LoggerFactory.getLogger(SftEncoder.class);

    private final Function<Conversation, EncodedChat> chat;
    private final Set<Integer> stopIds;
    private final int maxLength;
    private final Truncation truncation;

    /**
     * @param encoder the one that chats with the model afterwards, so that training and use see the same ids
     * @param maxLength tokens that an example may have, at least 2
     * @param truncation what becomes of longer ones
     * @throws IllegalArgumentException if {@code maxLength} is less than 2
     */
    public SftEncoder(ChatEncoder encoder, int maxLength, Truncation truncation) {
        this(conversation -> encoder.encode(conversation, false), encoder.stopIds(), maxLength, truncation);
    }

    /** As above, with {@link Truncation#FAIL}. */
    public SftEncoder(ChatEncoder encoder, int maxLength) {
        this(encoder, maxLength, Truncation.FAIL);
    }

    SftEncoder(Function<Conversation, EncodedChat> chat, Set<Integer> stopIds, int maxLength, Truncation truncation) {
        if (maxLength < 2) {
            throw new IllegalArgumentException("maxLength is " + maxLength
                    + ", but an example has a prompt and an answer; allow 2 tokens or more");
        }
        this.chat = chat;
        this.stopIds = stopIds;
        this.maxLength = maxLength;
        this.truncation = Objects.requireNonNull(truncation, "truncation");
    }

    /**
     * Encodes all examples.
     *
     * @throws DatasetException if there is no example, a placeholder has no value, an example is too long for the
     *     policy or has nothing to learn, the chat template cannot write it, or all were skipped. All bad rows are
     *     reported together
     */
    public EncodedDataset encode(Dataset dataset) {
        dataset.requireReady();
        Pass pass = new Pass(dataset.size());
        for (Example example : dataset.examples()) {
            if (!(example instanceof SftExample sft)) {
                pass.problems.add(DatasetProblem.ofRow(
                        example.where(),
                        null,
                        "is " + example.kind() + ", but supervised fine-tuning learns from conversations that end with"
                                + " an answer; train on it with an objective for such examples"));
                continue;
            }
            try {
                encode(sft, pass);
            } catch (IllegalArgumentException e) {
                pass.problems.add(
                        DatasetProblem.ofRow(
                                example.where(), null, "the chat template cannot write it: " + e.getMessage()),
                        e);
            }
        }
        return pass.finish();
    }

    private void encode(SftExample example, Pass pass) {
        EncodedSequence encoded = EncodedSequence.withPromptIgnored(chat.apply(example.conversation()));
        boolean truncated = false;
        if (encoded.length() > maxLength && truncation == Truncation.DROP_OLDEST_TURNS) {
            EncodedSequence shorter = withoutOldTurns(example.conversation());
            truncated = shorter != null;
            encoded = shorter != null ? shorter : encoded;
        }
        if (encoded.length() > maxLength) {
            pass.tooLong(example, encoded.length());
        } else if (encoded.targetTokens() == 0) {
            pass.problems.add(DatasetProblem.ofRow(
                    example.where(),
                    null,
                    "none of its " + encoded.length()
                            + " tokens is one to learn, but an example must teach at least one; check the chat"
                            + " template and that the row has an answer"));
        } else {
            pass.keep(encoded, truncated);
        }
    }

    /** The conversation with as many of its turns as fit, or null if the last one alone does not. */
    private @Nullable EncodedSequence withoutOldTurns(Conversation conversation) {
        Conversation rest = withoutOldestTurn(conversation);
        while (rest != null) {
            EncodedSequence encoded = EncodedSequence.withPromptIgnored(chat.apply(rest));
            if (encoded.length() <= maxLength) {
                return encoded;
            }
            rest = withoutOldestTurn(rest);
        }
        return null;
    }

    private static @Nullable Conversation withoutOldestTurn(Conversation conversation) {
        List<ChatMessage> messages = conversation.messages();
        int start = conversation.system().isPresent() ? 1 : 0;
        for (int i = start + 1; i < messages.size(); i++) {
            if (messages.get(i).role() == Role.USER) {
                List<ChatMessage> rest = new ArrayList<>(messages.subList(0, start));
                rest.addAll(messages.subList(i, messages.size()));
                return new Conversation(rest, conversation.tools());
            }
        }
        return null;
    }

    /** One pass over a data set: what was kept, and the counts. */
    private final class Pass {
        final DatasetProblems problems = new DatasetProblems();
        private final int rows;
        private final List<EncodedExample> examples;
        private @Nullable SftExample firstSkipped;
        private int skipped;
        private int truncated;
        private long totalTokens;
        private long targetTokens;
        private int longest;
        private long answers;
        private long answersWithStop;

        Pass(int rows) {
            this.rows = rows;
            this.examples = new ArrayList<>(rows);
        }

        void keep(EncodedSequence encoded, boolean isTruncated) {
            examples.add(new EncodedExample(List.of(encoded)));
            totalTokens += encoded.length();
            targetTokens += encoded.targetTokens();
            longest = Math.max(longest, encoded.length());
            truncated += isTruncated ? 1 : 0;
            countAnswers(encoded.labels());
        }

        /** An answer is a stretch of labels, whose end may have white space behind the token that ends it. */
        private void countAnswers(int[] labels) {
            boolean inAnswer = false;
            boolean stopped = false;
            for (int label : labels) {
                boolean learned = label != Labels.IGNORE;
                if (learned && !inAnswer) {
                    answers++;
                    stopped = false;
                }
                if (learned && !stopped && stopIds.contains(label)) {
                    answersWithStop++;
                    stopped = true;
                }
                inAnswer = learned;
            }
        }

        void tooLong(SftExample example, int length) {
            if (truncation == Truncation.SKIP) {
                firstSkipped = firstSkipped == null ? example : firstSkipped;
                skipped++;
                return;
            }
            String remedy = truncation == Truncation.DROP_OLDEST_TURNS
                    ? " even with its last question and answer alone; raise maxSequenceLength, shorten the row, or choose"
                            + " Truncation.SKIP to leave such rows out"
                    : "; raise maxSequenceLength, shorten the row, or choose Truncation.SKIP to leave such rows out or"
                            + " Truncation.DROP_OLDEST_TURNS to drop the oldest turns of long conversations";
            problems.add(DatasetProblem.ofRow(
                    example.where(), null, "has " + length + " tokens, more than the limit of " + maxLength + remedy));
        }

        EncodedDataset finish() {
            problems.throwIfAny();
            if (firstSkipped != null) {
                if (examples.isEmpty()) {
                    throw new DatasetException(DatasetProblem.ofRow(
                            firstSkipped.where(),
                            null,
                            "this row and all others of the data set (" + rows + " in all) have more tokens than the"
                                    + " limit of " + maxLength
                                    + ", so skipping them leaves nothing; raise maxSequenceLength"));
                }
                LOG.info(
                        "the first of the rows that are left out is row {} of {}, longer than {} tokens",
                        firstSkipped.where().row(),
                        firstSkipped.where().source(),
                        maxLength);
            }
            double mean = (double) totalTokens / examples.size();
            DataReport report = new DataReport(
                    rows, skipped, truncated, totalTokens, targetTokens, longest, mean, answers, answersWithStop);
            report.warnings().forEach(LOG::warn);
            return new EncodedDataset(examples, report);
        }
    }
}
