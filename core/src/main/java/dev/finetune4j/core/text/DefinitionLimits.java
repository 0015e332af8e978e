package dev.finetune4j.core.text;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/**
 * Looks over a tokenizer.json before the native library does, which can be neither stopped nor bounded: its expressions
 * by {@link SplitPattern}, how deep and how long its sequences of steps are, how much longer they can make a text, and how
 * long its tokens are. Each limit is several times what a published tokenizer has.
 */
final class DefinitionLimits {
    private static final int MAX_DEPTH = 8;
    private static final int MAX_STEPS = 100;
    private static final int MAX_ADDED = 200_000;
    private static final int MAX_ADDED_LENGTH = 1_024;
    private static final long MAX_ADDED_CHARACTERS = 2_000_000;
    private static final int MAX_TOKEN_LENGTH = 2_048;
    private static final int MAX_EXPRESSIONS = 32;
    private static final long MAX_GROWTH = 200;

    private int steps;
    private int expressions;
    private long growth = 1;

    private DefinitionLimits() {}

    /** @throws IllegalArgumentException if a part of the definition is beyond the limits; the message names it */
    static void check(JsonNode definition) {
        for (String part : new String[] {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
            new DefinitionLimits().steps(definition.path(part), part, 0);
        }
        JsonNode added = definition.path("added_tokens");
        if (added.size() > MAX_ADDED) {
            throw new IllegalArgumentException(
                    "it has " + added.size() + " added tokens, more than the limit of " + MAX_ADDED);
        }
        long characters = 0;
        for (JsonNode token : added) {
            String content = token.path("content").asText();
            require(content, MAX_ADDED_LENGTH, "added token");
            characters += content.length();
        }
        if (characters > MAX_ADDED_CHARACTERS) {
            throw new IllegalArgumentException("its added tokens have " + characters
                    + " characters, more than the limit of " + MAX_ADDED_CHARACTERS);
        }
        JsonNode vocabulary = definition.path("model").path("vocab");
        vocabulary.properties().forEach(entry -> require(entry.getKey(), MAX_TOKEN_LENGTH, "token"));
        for (JsonNode piece : vocabulary) {
            require(piece.path(0).asText(), MAX_TOKEN_LENGTH, "token");
        }
    }

    private static void require(String token, int most, String what) {
        if (token.length() > most) {
            throw new IllegalArgumentException("the " + what + " \"" + token.substring(0, 40) + "…\" has "
                    + token.length() + " characters, more than the limit of " + most);
        }
    }

    private void steps(JsonNode step, String part, int depth) {
        if (depth > MAX_DEPTH || ++steps > MAX_STEPS) {
            throw new IllegalArgumentException("its \"" + part + "\" has more than " + MAX_STEPS
                    + " steps, or they lie in each other more than " + MAX_DEPTH + " deep");
        }
        JsonNode pattern = step.path("pattern");
        if (pattern.path("Regex").isTextual()) {
            if (++expressions > MAX_EXPRESSIONS) {
                throw new IllegalArgumentException(
                        "its \"" + part + "\" has more than " + MAX_EXPRESSIONS + " regular expressions");
            }
            String regex = pattern.path("Regex").textValue();
            String problem = SplitPattern.problem(regex);
            if (problem != null) {
                throw new IllegalArgumentException(
                        "the expression \"" + shortened(regex) + "\" in its \"" + part + "\" " + problem);
            }
        }
        grow(step, pattern, part);
        for (String list : new String[] {"normalizers", "pretokenizers", "processors", "decoders"}) {
            for (JsonNode inner : step.path(list)) {
                steps(inner, part, depth + 1);
            }
        }
    }

    private void grow(JsonNode step, JsonNode pattern, String part) {
        String text = text(step.path("content"));
        text = text == null ? text(step.path("prepend")) : text;
        if (text != null) {
            String replaced = text(pattern.path("String"));
            long from = Math.max(1, replaced == null ? 1 : replaced.getBytes(StandardCharsets.UTF_8).length);
            growth *= Math.max(1, (text.getBytes(StandardCharsets.UTF_8).length + from - 1) / from);
        } else if (step.path("type").asText().equals("ByteLevel")) {
            growth *= 2; // a byte may become a character of two
        } else if (step.path("precompiled_charsmap").isTextual()) {
            growth *= NativeAssumptions.longestReplacement(
                    step.path("precompiled_charsmap").textValue());
        }
        if (growth > MAX_GROWTH) {
            throw new IllegalArgumentException("its \"" + part + "\" can make a text more than " + MAX_GROWTH
                    + " times as long, which is the limit");
        }
    }

    private static @Nullable String text(JsonNode node) {
        return node.isTextual() ? node.textValue() : null;
    }

    private static String shortened(String text) {
        return text.length() > 100 ? text.substring(0, 100) + "…" : text;
    }
}
