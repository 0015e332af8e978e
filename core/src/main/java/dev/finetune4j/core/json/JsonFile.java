package dev.finetune4j.core.json;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Reads the small files of a model or adapter folder as a whole, up to a size that no honest one reaches. What is no
 * file, such as a pipe, is not waited for.
 */
public final class JsonFile {
    /** For a file of settings. */
    public static final long SETTINGS_BYTES = 16L << 20;

    /** So many copies of a file may be in the heap while it is read. */
    private static final int HEAP_SHARE = 4;

    private static final String AGAIN = "the download may be incomplete, fetch the file again";

    private JsonFile() {}

    /**
     * The bytes of a file.
     *
     * @param most as many bytes as it may have
     * @throws ModelFileException when it is no file, cannot be read, or is larger
     */
    public static byte[] bytes(Path file, long most) {
        if (!Files.isRegularFile(file)) {
            throw new ModelFileException(
                    file + (Files.exists(file) ? " is no regular file" : " is missing") + "; fetch the file again");
        }
        long limit = Math.min(most, Runtime.getRuntime().maxMemory() / HEAP_SHARE);
        try (InputStream in = Files.newInputStream(file)) {
            // What the size says is not read at all; what has none, such as a device, is read up to the limit.
            byte[] bytes = Files.size(file) > limit
                    ? new byte[0]
                    : in.readNBytes(Math.toIntExact(Math.min(limit + 1, Integer.MAX_VALUE - 8)));
            if (bytes.length > limit || Files.size(file) > limit) {
                throw new ModelFileException(file + " has " + Files.size(file)
                        + " bytes, but the limit for such a file is " + limit
                        + (limit < most ? ", a quarter of the heap: give the JVM more (-Xmx), or see whether" : ";")
                        + " it may be another file under a wrong name: fetch it again");
            }
            return bytes;
        } catch (IOException e) {
            throw new ModelFileException(file + " cannot be read: " + e, e);
        }
    }

    /**
     * The text of a file in UTF-8.
     *
     * @param most as many bytes as it may have
     * @throws ModelFileException when it is no file, cannot be read, is larger, or is no UTF-8
     */
    public static String text(Path file, long most) {
        return text(file, bytes(file, most));
    }

    /**
     * The text of bytes in UTF-8.
     *
     * @param file for messages
     * @throws ModelFileException when they are no UTF-8, naming the place
     */
    public static String text(Path file, byte[] bytes) {
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes))
                    .toString();
        } catch (CharacterCodingException e) {
            throw noUtf8(file, bytes, e);
        }
    }

    /**
     * The JSON object that a file of settings holds.
     *
     * @throws ModelFileException when there is none, naming the file, the line, the column and the field
     */
    public static ObjectNode object(Path file) {
        return object(file, bytes(file, SETTINGS_BYTES));
    }

    /**
     * The JSON object that the bytes of a file hold.
     *
     * @param file for messages
     * @throws ModelFileException when there is none, naming the file, the line, the column and the field
     */
    public static ObjectNode object(Path file, byte[] bytes) {
        String foreign = signature(bytes);
        if (foreign != null) {
            throw new ModelFileException(file + " " + foreign);
        }
        try (Reader text =
                new InputStreamReader(new ByteArrayInputStream(bytes), StandardCharsets.UTF_8.newDecoder())) {
            JsonReader json = new JsonReader(text);
            JsonNode root = json.next();
            if (root != null && json.hasMore()) {
                throw new ModelFileException(file + " is no valid JSON (line " + json.line() + ", column "
                        + json.column() + ": something follows the value, expected the end of the file); " + AGAIN);
            }
            if (root instanceof ObjectNode object) {
                return object;
            }
            throw new ModelFileException(
                    file + (root == null ? " is empty, so it holds no JSON object" : " holds no JSON object")
                            + "; fetch the file again");
        } catch (CharacterCodingException e) {
            throw noUtf8(file, bytes, e);
        } catch (JsonSyntaxException e) {
            throw new ModelFileException(
                    file + " is no valid JSON (" + e.place() + ": " + e.getMessage() + "); " + AGAIN, e);
        } catch (IOException e) {
            throw new ModelFileException(file + " cannot be read: " + e, e);
        }
    }

    private static @Nullable String signature(byte[] bytes) {
        int first = bytes.length > 0 ? bytes[0] & 0xff : -1;
        int second = bytes.length > 1 ? bytes[1] & 0xff : -1;
        int third = bytes.length > 2 ? bytes[2] & 0xff : -1;
        if (first == 0xef && second == 0xbb && third == 0xbf) {
            return "begins with a byte order mark (EF BB BF), which Python's json does not read; save it as UTF-8"
                    + " without one";
        }
        if ((first == 0xff && second == 0xfe) || (first == 0xfe && second == 0xff)) {
            return "is UTF-16 text, expected UTF-8; save it again as UTF-8";
        }
        if (first == 0x1f && second == 0x8b) {
            return "is gzip data, expected JSON text; unpack it first";
        }
        String start = new String(bytes, 0, Math.min(bytes.length, 64), StandardCharsets.ISO_8859_1)
                .strip()
                .toLowerCase(Locale.ROOT);
        if (start.startsWith("version https://git-lfs")) {
            return "is a Git LFS pointer, not the file itself; run \"git lfs pull\" in its folder or download the file";
        }
        if (start.startsWith("<!doctype") || start.startsWith("<html")) {
            return "is a web page, such as a hub shows for a file or an error; download the file itself";
        }
        return null;
    }

    private static ModelFileException noUtf8(Path file, byte[] bytes, CharacterCodingException cause) {
        CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder();
        ByteBuffer in = ByteBuffer.wrap(bytes);
        CharBuffer out = CharBuffer.allocate(8192);
        int line = 1;
        int column = 1;
        CoderResult result;
        do {
            result = decoder.decode(in, out, true);
            out.flip();
            while (out.hasRemaining()) {
                boolean breaks = out.get() == '\n';
                line += breaks ? 1 : 0;
                column = breaks ? 1 : column + 1;
            }
            out.clear();
        } while (result.isOverflow());
        String found = in.hasRemaining() ? String.format("the byte 0x%02X", in.get() & 0xff) : "the end";
        return new ModelFileException(
                file + " is no UTF-8 text (line " + line + ", column " + column + ": " + found
                        + "); fetch the file again, or save it as UTF-8",
                cause);
    }
}
