package dev.finetune4j.core.text;

import java.util.Arrays;

/**
 * An incremental detokenizer: turns ids that come one by one into pieces of text that are always whole characters.
 *
 * <p>The rule: decode all ids so far; while the text ends in U+FFFD, a character may be unfinished, so hold it back;
 * else hand out what is new. The pieces and the last flush together are the text of all ids, unless single-byte tokens
 * that looked right so far turn out to be no UTF-8: then the text changes after the fact, and U+FFFD for the bytes not
 * yet handed out are all that is left to say.
 *
 * <p>To keep a token's price independent of the length of the history, only a window of the last ids is decoded. The
 * window may begin only where decoding it alone gives the same text as decoding everything: not where what it decodes
 * to is empty, since decoders treat the start of a text specially, and not at a single-byte token. A long run of those
 * is cut before a character all the same, and {@link ByteFallbackRun} remembers what the cut hides.
 *
 * <p>Not thread-safe; made by {@link Tokenizer#detokenizer}, which must not be closed before it.
 */
public final class IncrementalDetokenizer {
    private static final int WINDOW = 24;
    private static final int KEPT = 8;
    private static final String UNFINISHED = "\uFFFD";

    private final Tokenizer tokenizer;
    private final boolean skipSpecial;
    private final ByteFallbackRun run;
    /** The last ids that have a part in the text. */
    private int[] window = new int[2 * WINDOW];

    private int length;
    /** How much of the window's text has been handed out, in code points. */
    private int emitted;
    /** Ids since text was last handed out. */
    private int held;

    private int nextSlide = WINDOW;

    IncrementalDetokenizer(Tokenizer tokenizer, boolean skipSpecial) {
        this.tokenizer = tokenizer;
        this.skipSpecial = skipSpecial;
        this.run = new ByteFallbackRun(tokenizer);
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
        tokenizer.requireOpen();
        if (!tokenizer.isShown(id, skipSpecial)) {
            return "";
        }
        if (length == window.length) {
            window = Arrays.copyOf(window, 2 * length);
        }
        window[length++] = id;
        run.accept(id);
        held++;
        if (held > WINDOW && isSurelyUnfinished()) {
            return "";
        }
        String text = decode(0);
        if (text.endsWith(UNFINISHED)) {
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
        run.reset();
        length = 0;
        emitted = 0;
        held = 0;
        nextSlide = WINDOW;
        return rest;
    }

    private String decode(int from) {
        return tokenizer.decode(Arrays.copyOfRange(window, from, length), skipSpecial);
    }

    /** Whether the text ends in U+FFFD, seen without decoding all that is held back; false if it takes a closer look. */
    private boolean isSurelyUnfinished() {
        if (tokenizer.isByte(window[length - 1])) {
            return run.isUnfinished();
        }
        for (int i = length - KEPT; i < length; i++) {
            if (tokenizer.isByte(window[i])) {
                return false;
            }
        }
        // A character has four bytes at most, so the last eight tokens say how the text ends.
        return decode(length - KEPT).endsWith(UNFINISHED);
    }

    private String handOut(String text) {
        int points = text.codePointCount(0, text.length());
        // Bytes that turn out to be no UTF-8 change a text after the fact; then it can even be shorter than before.
        String piece = points <= emitted ? "" : text.substring(text.offsetByCodePoints(0, emitted));
        emitted = Math.max(emitted, points);
        held = 0;
        return UNFINISHED.repeat(run.takeHidden(window, length)) + piece;
    }

    /** Drops ids from the front of the window where that changes nothing. All of its text must be handed out. */
    private void slide(String text) {
        int from = length - KEPT;
        int last = Math.max(0, length - WINDOW);
        while (from > last && (tokenizer.isByte(window[from]) || !beginsAt(from, text))) {
            from--;
        }
        int cut = run.cut(window, length, KEPT);
        if (from > last) {
            run.forget();
            drop(from);
        } else if (cut > 0 && beginsAt(cut, text)) {
            run.hide(window, cut);
            drop(cut);
        }
        // Without such a place the next ids may bring one.
        nextSlide = Math.max(WINDOW, length + KEPT);
    }

    private boolean beginsAt(int from, String text) {
        String rest = decode(from);
        return !rest.isEmpty() && text.endsWith(rest);
    }

    private void drop(int count) {
        length -= count;
        System.arraycopy(window, count, window, 0, length);
        String rest = decode(0);
        emitted = rest.codePointCount(0, rest.length());
    }
}
