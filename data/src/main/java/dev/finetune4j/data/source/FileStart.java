package dev.finetune4j.data.source;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What a file of rows begins with, which tells its format better than its name does.
 *
 * @param first the first byte that is neither white space nor byte order mark, or -1
 * @param refusal why the file cannot be read, or null if it may
 */
record FileStart(int first, @Nullable String refusal) {
    /** Signatures of what is often mistaken for a text file, as ISO 8859-1. */
    private static final Map<String, String> SIGNATURES = signatures();

    private static final List<Integer> BYTE_ORDER_MARK = List.of(0xEF, 0xBB, 0xBF);
    private static final int LONGEST = 4;
    private static final int SHOWN = 60;

    private static Map<String, String> signatures() {
        Map<String, String> map = new LinkedHashMap<>();
        map.put("\u001F\u008B", "is gzip data, expected JSON text; unpack it first, for example with gunzip");
        map.put("PK\u0003\u0004", "is a zip archive, expected JSON text; unpack it first");
        map.put("(\u00B5/\u00FD", "is zstd data, expected JSON text; unpack it first");
        map.put("PAR1", "is a Parquet file, which is not read; convert it to JSON lines");
        map.put("\u00FF\u00FE", "is UTF-16 text, expected UTF-8; save it again as UTF-8");
        map.put("\u00FE\u00FF", "is UTF-16 text, expected UTF-8; save it again as UTF-8");
        return map;
    }

    static FileStart of(Path file) throws IOException {
        try (InputStream in = new BufferedInputStream(Files.newInputStream(file))) {
            in.mark(LONGEST);
            byte[] head = in.readNBytes(LONGEST);
            for (Map.Entry<String, String> signature : SIGNATURES.entrySet()) {
                if (begins(head, signature.getKey())) {
                    return new FileStart(-1, signature.getValue());
                }
            }
            in.reset();
            return judge(firstSignificant(in), in);
        }
    }

    boolean isArray() {
        return first == '[';
    }

    private static FileStart judge(int first, InputStream rest) throws IOException {
        if (first == '[' || first == '{') {
            return new FileStart(first, null);
        }
        if (first < 0) {
            return new FileStart(first, "is empty, expected a JSON array of rows or JSON lines");
        }
        return new FileStart(
                first,
                "begins with " + shown(first, rest) + ", expected '[' for a JSON array of rows or '{' for JSON lines;"
                        + " other formats, such as CSV, cannot be read: convert the file, in Python by"
                        + " pandas.read_csv(file).to_json(out, orient=\"records\", lines=True, force_ascii=False)");
    }

    /** The first line, from which a reader sees what the file is, or the byte if it is no text. */
    private static String shown(int first, InputStream rest) throws IOException {
        byte[] head = new byte[SHOWN];
        head[0] = (byte) first;
        int length = 1 + rest.readNBytes(head, 1, SHOWN - 1);
        String text = new String(head, 0, length, StandardCharsets.UTF_8)
                .lines()
                .findFirst()
                .orElse("");
        boolean readable = text.chars().noneMatch(c -> Character.isISOControl(c) || c == '\uFFFD');
        return readable ? "\"" + text + "\"" : String.format(Locale.ROOT, "the byte 0x%02X", first);
    }

    private static int firstSignificant(InputStream in) throws IOException {
        int value = in.read();
        for (int i = 0; i < BYTE_ORDER_MARK.size() && value == BYTE_ORDER_MARK.get(i); i++) {
            value = in.read();
        }
        while (value == ' ' || value == '\t' || value == '\n' || value == '\r') {
            value = in.read();
        }
        return value;
    }

    private static boolean begins(byte[] head, String signature) {
        if (head.length < signature.length()) {
            return false;
        }
        for (int i = 0; i < signature.length(); i++) {
            if ((head[i] & 0xFF) != signature.charAt(i)) {
                return false;
            }
        }
        return true;
    }
}
