package dev.finetune4j.core.text;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;

/**
 * A run of byte-fallback tokens ({@code <0x41>}) among ids, as SentencePiece vocabularies decode it: the whole run together
 * is UTF-8, or else each of its tokens is U+FFFD.
 *
 * <p>So one wrong byte changes all of its run, and a decoder that forgets the front of a long run must know how many
 * U+FFFD would be missing: bytes minus characters of what it forgot.
 */
final class ByteFallbackRun {
    private final Tokenizer tokenizer;
    private final CharsetDecoder utf8 = StandardCharsets.UTF_8.newDecoder();
    /** The bytes of a character that is not whole yet. */
    private final ByteBuffer character = ByteBuffer.allocate(4);
    /** The last whole character of the run that goes on. */
    private char last;
    /** Whether that run can no longer become UTF-8, whatever comes. */
    private boolean broken;

    private int hidden;

    ByteFallbackRun(Tokenizer tokenizer) {
        this.tokenizer = tokenizer;
    }

    /** Takes note of the next id. */
    void accept(int id) {
        if (!tokenizer.isByte(id)) {
            start();
            return;
        }
        if (broken) {
            return;
        }
        character.put((byte) tokenizer.byteOf(id)).flip();
        CharBuffer whole = CharBuffer.allocate(2);
        broken = utf8.reset().decode(character, whole, false).isMalformed();
        character.compact();
        if (whole.position() > 0) {
            last = whole.get(whole.position() - 1);
        }
    }

    /** Whether the text of the run that the ids so far end with ends in U+FFFD. */
    boolean isUnfinished() {
        return broken || character.position() > 0 || last == '\uFFFD';
    }

    /**
     * Where the ids can be cut inside the run that they end with: before a character that decoders do not strip at the
     * start of a text.
     *
     * @param kept how many ids to keep at least
     * @return the number of ids to drop, 0 if there is no such place
     */
    int cut(int[] ids, int length, int kept) {
        int start = start(ids, length);
        for (int at = length - kept; at > start; at--) {
            int first = tokenizer.byteOf(ids[at]);
            if ((first & 0xC0) != 0x80 && first != ' ') {
                return at;
            }
        }
        return 0;
    }

    /** Remembers what is lost when the first {@code cut} ids, which end with whole characters of a run, are dropped. */
    void hide(int[] ids, int cut) {
        ByteBuffer lost = bytes(ids, start(ids, cut), cut);
        String text = text(lost);
        hidden += lost.limit() - text.codePointCount(0, text.length());
    }

    /**
     * The number of U+FFFD that dropped ids would have given, when the run that the ids start with has turned out not
     * to be UTF-8. They are given once.
     */
    int takeHidden(int[] ids, int length) {
        if (hidden == 0) {
            return 0;
        }
        int end = 0;
        while (end < length && tokenizer.isByte(ids[end])) {
            end++;
        }
        if (end == 0 || !text(bytes(ids, 0, end)).isEmpty()) {
            return 0;
        }
        int taken = hidden;
        hidden = 0;
        return taken;
    }

    /** Forgets what was hidden, because that run is over. */
    void forget() {
        hidden = 0;
    }

    /** As new. */
    void reset() {
        forget();
        start();
    }

    private void start() {
        broken = false;
        character.clear();
        last = 0;
    }

    /** The index of the first id of the run that ends at {@code end}. */
    private int start(int[] ids, int end) {
        int start = end;
        while (start > 0 && tokenizer.isByte(ids[start - 1])) {
            start--;
        }
        return start;
    }

    private ByteBuffer bytes(int[] ids, int from, int to) {
        ByteBuffer bytes = ByteBuffer.allocate(to - from);
        for (int i = from; i < to; i++) {
            bytes.put((byte) tokenizer.byteOf(ids[i]));
        }
        return bytes.flip();
    }

    /** Empty if the bytes are no whole UTF-8. */
    private static String text(ByteBuffer bytes) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(bytes).toString();
        } catch (CharacterCodingException e) {
            return "";
        }
    }
}
