package dev.finetune4j.core.text;

import dev.finetune4j.core.ModelFileException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.StringJoiner;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * Turns conversations into token ids by a template, for training and for chat alike.
 *
 * <p>Neighbouring segments that agree on being trained are encoded as one run. A run is encoded together with the one
 * before it, and what comes after that one's ids is its own: so the ids are those of the whole text wherever tokens end
 * where runs do, and the ids of a prompt are always a prefix of the ids of the prompt with its answer. Where a token
 * would reach across the border, the run is encoded alone. Tokenizers part a text at special tokens before anything else, so of
 * the run before only what stands from its last one on is encoded again.
 *
 * <p>What looks like a special token in a message is encoded as plain text, so no message can end its turn or pose as
 * another speaker. Special here is what a file of the tokenizer flags or names, what the template writes as a token of
 * its own, and what ends generation.
 *
 * <p>Thread-safe. It borrows the tokenizer.
 */
public final class ChatEncoder {
    /** Longer texts are those of messages, which seldom come again. */
    private static final int SHORT = 48;

    private static final int MAX_KNOWN = 256;

    private final Tokenizer tokenizer;
    private final ChatTemplate template;
    private final ControlTokens controls;
    private final Set<Integer> stopIds;
    private final int rows;
    private final Map<String, int[]> markup = new ConcurrentHashMap<>();

    /**
     * Checks that the template fits the tokenizer.
     *
     * @param tokenizer borrowed
     * @throws ModelFileException if the vocabulary lacks a token with which the template ends an answer
     */
    public ChatEncoder(Tokenizer tokenizer, ChatTemplate template) {
        this(tokenizer, template, Set.of());
    }

    /**
     * As {@link #ChatEncoder(Tokenizer, ChatTemplate)}, for a model that has further tokens to end an answer.
     *
     * @param furtherStopIds such as those of the checkpoint's generation_config.json
     * @throws ModelFileException if the vocabulary lacks a token with which the template ends an answer
     */
    public ChatEncoder(Tokenizer tokenizer, ChatTemplate template, Set<Integer> furtherStopIds) {
        this(tokenizer, template, furtherStopIds, Integer.MAX_VALUE);
    }

    /**
     * As {@link #ChatEncoder(Tokenizer, ChatTemplate, Set)}, for a model that may know fewer tokens than the tokenizer, such
     * as one whose tokenizer has tokens for images. A token without a row is refused where it is encoded.
     *
     * @param rows of the model's embedding
     * @throws ModelFileException if the vocabulary lacks a token with which the template ends an answer, or the model a
     *     row for it
     */
    public ChatEncoder(Tokenizer tokenizer, ChatTemplate template, Set<Integer> furtherStopIds, int rows) {
        this.rows = rows;
        this.tokenizer = tokenizer;
        Set<Integer> ids = new LinkedHashSet<>(findStopIds(tokenizer, template));
        ids.addAll(furtherStopIds);
        this.stopIds = Set.copyOf(ids);
        this.controls = template.controls(tokenizer)
                .with(ids.stream()
                        .map(tokenizer::tokenIfAny)
                        .flatMap(Optional::stream)
                        .toList());
        this.template = template.guarding(controls);
        requireRowsForEnds();
    }

    /**
     * Lays out and encodes a conversation.
     *
     * @param addGenerationPrompt whether to end with the tokens that announce an answer
     * @throws IllegalArgumentException if the template cannot write the conversation, or a token of it has no row in the
     *     model's embedding
     */
    public EncodedChat encode(Conversation conversation, boolean addGenerationPrompt) {
        int[] ids = new int[256];
        boolean[] trained = new boolean[256];
        int length = 0;
        Run previous = null;
        for (Run run : runs(template.render(conversation, addGenerationPrompt))) {
            int[] own = continueAfter(previous, run);
            int end = length + own.length;
            if (end > ids.length) {
                ids = Arrays.copyOf(ids, 2 * end);
                trained = Arrays.copyOf(trained, 2 * end);
            }
            System.arraycopy(own, 0, ids, length, own.length);
            Arrays.fill(trained, length, end, run.trained());
            length = end;
            previous = run;
        }
        return new EncodedChat(requireRows(Arrays.copyOf(ids, length)), Arrays.copyOf(trained, length));
    }

    /**
     * Encodes a text that is no conversation, with the special tokens that the tokenizer adds around it.
     *
     * @throws IllegalArgumentException if a token of it has no row in the model's embedding
     */
    public int[] encodeText(String text) {
        return requireRows(tokenizer.encodeWithSpecialTokens(text));
    }

    private int[] requireRows(int[] ids) {
        for (int id : ids) {
            if (id >= rows) {
                throw new IllegalArgumentException("the token " + tokenizer.tokenOf(id) + " has the id " + id
                        + ", but the model knows the ids from 0 to " + (rows - 1)
                        + " alone; take the token out of the text, choose a chat template that does not write it, or take"
                        + " tokenizer and weights from the same checkpoint");
            }
        }
        return ids;
    }

    /**
     * Ids at which an answer ends. They come from four places, all of which count: {@code eos_token_id} of
     * generation_config.json and of config.json (the further ones), {@code eos_token} of the tokenizer's files, and the
     * token that the template writes right after an answer. Unmodifiable.
     */
    public Set<Integer> stopIds() {
        return stopIds;
    }

    /** Whether a text spells a special token; a message's text is read as plain text then, letter by letter. */
    public boolean spellsControlToken(String text) {
        return controls.in(text).find();
    }

    /** The tokenizer, which the encoder borrows. */
    public Tokenizer tokenizer() {
        return tokenizer;
    }

    /** The template that lays conversations out. */
    public ChatTemplate template() {
        return template;
    }

    /** Text that is encoded in one go: plain when special tokens in it are text. */
    private record Run(String text, boolean plain, boolean trained) {
        boolean joins(@Nullable Run other) {
            return other != null && !plain && !other.plain && trained == other.trained;
        }
    }

    private List<Run> runs(List<Segment> segments) {
        List<Run> runs = new ArrayList<>();
        Run last = null;
        for (Segment segment : segments) {
            String text = segment.content() ? segment.text() : fillSlots(segment.text(), tokenizer);
            if (text.isEmpty()) {
                continue;
            }
            boolean plain = segment.content() && controls.mayStandIn(text);
            Run run = new Run(text, plain, segment.trained());
            if (last != null && run.joins(last)) {
                run = new Run(last.text + text, false, run.trained);
                runs.set(runs.size() - 1, run);
            } else {
                runs.add(run);
            }
            last = run;
        }
        return runs;
    }

    /** A tokenizer without a begin token belongs to a model that never saw one, so its slot is empty. */
    static String fillSlots(String markup, Tokenizer tokenizer) {
        return markup.replace(ChatTemplate.BOS, tokenizer.bosToken().orElse(""))
                .replace(ChatTemplate.EOS, tokenizer.eosToken().orElse(""));
    }

    private int[] continueAfter(@Nullable Run previous, Run run) {
        if (previous != null) {
            String end = run.plain ? previous.text : controls.fromLast(previous.text);
            int[] head = encode(end, run.plain);
            int[] both = encode(end + run.text, run.plain);
            if (Arrays.mismatch(head, both) == head.length) {
                return Arrays.copyOfRange(both, head.length, both.length);
            }
        }
        return encode(run.text, run.plain);
    }

    private int[] encode(String text, boolean plain) {
        if (plain) {
            return controls.encodePlain(text);
        }
        if (text.length() > SHORT) {
            return tokenizer.encode(text);
        }
        // What a template writes between messages comes again with each of them. Nobody changes these arrays.
        int[] known = markup.get(text);
        if (known == null) {
            known = tokenizer.encode(text);
            if (markup.size() < MAX_KNOWN) {
                markup.put(text, known);
            }
        }
        return known;
    }

    private void requireRowsForEnds() {
        for (String token : template.stopTokens()) {
            int id = tokenizer.idOf(token).orElse(0);
            if (id >= rows) {
                throw new ModelFileException("the chat template " + template.name() + " ends an answer with " + token
                        + ", whose id " + id + " is beyond the " + rows + " rows of the model's embedding; choose the"
                        + " template that the model was trained with, or take tokenizer and weights from the same"
                        + " checkpoint");
            }
        }
    }

    private static Set<Integer> findStopIds(Tokenizer tokenizer, ChatTemplate template) {
        Set<Integer> ids = new LinkedHashSet<>();
        StringJoiner missing = new StringJoiner(", ");
        for (String token : template.stopTokens()) {
            tokenizer.idOf(token).ifPresentOrElse(ids::add, () -> missing.add(token));
        }
        if (missing.length() > 0) {
            throw new ModelFileException("the chat template " + template.name() + " ends an answer with " + missing
                    + ", which the tokenizer's vocabulary lacks as one token; choose the template that the model was"
                    + " trained with, one of " + String.join(", ", ChatTemplate.names())
                    + ", or \"default\" for a base model");
        }
        Optional<Integer> end = tokenizer.eosToken().flatMap(eos -> id(tokenizer, eos));
        if (template.usesEos() && end.isEmpty()) {
            String found = tokenizer
                    .eosToken()
                    .map(eos -> eos + " is not in the vocabulary")
                    .orElse("none is named");
            throw new ModelFileException("the chat template " + template.name() + " ends an answer with the"
                    + " tokenizer's own end token, but " + found
                    + "; name it as \"eos_token\" in tokenizer_config.json");
        }
        end.ifPresent(ids::add);
        return Set.copyOf(ids);
    }

    private static Optional<Integer> id(Tokenizer tokenizer, String token) {
        return tokenizer.idOf(token).stream().boxed().findFirst();
    }
}
