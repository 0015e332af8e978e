package dev.finetune4j.core.json;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.ModelFileException;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The reader takes what Python's json takes, and complains with place, field and remedy in words of its own. */
class JsonReaderTest {
    /** Words of the parser that is not used. */
    private static final Pattern FOREIGN = Pattern.compile("(?i)StreamRead|JsonParser|jackson|was expecting|token");

    private static JsonNode read(String text) throws IOException {
        JsonReader reader = new JsonReader(new StringReader(text));
        JsonNode value = reader.next();
        assertFalse(reader.hasMore(), text);
        assertNotNull(value, text);
        return value;
    }

    private static JsonSyntaxException fails(String text) {
        JsonSyntaxException failure = assertThrows(JsonSyntaxException.class, () -> read(text), text);
        assertFalse(FOREIGN.matcher(failure.getMessage()).find(), failure.getMessage());
        return failure;
    }

    @Test
    void readsWhatPythonReads() throws IOException {
        assertTrue(Double.isNaN(read("NaN").doubleValue()));
        assertEquals(Double.POSITIVE_INFINITY, read("[Infinity]").get(0).doubleValue());
        assertEquals(
                Double.NEGATIVE_INFINITY, read("{\"a\": -Infinity}").path("a").doubleValue());
        assertEquals("9".repeat(1200), read("9".repeat(1200)).bigIntegerValue().toString());
        assertTrue(read("-0").isInt());
        assertTrue(read("2147483648").isLong());
        assertEquals(
                "a\ud83d\ude00\n\u0001", read("\"a\\ud83d\\ude00\\n\\u0001\"").textValue());
        assertEquals(
                60_000,
                read("{\"" + "k".repeat(60_000) + "\":1}").fieldNames().next().length());
    }

    @Test
    void readsTheSameTreesAsTheReferenceParser() throws IOException {
        ObjectMapper reference = new ObjectMapper();
        Random random = new Random(17);
        for (int i = 0; i < 2_000; i++) {
            String text = random(random, 0);
            assertEquals(reference.readTree(text), read(text), text);
        }
    }

    private static String random(Random random, int depth) {
        StringBuilder text = new StringBuilder();
        int kind = random.nextInt(depth > 4 ? 5 : 8);
        switch (kind) {
            case 0 -> text.append(random.nextInt());
            case 1 -> text.append(random.nextLong());
            case 2 -> text.append(random.nextGaussian() * Math.pow(10, random.nextInt(60) - 30));
            case 3 -> text.append(random.nextBoolean() ? "null" : "true");
            case 4 -> {
                text.append('"');
                for (int i = random.nextInt(12); i > 0; i--) {
                    text.append(
                            random.nextInt(4) == 0 ? "\\u00e9\\\"" : Character.toString(0x4e00 + random.nextInt(99)));
                }
                text.append('"');
            }
            default -> {
                boolean object = kind == 5;
                text.append(object ? "{\r\n" : "[ ");
                int count = random.nextInt(5);
                for (int i = 0; i < count; i++) {
                    text.append(i > 0 ? ",\t" : "").append(object ? "\"k" + i + "\" : " : "");
                    text.append(random(random, depth + 1));
                }
                text.append(object ? "}" : "\n]");
            }
        }
        return text.toString();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '~',
            value = {
                "{'a':1}                  | 1 | 2  | double quotes alone",
                "[1,]                     | 1 | 4  | comma stands before the closing ']'",
                "{\"a\":1,}               | 1 | 8  | comma stands before the closing '}'",
                "[1 // one\\n]            | 1 | 4  | no comments",
                "{\"a\"：1}               | 1 | 5  | Chinese punctuation typed here? Write ':'",
                "{“a”:1}                  | 1 | 2  | Chinese punctuation typed here? Write '\"'",
                "{\"a\":1，\"b\":2}       | 1 | 7  | Chinese punctuation typed here? Write ','",
                "【1]                      | 1 | 1  | Chinese punctuation typed here? Write '['",
                "[\\n1 2]                 | 2 | 3  | expected ','",
                "[None]                   | 1 | 2  | write null",
                "[True]                   | 1 | 2  | small letters",
                "[01]                     | 1 | 2  | no number",
                "[1.]                     | 1 | 2  | no number",
                "[-]                      | 1 | 2  | no number",
                "[abc]                    | 1 | 2  | double quotes",
                "[\\r\"a\\tb\"]           | 2 | 3  | write \\t",
                "[\"\\\\x\"]              | 1 | 3  | escape \\x",
                "[\"\\\\u12g4\"]          | 1 | 3  | four hexadecimal digits",
                "{\"a\":{\"b\":1,\"b\":2}} | 1 | 13 | \"b\" stands twice",
                "{\"a\":[1,2              | 1 | 10 | cut off",
            })
    void saysWhatIsWrongAndWhere(String text, int line, int column, String says) {
        String json = text.replace("\\n", "\n")
                .replace("\\r", "\r")
                .replace("\\t", "\t")
                .replace("\\\\", "\\");
        JsonSyntaxException failure = fails(json);
        assertTrue(failure.getMessage().contains(says), failure.getMessage());
        assertEquals(line + "/" + column, failure.line() + "/" + failure.column(), failure.getMessage());
    }

    @Test
    void aLimitIsCalledALimitWithItsField() {
        JsonSyntaxException deep = fails("{\"a\":{\"b\":" + "[".repeat(1_500) + "]".repeat(1_500) + "}}");
        assertEquals("a.b", deep.field());
        assertTrue(deep.getMessage().contains("limit of 1000 levels"), deep.getMessage());
        assertTrue(fails("[" + "1".repeat(5_000) + "]").getMessage().contains("limit of 4300"));
        assertTrue(fails("{\"" + "k".repeat(1_000_001) + "\":1}").getMessage().contains("limit of 1000000"));
    }

    @Test
    void aStreamOfValuesIsReadOneByOne() throws IOException {
        JsonReader reader = new JsonReader(new StringReader("[1, {\"a\": 2}]\n 3"));
        reader.enterArray();
        assertEquals("1", String.valueOf(reader.nextItem()));
        assertEquals("{\"a\":2}", String.valueOf(reader.nextItem()));
        assertNull(reader.nextItem());
        assertEquals(2, reader.hasMore() ? reader.line() : 0);
        assertEquals("3", String.valueOf(reader.next()));
        assertNull(reader.next());
    }

    @Test
    void filesAreNamedWithTheirFault(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("config.json");
        fileFails(file, new byte[] {(byte) 0xef, (byte) 0xbb, (byte) 0xbf, '{', '}'}, "byte order mark");
        fileFails(file, "{}".getBytes(StandardCharsets.UTF_16LE), "is no valid JSON");
        fileFails(file, "{}".getBytes(StandardCharsets.UTF_16), "UTF-16");
        fileFails(file, new byte[] {0x1f, (byte) 0x8b, 8}, "gzip");
        fileFails(file, new byte[] {'{', '\n', '"', (byte) 0xc4, (byte) 0xe3}, "line 2, column 2: the byte 0xC4");
        fileFails(file, new byte[0], "is empty");
        fileFails(file, "[]".getBytes(StandardCharsets.UTF_8), "holds no JSON object");
        fileFails(file, "{} {}".getBytes(StandardCharsets.UTF_8), "line 1, column 4");
        fileFails(file, "{\"a\": nul}".getBytes(StandardCharsets.UTF_8), "in the field \"a\"");
        fileFails(
                file,
                "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n".getBytes(StandardCharsets.UTF_8),
                "Git LFS pointer");
        fileFails(file, "\n<!DOCTYPE html>\n<html>".getBytes(StandardCharsets.UTF_8), "is a web page");
        fileFails(file, new byte[(int) JsonFile.SETTINGS_BYTES + 1], "limit for such a file is");
        ModelFileException none =
                assertThrows(ModelFileException.class, () -> JsonFile.object(folder.resolve("none.json")));
        assertTrue(none.getMessage().contains("is missing"), none.getMessage());
        ModelFileException isFolder = assertThrows(ModelFileException.class, () -> JsonFile.object(folder));
        assertTrue(isFolder.getMessage().contains("no regular file"), isFolder.getMessage());
    }

    private static void fileFails(Path file, byte[] bytes, String says) throws IOException {
        Files.write(file, bytes);
        ModelFileException failure = assertThrows(ModelFileException.class, () -> JsonFile.object(file));
        assertTrue(failure.getMessage().startsWith(file.toString()), failure.getMessage());
        assertTrue(failure.getMessage().contains(says), failure.getMessage());
    }

    @ParameterizedTest
    @ValueSource(strings = {"[1", "\"a", "{\"a\"", "{\"a\":", "\"\\u00", "[", "{"})
    void aTextThatEndsTooEarlyIsCutOff(String text) {
        assertTrue(fails(text).isCutOff());
    }
}
