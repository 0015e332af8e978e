package dev.finetune4j.examples.server;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Texts that come from clients. */
final class Texts {
    private static final int SHOWN = 60;

    private Texts() {}

    /** A text as it is shown in a message: not too long, without control characters. */
    static String shortened(String text) {
        String cut = text.length() > SHOWN ? text.substring(0, SHOWN) + "…" : text;
        return cut.replaceAll("\\p{Cntrl}", "?");
    }

    /**
     * Bytes in UTF-8.
     *
     * @throws CharacterCodingException if they are not
     */
    static String utf8(byte[] bytes) throws CharacterCodingException {
        return StandardCharsets.UTF_8
                .newDecoder()
                .decode(ByteBuffer.wrap(bytes))
                .toString();
    }

    /** Whether a text has no half of a surrogate pair alone, as JSON's escapes can write. */
    static boolean isWellFormed(String text) {
        return StandardCharsets.UTF_16.newEncoder().canEncode(CharBuffer.wrap(text));
    }
}
