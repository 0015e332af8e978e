package dev.finetune4j.core.inference;

import dev.finetune4j.core.generate.ResponseFormat;
import dev.finetune4j.core.grammar.Grammar;
import dev.finetune4j.core.grammar.GrammarState;
import dev.finetune4j.core.grammar.JsonSchema;
import dev.finetune4j.core.grammar.TokenTrie;
import dev.finetune4j.core.text.Tokenizer;
import java.nio.charset.StandardCharsets;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** The vocabulary of a model as bytes, and the grammars that texts were kept to lately. Thread-safe; it borrows the tokenizer. */
public final class Constraints {
    private static final int MAX_GRAMMARS = 32;
    private static final int MAX_STATES = 512;

    private record Key(ResponseFormat format, JsonSchema.Before before) {}

    /** A grammar with the tokens that may follow in its states, as far as they came up. */
    private record Known(Grammar grammar, Map<GrammarState, BitSet> allowed) {}

    private final Tokenizer tokenizer;
    private final int rows;
    private final Map<Key, Known> known = new LinkedHashMap<>(16, 0.75f, true);
    private @Nullable TokenTrie trie;

    /**
     * @param tokenizer borrowed
     * @param rows how many tokens the model knows
     */
    public Constraints(Tokenizer tokenizer, int rows) {
        this.tokenizer = tokenizer;
        this.rows = rows;
    }

    /**
     * What keeps a text to a format.
     *
     * @param isThinking whether the text begins in the middle of thoughts, which stay free
     * @return null for a format that any text has
     */
    @Nullable
    TokenConstraint of(ResponseFormat format, boolean isThinking) {
        if (format instanceof ResponseFormat.Text) {
            return null;
        }
        Known found = known(new Key(format, before(isThinking)));
        TokenTrie tokens = trie();
        return new TokenConstraint(
                this,
                found.grammar().start(),
                state -> {
                    if (found.allowed().size() > MAX_STATES) {
                        found.allowed().clear();
                    }
                    return found.allowed().computeIfAbsent(state, tokens::allowed);
                },
                isThinking);
    }

    private JsonSchema.Before before(boolean isThinking) {
        if (isThinking) {
            return JsonSchema.Before.SPACE;
        }
        int[] letter = tokenizer.encode("a");
        boolean dropsBlank =
                letter.length > 0 && new String(bytesOf(letter[0]), StandardCharsets.UTF_8).startsWith(" ");
        return dropsBlank ? JsonSchema.Before.BLANK : JsonSchema.Before.NOTHING;
    }

    private Known known(Key key) {
        synchronized (known) {
            Known found = known.get(key);
            if (found == null) {
                Grammar grammar = key.format() instanceof ResponseFormat.JsonSchema schema
                        ? JsonSchema.grammar(schema.schema(), key.before())
                        : JsonSchema.anyObject(key.before());
                found = new Known(grammar, new ConcurrentHashMap<>());
                known.put(key, found);
                if (known.size() > MAX_GRAMMARS) {
                    known.remove(known.keySet().iterator().next());
                }
            }
            return found;
        }
    }

    private synchronized TokenTrie trie() {
        if (trie == null) {
            byte[][] all = new byte[Math.min(rows, tokenizer.vocabularySize())][];
            for (int id = 0; id < all.length; id++) {
                all[id] = tokenizer.bytesOf(id);
            }
            trie = new TokenTrie(all);
        }
        return trie;
    }

    byte[] bytesOf(int id) {
        return tokenizer.bytesOf(id);
    }
}
