package dev.finetune4j.core.text;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/**
 * Looks over a tokenizer.json for what the native library takes for granted: where that does not hold it ends the whole
 * process instead of reporting an error.
 */
final class NativeAssumptions {
    /** What its parser goes down to is 127. */
    private static final int MAX_DEPTH = 100;

    private NativeAssumptions() {}

    /** @throws IllegalArgumentException if one does not hold; the message names the place */
    static void check(JsonNode definition) {
        for (String part : new String[] {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
            JsonNode step = definition.path(part);
            if (!step.isMissingNode() && !step.isNull() && !step.isObject()) {
                throw new IllegalArgumentException("its \"" + part + "\" is " + shown(step) + ", no object");
            }
        }
        values(definition, "", 0);
        replacing(definition.path("normalizer"));
        stripping(definition.path("decoder"));
        cutting(definition.path("pre_tokenizer"));
        ids(definition.path("post_processor"));
        if (surrounding(definition.path("post_processor")) > 1) {
            throw new IllegalArgumentException(
                    "its \"post_processor\" puts tokens around a text more than once; one step may do so");
        }
        merges(definition.path("model"));
    }

    /** A step that replaces where there is no character leaves a text that fits none of its places. */
    private static void replacing(JsonNode step) {
        JsonNode pattern = step.path("pattern");
        String regex = pattern.path("Regex").asText();
        boolean empty = pattern.has("Regex")
                ? SplitPattern.problem(regex) == null && SplitPattern.mayBeEmpty(regex)
                : pattern.path("String").asText().isEmpty();
        String type = step.path("type").asText();
        if (type.equals("Prepend") && step.path("prepend").asText().isEmpty()) {
            throw new IllegalArgumentException("its \"normalizer\" prepends nothing");
        }
        if (type.equals("Replace") && empty) {
            throw new IllegalArgumentException("its \"normalizer\" replaces " + shown(pattern)
                    + ", which is found also where there is no character");
        }
        step.path("normalizers").forEach(NativeAssumptions::replacing);
    }

    private static void values(JsonNode node, String name, int depth) {
        if (depth > MAX_DEPTH) {
            throw new IllegalArgumentException(
                    "objects and lists lie in each other more than " + MAX_DEPTH + " deep, in its \"" + name + "\"");
        }
        if (node.isNumber() && !Double.isFinite(node.doubleValue())) {
            throw new IllegalArgumentException(
                    "its \"" + name + "\" is " + shown(node) + ", which is beyond what a number of 64 bits can be");
        }
        if (node.isObject()) {
            String type = node.path("type").asText();
            if (type.equals("TemplateProcessing")) {
                template(node, "single", false);
                template(node, "pair", true);
            }
            boolean table = node.path("precompiled_charsmap").isTextual();
            if (type.equals("Precompiled") && !table) {
                throw new IllegalArgumentException("the \"precompiled_charsmap\" of its \"Precompiled\" is "
                        + shown(node.path("precompiled_charsmap")) + ", no text");
            }
            if (table) {
                charsMap(node.path("precompiled_charsmap").textValue());
            }
            node.properties().forEach(entry -> values(entry.getValue(), entry.getKey(), depth + 1));
        } else if (node.isArray()) {
            node.forEach(item -> values(item, name, depth + 1));
        }
    }

    /** What is taken off at the end of a token is taken to be there, and not to be what was taken off at its start. */
    private static void stripping(JsonNode step) {
        if (step.path("type").asText().equals("Strip") && step.path("stop").asLong(0) != 0) {
            throw new IllegalArgumentException("its \"decoder\" strips " + shown(step.path("stop"))
                    + " characters from the end of tokens, which may be shorter; only those at the start can be");
        }
        step.path("decoders").forEach(NativeAssumptions::stripping);
    }

    private static void cutting(JsonNode step) {
        if (step.path("type").asText().equals("FixedLength")
                && step.path("length").asLong(1) < 1) {
            throw new IllegalArgumentException(
                    "its \"pre_tokenizer\" cuts a text into pieces of " + shown(step.path("length")) + " characters");
        }
        step.path("pretokenizers").forEach(NativeAssumptions::cutting);
    }

    /** The ids that are put around a text are ids of tokens. */
    private static void ids(JsonNode step) {
        id(step.path("sep").path(1));
        id(step.path("cls").path(1));
        step.path("special_tokens").forEach(token -> token.path("ids").forEach(NativeAssumptions::id));
        step.path("processors").forEach(NativeAssumptions::ids);
    }

    private static void id(JsonNode id) {
        if (id.isNumber() && !(id.canConvertToInt() && id.intValue() >= 0)) {
            throw new IllegalArgumentException(
                    "its \"post_processor\" puts the id " + shown(id) + " around a text, which no token can have");
        }
    }

    /** How many steps put tokens around a text: after the first there is not one text any more for the next. */
    private static int surrounding(JsonNode step) {
        String type = step.path("type").asText();
        int steps =
                type.equals("TemplateProcessing") || type.equals("BertProcessing") || type.equals("RobertaProcessing")
                        ? 1
                        : 0;
        for (JsonNode inner : step.path("processors")) {
            steps += surrounding(inner);
        }
        return steps;
    }

    /** The template of one text has no place for a second, and every token it writes is explained. */
    private static void template(JsonNode processor, String name, boolean pair) {
        for (JsonNode piece : processor.path(name)) {
            JsonNode token = piece.path("SpecialToken").path("id");
            if (token.isTextual() && !processor.path("special_tokens").has(token.textValue())) {
                throw new IllegalArgumentException("the \"" + name + "\" of its \"TemplateProcessing\" has the token "
                        + shown(token) + ", which its \"special_tokens\" lacks");
            }
            JsonNode sequence = piece.path("Sequence").path("id");
            if (!pair && sequence.isTextual() && !sequence.textValue().equals("A")) {
                throw new IllegalArgumentException(
                        "the \"single\" of its \"TemplateProcessing\" has a second text, \"B\", and there is only one");
            }
        }
    }

    /** With a prefix for the inner parts of words, the second part of a merge begins with it. */
    private static void merges(JsonNode model) {
        JsonNode prefix = model.path("continuing_subword_prefix");
        if (!prefix.isTextual() || prefix.textValue().isEmpty()) {
            return;
        }
        for (JsonNode merge : model.path("merges")) {
            String second = merge.isArray()
                    ? merge.path(1).asText()
                    : merge.asText().substring(merge.asText().indexOf(' ') + 1);
            if (!second.startsWith(prefix.textValue())) {
                throw new IllegalArgumentException("the second part of the merge " + shown(merge)
                        + " does not begin with the \"continuing_subword_prefix\" " + shown(prefix));
            }
        }
    }

    /**
     * A table of replaced characters is a trie in an array, whose every step has to end inside, and the texts that it
     * leads to. The array's size in bytes comes first.
     */
    private static void charsMap(String encoded) {
        byte[] bytes;
        try {
            bytes = Base64.getDecoder().decode(encoded);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("its \"precompiled_charsmap\" is no Base64", e);
        }
        if (!Base64.getEncoder().encodeToString(bytes).equals(encoded)) {
            throw new IllegalArgumentException("its \"precompiled_charsmap\" is no Base64 with padding");
        }
        long size = bytes.length < Integer.BYTES ? -1 : Integer.toUnsignedLong(unit(bytes, 0));
        if (size < Integer.BYTES || size % Integer.BYTES != 0 || size > bytes.length - Integer.BYTES) {
            throw new IllegalArgumentException("its \"precompiled_charsmap\" has " + bytes.length
                    + " bytes and no table of the size that it names, " + size);
        }
        int units = (int) (size / Integer.BYTES);
        int texts = (int) size + Integer.BYTES;
        try {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes, texts, bytes.length - texts));
        } catch (CharacterCodingException e) {
            throw new IllegalArgumentException("the texts of its \"precompiled_charsmap\" are no UTF-8", e);
        }
        for (int at = 0; at < units; at++) {
            requireInside(bytes, at, units, texts);
        }
    }

    /** The bytes of the longest text in a table of replaced characters that was checked, at least 1. */
    static int longestReplacement(String encoded) {
        byte[] bytes = Base64.getDecoder().decode(encoded);
        int longest = 1;
        int length = 0;
        for (int at = Integer.BYTES + unit(bytes, 0); at < bytes.length; at++) {
            length = bytes[at] == 0 ? 0 : length + 1;
            longest = Math.max(longest, length);
        }
        return longest;
    }

    private static void requireInside(byte[] bytes, int at, int units, int texts) {
        int unit = unit(bytes, 1 + at);
        if (unit < 0) {
            return; // leads to a text
        }
        int next = at ^ ((unit >>> 10) << ((unit & (1 << 9)) >>> 6));
        boolean inside = next >= 0 && (next | 0xff) < units;
        if (inside && (unit & (1 << 8)) != 0) {
            int text = texts + (unit(bytes, 1 + next) & Integer.MAX_VALUE);
            // A byte 10xxxxxx goes on with a character, so that the text would begin in the middle of it.
            inside = text >= texts && text < bytes.length && (bytes[text] & 0xc0) != 0x80;
        }
        if (!inside) {
            throw new IllegalArgumentException(
                    "the entry " + at + " of its \"precompiled_charsmap\" leads out of the table");
        }
    }

    private static int unit(byte[] bytes, int index) {
        int at = index * Integer.BYTES;
        return (bytes[at] & 0xff) | (bytes[at + 1] & 0xff) << 8 | (bytes[at + 2] & 0xff) << 16 | bytes[at + 3] << 24;
    }

    private static String shown(JsonNode node) {
        String text = node.toString();
        return text.length() > 60 ? text.substring(0, 40) + "…" : text;
    }
}
