package dev.finetune4j.examples.basemodel;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What {@link BpeTrainer} learned: the tokens by id and the merges by rank. It splits text by itself, for counting and
 * for checking the files that it writes; programs encode with the tokenizer that reads these files. Immutable and safe
 * to share between threads.
 */
public final class BpeTokenizer {
    /** Ends a document and pads a batch; its id is 0. */
    public static final String END_OF_TEXT = "<|endoftext|>";
    /** Opens a turn of a conversation. */
    public static final String TURN_START = "<|im_start|>";
    /** Closes a turn, and with it the model's answer. */
    public static final String TURN_END = "<|im_end|>";

    static final List<String> SPECIAL_TOKENS = List.of(END_OF_TEXT, TURN_START, TURN_END);

    /** Two tokens, in the byte alphabet, that are joined into one. */
    record Merge(String left, String right) {}

    private final List<String> tokens;
    private final List<Merge> merges;
    private final Map<Merge, Integer> ranks = new HashMap<>();

    BpeTokenizer(List<String> tokens, List<Merge> merges) {
        this.tokens = List.copyOf(tokens);
        this.merges = List.copyOf(merges);
        for (int rank = 0; rank < merges.size(); rank++) {
            ranks.put(merges.get(rank), rank);
        }
    }

    /** The number of tokens, special tokens included. */
    public int size() {
        return tokens.size();
    }

    /** The tokens in the byte alphabet, each at the place of its id. */
    public List<String> tokens() {
        return tokens;
    }

    /** The merges in the order in which they were learned, which is the order in which they apply. */
    List<Merge> merges() {
        return merges;
    }

    /** The tokens of a text that holds no special token, in the byte alphabet. */
    public List<String> split(String text) {
        List<String> pieces = new ArrayList<>();
        for (String word : PreTokenizer.words(text)) {
            pieces.addAll(splitWord(ByteAlphabet.write(word)));
        }
        return pieces;
    }

    /**
     * Writes {@code tokenizer.json}, {@code tokenizer_config.json} and {@code special_tokens_map.json} into the folder
     * and replaces what is there.
     *
     * @throws java.io.UncheckedIOException when the folder cannot be written
     */
    public void write(Path folder) {
        new TokenizerFiles(this).write(folder);
    }

    private List<String> splitWord(String symbols) {
        List<String> pieces = new ArrayList<>();
        for (int i = 0; i < symbols.length(); i++) {
            pieces.add(symbols.substring(i, i + 1));
        }
        for (int at = firstOfLowestRank(pieces); at >= 0; at = firstOfLowestRank(pieces)) {
            pieces.set(at, pieces.get(at) + pieces.remove(at + 1));
        }
        return pieces;
    }

    /** Where the pair stands that is to be merged next, or -1 when no merge applies. */
    private int firstOfLowestRank(List<String> pieces) {
        int found = -1;
        int lowest = Integer.MAX_VALUE;
        for (int i = 0; i + 1 < pieces.size(); i++) {
            Integer rank = ranks.get(new Merge(pieces.get(i), pieces.get(i + 1)));
            if (rank != null && rank < lowest) {
                lowest = rank;
                found = i;
            }
        }
        return found;
    }
}
