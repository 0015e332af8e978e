package dev.finetune4j.core.text;

import java.util.Arrays;

/**
 * Turns ids that come one by one into pieces of text that are always whole characters.
 *
 * <p>The rule: decode all ids so far; while the text ends in U+FFFD, a character may be unfinished, so hold it back;
 * else hand out what is new. The pieces and the last flush together are the text of all ids. To keep a token's price
 * independent of the length of the history, only a window of the last ids is decoded. The window may begin only where
 * decoding it alone gives the same text as decoding everything: not between single-byte tokens, which count only
 * together, and not where what it decodes to is empty, since decoders treat the start of a text specially.
 *
 * <p>Not thread-safe; made by {@link Tokenizer#streamDecoder}, which must not be closed before it.
 */
public final class StreamDecoder {
    private static final int WINDOW = 24;
    private static final int KEPT = 8;

    private final Tokenizer tokenizer;
    private final boolean skipSpecial;
    private int[] window = new int[2 * WINDOW];
    private int length;
    /** How much of the window's text has been handed out, in code points. */
    private int emitted;

    private int nextSlide = WINDOW;

    StreamDecoder(Tokenizer tokenizer, boolean skipSpecial) {
        this.tokenizer = tokenizer;
        this.skipSpecial = skipSpecial;
    }

    /**
     * Takes the next id.
     *
     * @return the text that it completes, empty while a character is unfinished
     * @throws IllegalArgumentException if the id is negative
     * @throws IllegalStateException if the tokenizer is closed
     */
    public String accept(int id) {
        if (id < 0) {
            throw new IllegalArgumentException("the id is " + id + ", but ids are not negative");
        }
        if (length == window.length) {
            window = Arrays.copyOf(window, 2 * length);
        }
        window[length++] = id;
        String text = decode(0);
        if (text.endsWith("\uFFFD")) {
            return "";
        }
        String piece = handOut(text);
        if (length >= nextSlide) {
            slide(text);
        }
        return piece;
    }

    /**
     * Ends the text.
     *
     * @return what was held back, with U+FFFD for a character that was never finished. The decoder is then as new.
     */
    public String finish() {
        String rest = handOut(decode(0));
        length = 0;
        emitted = 0;
        nextSlide = WINDOW;
        return rest;
    }

    private String decode(int from) {
        return tokenizer.decode(Arrays.copyOfRange(window, from, length), skipSpecial);
    }

    private String handOut(String text) {
        int points = text.codePointCount(0, text.length());
        // Bytes that turn out to be no UTF-8 change a text after the fact; then it can even be shorter than before.
        String piece = points <= emitted ? "" : text.substring(text.offsetByCodePoints(0, emitted));
        emitted = Math.max(emitted, points);
        return piece;
    }

    /** Drops ids from the front of the window where that changes nothing. All of its text must be handed out. */
    private void slide(String text) {
        for (int from = length - KEPT; from > 0; from--) {
            if (tokenizer.isByte(window[from]) || tokenizer.isByte(window[from - 1])) {
                continue;
            }
            String rest = decode(from);
            if (!rest.isBlank() && text.endsWith(rest)) {
                System.arraycopy(window, from, window, 0, length - from);
                length -= from;
                emitted = rest.codePointCount(0, rest.length());
                break;
            }
        }
        // A window without such a place is tried again only when it has grown, so that trying stays cheap.
        nextSlide = Math.max(WINDOW, length + length / 2);
    }
}
