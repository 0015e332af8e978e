package dev.finetune4j.data.source;

import dev.finetune4j.data.DatasetProblem;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;

/** Reads UTF-8 strictly: a byte that is not UTF-8 is an error, never a question mark in the data. */
final class Utf8 {
    private static final char BYTE_ORDER_MARK = '\uFEFF';
    /** What stands for bytes that are not UTF-8 where nobody looks. */
    private static final char REPLACEMENT = '\uFFFD';

    private Utf8() {}

    /** The text after a byte order mark; reading throws {@link java.nio.charset.CharacterCodingException}. */
    static Reader reader(InputStream bytes) throws IOException {
        BufferedReader reader = new BufferedReader(new InputStreamReader(bytes, decoder()));
        reader.mark(1);
        if (reader.read() != BYTE_ORDER_MARK) {
            reader.reset();
        }
        return reader;
    }

    /**
     * The text of bytes.
     *
     * @param first whether they begin a file, which may begin with a byte order mark
     */
    static String decode(byte[] bytes, boolean first) throws CharacterCodingException {
        String text = new String(bytes, StandardCharsets.UTF_8);
        if (text.indexOf(REPLACEMENT) >= 0) {
            // It stands in the file, or for bytes that are not UTF-8, of which this is the place to complain.
            text = decoder().decode(ByteBuffer.wrap(bytes)).toString();
        }
        return first && !text.isEmpty() && text.charAt(0) == BYTE_ORDER_MARK ? text.substring(1) : text;
    }

    /** Finds the first byte that is not UTF-8. Lines are counted in this second reading, so the first is spared it. */
    static DatasetProblem locate(Path file) {
        try (InputStream in = SourceFile.open(file)) {
            return locate(file.toString(), in);
        } catch (IOException e) {
            return DatasetProblem.ofFile(file.toString(), "is not UTF-8 text, and cannot be read again: " + e);
        }
    }

    private static DatasetProblem locate(String source, InputStream in) throws IOException {
        CharsetDecoder decoder = decoder();
        byte[] buffer = new byte[8192];
        ByteBuffer bytes = ByteBuffer.wrap(buffer, 0, 0);
        CharBuffer chars = CharBuffer.allocate(8192);
        int line = 1;
        int column = 1;
        boolean ended = false;
        while (true) {
            CoderResult result = decoder.decode(bytes, chars, ended);
            chars.flip();
            while (chars.hasRemaining()) {
                char read = chars.get();
                if (read == '\n') {
                    line++;
                    column = 1;
                } else if (read != BYTE_ORDER_MARK || line > 1 || column > 1) {
                    column++;
                }
            }
            chars.clear();
            if (result.isError() || (ended && result.isUnderflow())) {
                String culprit = result.isError() && bytes.hasRemaining()
                        ? String.format(Locale.ROOT, "byte 0x%02X", bytes.get() & 0xFF)
                        : "the end of the file";
                return DatasetProblem.ofFile(
                                source,
                                culprit + " is not UTF-8 here; save the file as UTF-8 (it may be Latin-1 or GBK)")
                        .atLine(line, column);
            }
            ended = result.isUnderflow() && !refill(bytes, buffer, in);
        }
    }

    private static boolean refill(ByteBuffer bytes, byte[] buffer, InputStream in) throws IOException {
        bytes.compact();
        int count = in.read(buffer, bytes.position(), bytes.remaining());
        bytes.position(bytes.position() + Math.max(count, 0)).flip();
        return count > 0;
    }

    private static CharsetDecoder decoder() {
        return StandardCharsets.UTF_8
                .newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT)
                .onUnmappableCharacter(CodingErrorAction.REPORT);
    }
}
