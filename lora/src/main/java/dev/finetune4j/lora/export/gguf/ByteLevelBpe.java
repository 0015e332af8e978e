package dev.finetune4j.lora.export.gguf;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.io.GgufMetadata;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Byte-level BPE, as GPT-2, Llama 3 and Qwen have it, in llama.cpp's keys. */
final class ByteLevelBpe {
    private static final String LETTERS_AND_DIGITS =
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}%s| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
                    + "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    private static final String CASED =
            "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
                    + "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
                    + "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

    /** How a text is cut into words, and whether whole words of the vocabulary are taken as they are. */
    private record Cut(String regex, boolean ignoresMerges) {}

    /** llama.cpp's names for the ways to cut. */
    private static final Map<Cut, String> NAMES = Map.of(
            new Cut(String.format(LETTERS_AND_DIGITS, "{1,3}"), true), "llama-bpe",
            new Cut(String.format(LETTERS_AND_DIGITS, "{1,3}"), false), "dbrx",
            new Cut(String.format(LETTERS_AND_DIGITS, ""), false), "qwen2",
            new Cut(CASED, true), "tekken");

    private final JsonNode definition;

    ByteLevelBpe(JsonNode definition) {
        this.definition = definition;
    }

    static boolean is(JsonNode definition) {
        List<JsonNode> steps = steps(definition.path("pre_tokenizer"), "pretokenizers");
        return definition.path("model").path("type").asText("BPE").equals("BPE")
                && steps.stream().anyMatch(step -> step.path("type").asText().equals("ByteLevel"));
    }

    /** The steps of a part of a tokenizer.json that may be a sequence of them. */
    static List<JsonNode> steps(JsonNode part, String listed) {
        List<JsonNode> steps = new ArrayList<>();
        if (part.path("type").asText().equals("Sequence")) {
            part.path(listed).forEach(steps::add);
        } else if (part.isObject()) {
            steps.add(part);
        }
        return steps;
    }

    /** What of it llama.cpp does not do. */
    void differences(List<String> found) {
        if (cut().isEmpty()) {
            found.add("the tokenizer cuts texts by " + definition.path("pre_tokenizer")
                    + (ignoresMerges() ? " with \"ignore_merges\"" : "") + ", for which no name of llama.cpp is known");
        }
        for (JsonNode step : steps(definition.path("normalizer"), "normalizers")) {
            // Texts are nearly always in this form; llama.cpp leaves the few others as they are.
            if (!step.path("type").asText().equals("NFC")) {
                found.add("the tokenizer changes texts by " + step + ", for which llama.cpp has no key");
            }
        }
    }

    private boolean ignoresMerges() {
        return definition.path("model").path("ignore_merges").asBoolean();
    }

    private Optional<String> cut() {
        List<JsonNode> steps = steps(definition.path("pre_tokenizer"), "pretokenizers");
        JsonNode last = steps.get(steps.size() - 1);
        boolean byteLevel = last.path("type").asText().equals("ByteLevel");
        if (!byteLevel || last.path("add_prefix_space").asBoolean() || steps.size() > 2) {
            return Optional.empty();
        }
        boolean ownCut = last.path("use_regex").asBoolean(true);
        if (steps.size() == 1) {
            return ownCut && !ignoresMerges() ? Optional.of("gpt-2") : Optional.empty();
        }
        JsonNode first = steps.get(0);
        if (ownCut) {
            boolean digits = first.path("type").asText().equals("Digits")
                    && first.path("individual_digits").asBoolean();
            return digits && !ignoresMerges() ? Optional.of("smollm") : Optional.empty();
        }
        boolean isolates = first.path("type").asText().equals("Split")
                && first.path("behavior").asText().equals("Isolated")
                && !first.path("invert").asBoolean();
        Cut cut = new Cut(first.path("pattern").path("Regex").asText(), ignoresMerges());
        return isolates ? Optional.ofNullable(NAMES.get(cut)) : Optional.empty();
    }

    void write(GgufMetadata metadata, TokenList tokens) {
        metadata.text("tokenizer.ggml.model", "gpt2");
        metadata.text("tokenizer.ggml.pre", cut().orElseThrow());
        metadata.texts("tokenizer.ggml.tokens", tokens.texts());
        metadata.integers("tokenizer.ggml.token_type", tokens.types());
        List<String> merges = new ArrayList<>();
        definition.path("model").path("merges").forEach(merge -> merges.add(text(merge)));
        metadata.texts("tokenizer.ggml.merges", merges);
    }

    private static String text(JsonNode merge) {
        return merge.isArray() ? merge.path(0).asText() + " " + merge.path(1).asText() : merge.asText();
    }
}
