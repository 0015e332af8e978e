package dev.finetune4j.examples.basemodel;

import java.nio.charset.StandardCharsets;

/**
 * The printable alphabet in which a byte-level BPE writes bytes: each of the 256 bytes has one character, so that any
 * text is a string of known symbols and tokens can stand in a JSON file. Printable Latin-1 bytes stand for themselves;
 * the others get the code points from U+0100 upwards, in byte order. The mapping is that of <a
 * href="https://huggingface.co/docs/tokenizers/api/pre-tokenizers#tokenizers.pre_tokenizers.ByteLevel">ByteLevel</a>.
 */
final class ByteAlphabet {
    private static final char[] SYMBOLS = symbols();

    private ByteAlphabet() {}

    /** The symbol of a byte, given as 0 to 255. */
    static char symbol(int unsignedByte) {
        return SYMBOLS[unsignedByte];
    }

    /** The UTF-8 bytes of the text, one symbol each. */
    static String write(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        StringBuilder symbols = new StringBuilder(bytes.length);
        for (byte b : bytes) {
            symbols.append(SYMBOLS[Byte.toUnsignedInt(b)]);
        }
        return symbols.toString();
    }

    private static char[] symbols() {
        char[] symbols = new char[256];
        int next = 0x100;
        for (int b = 0; b < 256; b++) {
            boolean printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
            symbols[b] = (char) (printable ? b : next++);
        }
        return symbols;
    }
}
