package dev.finetune4j.lora.export.gguf;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.io.GgufMetadata;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * BPE of <a href="https://github.com/google/sentencepiece">SentencePiece</a>, as Llama 1 and 2, Yi, Mistral, Gemma and Phi-3 have it,
 * in llama.cpp's keys. There any two neighbours are joined that make a piece, the one with the best score first; a tokenizer.json
 * lists the pairs in their order. Both give the same ids if every pair that makes a piece is listed, and all pairs of a piece behind
 * one another, which holds for what was converted from SentencePiece.
 */
final class SentencePieceBpe {
    private static final String SPACE = "▁";
    private static final float NO_PIECE = -1000;

    private final JsonNode definition;
    private final JsonNode vocabulary;
    /** The rank of each piece's first pair. */
    private final Map<String, Integer> ranks = new HashMap<>();

    private final Set<List<String>> pairs = new HashSet<>();
    private boolean scattered;

    SentencePieceBpe(JsonNode definition) {
        this.definition = definition;
        this.vocabulary = definition.path("model").path("vocab");
        String previous = "";
        int rank = 0;
        for (JsonNode merge : definition.path("model").path("merges")) {
            String[] parts = merge.isArray()
                    ? new String[] {merge.path(0).asText(), merge.path(1).asText()}
                    : merge.asText().split(" ", 2);
            String piece = parts[0] + parts[1];
            pairs.add(List.of(parts));
            scattered |= ranks.putIfAbsent(piece, rank) != null && !piece.equals(previous);
            previous = piece;
            rank++;
        }
    }

    static boolean is(JsonNode definition) {
        JsonNode model = definition.path("model");
        return model.path("type").asText("BPE").equals("BPE")
                && model.path("byte_fallback").asBoolean();
    }

    /** What of it llama.cpp does not do. */
    void differences(List<String> found) {
        for (JsonNode step : ByteLevelBpe.steps(definition.path("normalizer"), "normalizers")) {
            boolean known = isPrefix(step) || isSpace(step.path("pattern"), step.path("content"));
            if (!known) {
                found.add("the tokenizer changes texts by " + step + ", for which llama.cpp has no key");
            }
        }
        for (JsonNode step : ByteLevelBpe.steps(definition.path("pre_tokenizer"), "pretokenizers")) {
            boolean known = step.path("type").asText().equals("Metaspace")
                    ? step.path("replacement").asText().equals(SPACE)
                            && !step.path("split").asBoolean(true)
                    : step.path("pattern").path("String").asText().equals(" "); // no space is left to split at
            if (!known) {
                found.add("the tokenizer cuts texts by " + step + ", for which llama.cpp has no key");
            }
        }
        if (scattered) {
            found.add(
                    "the merges of tokenizer.json that make one piece do not stand behind one another, so that no score"
                            + " of pieces, which is what llama.cpp goes by, has their order");
        }
        unlisted(found);
    }

    private static boolean isPrefix(JsonNode step) {
        return step.path("type").asText().equals("Prepend")
                && step.path("prepend").asText().equals(SPACE);
    }

    private static boolean isSpace(JsonNode pattern, JsonNode content) {
        return pattern.path("String").asText().equals(" ") && content.asText().equals(SPACE);
    }

    private void unlisted(List<String> found) {
        Set<String> added = new HashSet<>();
        definition
                .path("added_tokens")
                .forEach(token -> added.add(token.path("content").asText()));
        int count = 0;
        String example = "";
        for (Map.Entry<String, JsonNode> piece : vocabulary.properties()) {
            String text = piece.getKey();
            for (int i = 1; i < text.length() && !added.contains(text); i++) {
                String left = text.substring(0, i);
                String right = text.substring(i);
                if (vocabulary.has(left) && vocabulary.has(right) && !pairs.contains(List.of(left, right))) {
                    count++;
                    example = "\"" + left + "\" and \"" + right + "\"";
                }
            }
        }
        if (count > 0) {
            found.add("tokenizer.json does not join " + count + " of the pairs that make one of its pieces, such as "
                    + example + "; llama.cpp joins all of them, so that some texts would have other ids");
        }
    }

    /** Whether a space is put in front of a text. */
    private boolean addsPrefix() {
        boolean adds = false;
        for (JsonNode step : ByteLevelBpe.steps(definition.path("normalizer"), "normalizers")) {
            adds |= isPrefix(step);
        }
        for (JsonNode step : ByteLevelBpe.steps(definition.path("pre_tokenizer"), "pretokenizers")) {
            // "first" is for a text that begins with no special token, but every chat begins with one.
            adds |= step.path("prepend_scheme").asText("always").equals("always")
                    && step.path("type").asText().equals("Metaspace");
        }
        return adds;
    }

    void write(GgufMetadata metadata, TokenList tokens) {
        float[] scores = new float[tokens.texts().size()];
        for (int id = 0; id < scores.length; id++) {
            Integer rank = ranks.get(tokens.texts().get(id));
            scores[id] = switch (tokens.types()[id]) {
                case TokenList.NORMAL -> rank == null ? -ranks.size() - id : -rank;
                case TokenList.BYTE, TokenList.UNKNOWN -> 0;
                default -> NO_PIECE;
            };
        }
        metadata.text("tokenizer.ggml.model", "llama");
        metadata.text("tokenizer.ggml.pre", "default");
        metadata.texts("tokenizer.ggml.tokens", tokens.texts());
        metadata.numbers("tokenizer.ggml.scores", scores);
        metadata.integers("tokenizer.ggml.token_type", tokens.types());
        metadata.flag("tokenizer.ggml.add_space_prefix", addsPrefix());
    }
}
