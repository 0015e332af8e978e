package dev.finetune4j.data.source;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.zip.ZipException;
import org.jspecify.annotations.Nullable;

/**
 * What a file of rows begins with, which tells its kind; the name counts where that is not enough.
 *
 * @param kind how rows lie in it
 * @param separator of the cells of a table
 * @param refusal why the file cannot be read, or null if it may
 */
record FileStart(FileKind kind, char separator, @Nullable String refusal) {
    private static final String GZIP = "\u001F\u008B";
    private static final String UTF_16 = "is UTF-16 text, expected UTF-8; save it again as UTF-8";
    /** Signatures of what is often mistaken for a text file, as ISO 8859-1. */
    private static final Map<String, String> SIGNATURES = signatures();

    private static final Set<String> TEXTS = Set.of("txt", "text", "md");
    private static final Set<String> TABLES = Set.of("csv", "tsv", "tab");
    private static final List<Character> SEPARATORS = List.of(',', ';', '\t', '|');
    private static final String BYTE_ORDER_MARK = "\u00EF\u00BB\u00BF";
    private static final String BLANKS = " \t\r\n";
    /** So many bytes are looked at; the header of a table lies in them. */
    private static final int LOOKED_AT = 1 << 16;

    private static final int SHOWN = 60;

    private static Map<String, String> signatures() {
        Map<String, String> map = new LinkedHashMap<>();
        map.put(
                "PK\u0003\u0004",
                "is a zip archive, or a workbook of a spreadsheet program (.xlsx, .ods); unpack it, or save the sheet as"
                        + " \"CSV UTF-8\"");
        map.put("(\u00B5/\u00FD", "is zstd data, expected text; unpack it first");
        map.put("\u00FF\u00FE", UTF_16);
        map.put("\u00FE\u00FF", UTF_16);
        map.put(GZIP, "is gzip data that was packed twice; unpack it once");
        map.put("%PDF", "is a PDF document, expected rows or text; save its text as .txt");
        map.put("SQLite format 3", "is a database, expected rows; query it and give the ResultSet");
        return map;
    }

    static FileStart of(Path file) throws IOException {
        String head;
        try (InputStream in = SourceFile.open(file)) {
            head = new String(in.readNBytes(LOOKED_AT), StandardCharsets.ISO_8859_1);
        } catch (ZipException | EOFException e) {
            return refused("is gzip data that is cut off or damaged; fetch it again or pack it anew");
        }
        return of(head, extension(file));
    }

    private static FileStart of(String head, String extension) {
        if (head.startsWith("PAR1")) {
            return new FileStart(FileKind.PARQUET, ',', null);
        }
        for (Map.Entry<String, String> signature : SIGNATURES.entrySet()) {
            if (head.startsWith(signature.getKey())) {
                return refused(signature.getValue());
            }
        }
        if (isWide(head)) {
            return refused(UTF_16);
        }
        String text = head.startsWith(BYTE_ORDER_MARK) ? head.substring(BYTE_ORDER_MARK.length()) : head;
        int first = significant(text, 0);
        if (first == text.length()) {
            return refused("is empty, expected a JSON array of rows or JSON lines, a table, or a text");
        }
        if (TEXTS.contains(extension) && !isJson(text, first)) {
            return new FileStart(FileKind.TEXT, ',', null);
        }
        if (TABLES.contains(extension) && !isJson(text, first)) {
            return new FileStart(FileKind.CSV, extension.equals("csv") ? separatorOf(text) : '\t', null);
        }
        return switch (text.charAt(first)) {
            case '[' -> new FileStart(FileKind.JSON_ARRAY, ',', null);
            case '{' -> new FileStart(FileKind.JSON_LINES, ',', null);
            default ->
                refused("begins with " + shown(text.substring(first))
                        + ", expected '[' for a JSON array of rows or '{' for"
                        + " JSON lines; a table is recognised by a name that ends with .csv or .tsv, a text by .txt"
                        + " or .md: rename the file if it is one");
        };
    }

    /** Whether every other byte is 0, as in UTF-16 of ASCII characters without a mark. */
    private static boolean isWide(String head) {
        int looked = Math.min(SHOWN, head.length() / 2 * 2);
        boolean even = looked > 2;
        boolean odd = looked > 2;
        for (int i = 0; i < looked; i += 2) {
            even &= head.charAt(i) == 0 && head.charAt(i + 1) != 0;
            odd &= head.charAt(i) != 0 && head.charAt(i + 1) == 0;
        }
        return even || odd;
    }

    private static FileStart refused(String reason) {
        return new FileStart(FileKind.JSON_LINES, ',', reason);
    }

    /** Whether a file with the name of a text or a table holds JSON all the same. */
    private static boolean isJson(String text, int first) {
        int second = significant(text, first + 1);
        char next = second < text.length() ? text.charAt(second) : ' ';
        return switch (text.charAt(first)) {
            case '[' ->
                next == '{'
                        && significant(text, second + 1) < text.length()
                        && text.charAt(significant(text, second + 1)) == '"';
            case '{' -> next == '"';
            default -> false;
        };
    }

    /** Of the usual separators, the one that stands most often in the header outside of quotes. */
    private static char separatorOf(String text) {
        int[] counts = new int[SEPARATORS.size()];
        boolean quoted = false;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"') {
                quoted = !quoted;
            } else if (!quoted && (c == '\n' || c == '\r')) {
                break;
            } else if (!quoted && SEPARATORS.contains(c)) {
                counts[SEPARATORS.indexOf(c)]++;
            }
        }
        int best = 0;
        for (int i = 1; i < counts.length; i++) {
            best = counts[i] > counts[best] ? i : best;
        }
        return SEPARATORS.get(best);
    }

    /** The end of a file's name in small letters, without that of a packed file. */
    static String extension(Path file) {
        String name = String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
        if (name.endsWith(".gz")) {
            name = name.substring(0, name.length() - 3);
        }
        return name.substring(name.lastIndexOf('.') + 1);
    }

    static boolean isGzip(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            return new String(in.readNBytes(GZIP.length()), StandardCharsets.ISO_8859_1).equals(GZIP);
        }
    }

    /** The first line, from which a reader sees what the file is, or the byte if it is no text. */
    private static String shown(String rest) {
        byte[] head = rest.substring(0, Math.min(SHOWN, rest.length())).getBytes(StandardCharsets.ISO_8859_1);
        String text =
                new String(head, StandardCharsets.UTF_8).lines().findFirst().orElse("");
        boolean readable = text.chars().noneMatch(c -> Character.isISOControl(c) || c == '\uFFFD');
        return readable ? "\"" + text + "\"" : String.format(Locale.ROOT, "the byte 0x%02X", head[0]);
    }

    private static int significant(String text, int from) {
        int at = from;
        while (at < text.length() && BLANKS.indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        return at;
    }
}
