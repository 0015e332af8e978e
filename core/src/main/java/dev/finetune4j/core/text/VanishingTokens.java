package dev.finetune4j.core.text;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * Finds added tokens of which the normalizer leaves nothing: the native library would look for the empty text, and ends
 * the whole process where it finds it.
 */
final class VanishingTokens {
    private VanishingTokens() {}

    /** @throws IllegalArgumentException if there is one; the message names it */
    static void check(JsonNode definition) {
        JsonNode normalizer = definition.path("normalizer");
        for (JsonNode token : definition.path("added_tokens")) {
            String content = token.path("content").asText();
            if (token.path("normalized").asBoolean(true)
                    && normalized(content, normalizer).isEmpty()) {
                throw new IllegalArgumentException(
                        "its \"normalizer\" leaves nothing of the added token \"" + content + "\"");
            }
        }
    }

    /** The text without what a step removes, or might. */
    private static String normalized(String text, JsonNode step) {
        String left = text;
        for (JsonNode inner : step.path("normalizers")) {
            left = normalized(left, inner);
        }
        return switch (step.path("type").asText()) {
            case "Strip" -> left.strip();
            case "Replace" ->
                replaced(left, step.path("pattern"), step.path("content").asText());
            case "StripAccents", "Nmt", "BertNormalizer", "Precompiled" -> visible(left);
            default -> left;
        };
    }

    private static String replaced(String text, JsonNode pattern, String content) {
        if (!content.isEmpty()) {
            return text;
        }
        if (pattern.path("String").isTextual()) {
            return text.replace(pattern.path("String").textValue(), "");
        }
        try {
            return Pattern.compile(pattern.path("Regex").asText(), Pattern.UNICODE_CHARACTER_CLASS)
                    .matcher(text)
                    .replaceAll("");
        } catch (PatternSyntaxException e) {
            return ""; // what only the native library reads may remove anything
        }
    }

    private static String visible(String text) {
        return Pattern.compile("[\\p{M}\\p{C}\\p{Z}\\s]+").matcher(text).replaceAll("");
    }
}
