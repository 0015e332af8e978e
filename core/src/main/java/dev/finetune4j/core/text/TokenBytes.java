package dev.finetune4j.core.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;

/** The bytes that the tokens of a tokenizer.json write, by its decoder. Immutable. */
final class TokenBytes {
    private static final char WORD_BEGIN = '\u2581';
    /** The byte that each character of a byte-level vocabulary stands for, as in <a href="https://github.com/openai/gpt-2">GPT-2</a>. */
    private static final int[] BYTE_OF = byteOf();

    private final boolean byteLevel;

    /** @param definition the tokenizer.json */
    TokenBytes(ObjectNode definition) {
        this.byteLevel = isByteLevel(definition.path("decoder"));
    }

    private static boolean isByteLevel(JsonNode decoder) {
        boolean found = decoder.path("type").asText().equals("ByteLevel");
        for (JsonNode step : decoder.path("decoders")) {
            found |= isByteLevel(step);
        }
        return found;
    }

    private static int[] byteOf() {
        int[] bytes = new int[1 << 9];
        int further = 0;
        for (int value = 0; value < 256; value++) {
            boolean printable = (value > ' ' && value < 0x7f) || (value > 0xa0 && value != 0xad);
            bytes[printable ? value : 256 + further++] = value + 1;
        }
        return bytes;
    }

    /** Those of a token that is no added one and no single byte. */
    byte[] of(String token) {
        if (!byteLevel) {
            return token.replace(WORD_BEGIN, ' ').getBytes(StandardCharsets.UTF_8);
        }
        byte[] bytes = new byte[token.length()];
        for (int i = 0; i < bytes.length; i++) {
            char c = token.charAt(i);
            int known = c < BYTE_OF.length ? BYTE_OF[c] : 0;
            if (known == 0) {
                // No byte is written like this, so that the token is a text of its own.
                return token.getBytes(StandardCharsets.UTF_8);
            }
            bytes[i] = (byte) (known - 1);
        }
        return bytes;
    }
}
