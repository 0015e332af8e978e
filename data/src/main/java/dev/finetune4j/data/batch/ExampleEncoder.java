package dev.finetune4j.data.batch;

import dev.finetune4j.core.Labels;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TextExample;
import dev.finetune4j.data.TrainOn;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Function;
import java.util.function.Predicate;

/**
 * Makes ids and labels of one example for supervised fine-tuning. A text is learned whole, with the token that ends it; a
 * longer one is parted into sequences of the greatest length.
 *
 * <p>Thread-safe.
 */
final class ExampleEncoder {
    private final Function<Conversation, EncodedChat> chat;
    private final Function<String, int[]> text;
    private final Encoding encoding;

    ExampleEncoder(Function<Conversation, EncodedChat> chat, Function<String, int[]> text, Encoding encoding) {
        this.chat = chat;
        this.text = text;
        this.encoding = encoding;
    }

    static ExampleEncoder of(ChatEncoder encoder, Encoding encoding) {
        OptionalInt end = encoder.tokenizer().eosToken().stream()
                .flatMapToInt(token -> encoder.tokenizer().idOf(token).stream())
                .findFirst();
        return new ExampleEncoder(
                conversation -> encoder.encode(conversation, false),
                text -> ended(encoder.encodeText(text), end),
                encoding);
    }

    private static int[] ended(int[] ids, OptionalInt end) {
        if (end.isEmpty() || (ids.length > 0 && ids[ids.length - 1] == end.getAsInt())) {
            return ids;
        }
        int[] longer = Arrays.copyOf(ids, ids.length + 1);
        longer[ids.length] = end.getAsInt();
        return longer;
    }

    /** What becomes of an example. */
    EncodedRow encode(Example example) {
        try {
            if (example instanceof SftExample sft) {
                return conversation(sft);
            }
            if (example instanceof TextExample written) {
                return EncodedRow.of(pieces(text.apply(written.text())), false);
            }
        } catch (IllegalArgumentException e) {
            return EncodedRow.bad(
                    DatasetProblem.ofRow(example.where(), null, "the chat template cannot write it: " + e.getMessage()),
                    e);
        }
        return EncodedRow.bad(
                DatasetProblem.ofRow(
                        example.where(),
                        null,
                        "is " + example.kind() + ", but supervised fine-tuning learns from conversations that end with"
                                + " an answer; train on it with dpo(…), orpo(…), simPo(…), cpo(…) or kto(…)"),
                null);
    }

    /** Each piece predicts the first token of the next one too. */
    private List<EncodedExample> pieces(int[] ids) {
        List<EncodedExample> pieces = new ArrayList<>();
        for (int start = 0; start < ids.length; start += encoding.maxLength()) {
            int end = Math.min(ids.length, start + encoding.maxLength());
            int[] labels = new int[end - start];
            for (int i = start; i < end; i++) {
                labels[i - start] = i + 1 < ids.length ? ids[i + 1] : Labels.IGNORE;
            }
            boolean learns = end < ids.length || end - start > 1;
            if (learns) {
                pieces.add(new EncodedExample(Arrays.copyOfRange(ids, start, end), labels));
            }
        }
        return pieces;
    }

    private EncodedRow conversation(SftExample example) {
        Optional<String> problem =
                encoding.trainOn() == TrainOn.ANSWERS ? AnswerSpans.weightProblem(example) : Optional.empty();
        if (problem.isPresent()) {
            return EncodedRow.bad(DatasetProblem.ofRow(example.where(), null, problem.get()), null);
        }
        Conversation conversation = example.conversation();
        EncodedChat encoded = chat.apply(conversation);
        int length = encoded.ids().length;
        if (length <= encoding.maxLength()) {
            return learned(example, conversation, encoded, false);
        }
        Predicate<Conversation> fits = shorter -> chat.apply(shorter).ids().length <= encoding.maxLength();
        Conversation shorter = switch (encoding.truncation()) {
            case DROP_OLDEST_TURNS -> Shortening.dropOldestTurns(conversation, fits);
            case CUT_SOURCE -> Shortening.cutSource(conversation, fits);
            case FAIL, SKIP, PROPORTIONAL -> null;
        };
        if (shorter != null) {
            return learned(example, shorter, chat.apply(shorter), true);
        }
        return switch (encoding.truncation()) {
            case SKIP -> EncodedRow.skipped(length);
            case PROPORTIONAL -> proportional(example, encoded);
            case FAIL, DROP_OLDEST_TURNS, CUT_SOURCE -> EncodedRow.bad(tooLong(example, length, encoding), null);
        };
    }

    private EncodedRow proportional(SftExample example, EncodedChat encoded) {
        EncodedChat cut = Shortening.proportional(encoded, encoding.maxLength());
        TrainOn trainOn = encoding.trainOn();
        if (trainOn == TrainOn.ANSWERS && !example.lossWeights().isEmpty()) {
            return EncodedRow.bad(
                    DatasetProblem.ofRow(
                            example.where(),
                            null,
                            "has loss weights and is too long, which Truncation.PROPORTIONAL does not cut; choose another"
                                    + " policy"),
                    null);
        }
        return finished(
                example, AnswerSpans.chosen(cut, example, example.conversation().messages(), trainOn), true);
    }

    private EncodedRow learned(SftExample example, Conversation conversation, EncodedChat encoded, boolean truncated) {
        AnswerSpans.Learned chosen = AnswerSpans.chosen(encoded, example, conversation.messages(), encoding.trainOn());
        return finished(example, chosen, truncated);
    }

    private static EncodedRow finished(SftExample example, AnswerSpans.Learned learned, boolean truncated) {
        EncodedChat chat = learned.chat();
        EncodedSequence sequence =
                chat.ids().length == 0 ? null : EncodedSequence.withPromptIgnored(chat, learned.weights());
        if (sequence == null || sequence.targetTokens() == 0) {
            return EncodedRow.bad(nothingToLearn(example, chat.ids().length), null);
        }
        return EncodedRow.of(List.of(new EncodedExample(List.of(sequence))), truncated);
    }

    private static DatasetProblem nothingToLearn(Example example, int length) {
        return DatasetProblem.ofRow(
                example.where(),
                null,
                "none of its " + length
                        + " tokens is one to learn, but an example must teach at least one; check the chat"
                        + " template and that the row has an answer");
    }

    static DatasetProblem tooLong(Example example, int length, Encoding encoding) {
        String remedy = switch (encoding.truncation()) {
            case DROP_OLDEST_TURNS ->
                " even with its last question and answer alone; raise maxSequenceLength, shorten the row, or choose"
                        + " Truncation.SKIP to leave such rows out";
            case CUT_SOURCE ->
                " even without its question, because of its answers alone; raise maxSequenceLength, shorten the row, or"
                        + " choose Truncation.SKIP to leave such rows out";
            case FAIL, SKIP, PROPORTIONAL ->
                "; raise maxSequenceLength, shorten the row, or choose Truncation.SKIP to leave such rows out,"
                        + " Truncation.DROP_OLDEST_TURNS to drop the oldest turns of long conversations or"
                        + " Truncation.CUT_SOURCE to shorten the questions";
        };
        return DatasetProblem.ofRow(
                example.where(),
                null,
                "has " + length + " tokens, more than the limit of " + encoding.maxLength() + remedy);
    }
}
