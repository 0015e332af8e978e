package dev.finetune4j.data;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Damaged files of each format give rows, or an error of ours with a position; nothing else. */
class DatasetFuzzTest {
    private static final long SEED = 21;
    private static final int SAMPLE = 60;
    private static final int ALL = 20_000;

    /** What holds for a whole file. */
    private static final Pattern OF_FILE = Pattern.compile(
            "is empty|begins with|holds no rows|is gzip data|is a zip|is zstd|is UTF-16|is a database|is a Parquet file");

    private static final List<String> PIECES = List.of(
            "\"",
            "\\",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\n",
            "\r\n",
            "\t",
            "null",
            "true",
            "1e9",
            "-",
            "\\u12",
            "\\ud83d",
            "NaN",
            "\u0000",
            "\uFEFF",
            "{\"from\":",
            "\"value\"",
            "\"role\":\"tool\"",
            "\"content\":[]",
            ";",
            "[[]]",
            "é",
            "🙂",
            "\"messages\":7",
            "\"type\":\"image\"",
            "loss_weight",
            "   ",
            "// ",
            "'");

    @TempDir
    private Path folder;

    private static Map<String, String> formats() {
        Map<String, String> formats = new TreeMap<>();
        formats.put("alpaca.json", """
            [{"instruction": "q1", "input": "x", "output": "a1", "history": [["h", "r"]], "system": "s"},
             {"instruction": "q2", "output": "a2"}]
            """);
        formats.put("sharegpt.jsonl", """
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"}
            {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": "{\\"name\\": \\"f\\", \\"arguments\\": {}}"}, {"from": "observation", "value": "1"}, {"from": "gpt", "value": "a"}], "tools": "[{\\"name\\": \\"f\\"}]"}
            """);
        formats.put("messages.jsonl", """
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "q"}]}, {"role": "assistant", "content": "a"}]}
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "content": "1", "tool_call_id": "1"}, {"role": "assistant", "content": "a", "loss_weight": 1}], "tools": [{"type": "function", "function": {"name": "f"}}]}
            """);
        formats.put("prompt.jsonl", """
            {"prompt": "q", "completion": "a"}
            {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}
            """);
        formats.put("pairs.json", """
            [{"prompt": "q", "chosen": "g", "rejected": "b"},
             {"conversations": [{"from": "human", "value": "q"}], "prompt": "q", "chosen": {"from": "gpt", "value": "g"}, "rejected": {"from": "gpt", "value": "b"}}]
            """);
        formats.put("kto.jsonl", """
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "label": true}
            {"messages": [{"role": "user", "content": "r"}, {"role": "assistant", "content": "b"}], "label": false}
            """);
        formats.put("text.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
        formats.put("v1.jsonl", """
            {"messages": [{"role": "user", "content": [{"type": "text", "value": "q"}], "loss_weight": 0.0}, {"role": "assistant", "content": [{"type": "reasoning", "value": "t"}, {"type": "text", "value": "a"}], "loss_weight": 1.0}]}
            """);
        formats.put("table.csv", "instruction,input,output\r\n\"q, \"\"1\"\"\",\"x\ny\",a\r\nq2,,a2\r\n");
        formats.put("table.tsv", "prompt\tcompletion\tlabel\nq\ta\ttrue\nq2\ta2\tfalse\n");
        formats.put("text.txt", "A paragraph.\n\nAnother one.\n");
        formats.put("packed.jsonl.gz", "{\"instruction\": \"q\", \"output\": \"a\"}\n".repeat(3));
        formats.put("table.parquet", "");
        return formats;
    }

    @TestFactory
    Stream<DynamicTest> mutationsGiveRowsOrErrors() {
        return tests(SAMPLE);
    }

    @TestFactory
    @Tag("slow")
    Stream<DynamicTest> manyMutationsGiveRowsOrErrors() {
        return Boolean.getBoolean("finetune4j.long") ? tests(ALL) : Stream.of();
    }

    private Stream<DynamicTest> tests(int count) {
        return formats().entrySet().stream()
                .map(format -> DynamicTest.dynamicTest(
                        format.getKey() + ", seed " + SEED, () -> mutate(format.getKey(), format.getValue(), count)));
    }

    private void mutate(String name, String text, int count) throws IOException {
        Path file = folder.resolve(name);
        byte[] sound = text.getBytes(StandardCharsets.UTF_8);
        if (name.endsWith(".parquet")) {
            sound = Files.readAllBytes(ParquetWriting.write(file, List.of("q1", "q2"), List.of("a1", "a2")));
        }
        boolean packs = name.endsWith(".gz");
        Random random = new Random(SEED + name.hashCode());
        int read = 0;
        for (int i = 0; i < count; i++) {
            boolean inside = packs && random.nextBoolean();
            byte[] bytes = packs && !inside ? mutated(pack(sound), random) : mutated(sound, random);
            Files.write(file, inside ? pack(bytes) : bytes);
            read += check(file, name + ", mutation " + i + " of seed " + SEED) ? 1 : 0;
        }
        System.out.println(name + ": " + read + " of " + count + " mutations were read");
    }

    private static boolean check(Path file, String what) {
        try {
            assertFalse(Dataset.read(file).examples().isEmpty(), what);
            return true;
        } catch (DatasetException e) {
            BrokenCase.ours(file, e);
            for (DatasetProblem problem : e.problems()) {
                assertTrue(
                        problem.row() != null
                                || problem.line() != null
                                || OF_FILE.matcher(problem.text()).find(),
                        () -> what + ": " + problem);
            }
            return false;
        } catch (RuntimeException | Error e) {
            throw new AssertionError(what + " in " + file, e);
        }
    }

    private static byte[] pack(byte[] bytes) throws IOException {
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (GZIPOutputStream out = new GZIPOutputStream(packed)) {
            out.write(bytes);
        }
        return packed.toByteArray();
    }

    private static byte[] mutated(byte[] sound, Random random) {
        byte[] bytes = sound;
        for (int i = random.nextInt(3); i >= 0; i--) {
            int at = random.nextInt(bytes.length + 1);
            int end = Math.min(bytes.length, at + 1 + random.nextInt(6));
            byte[] piece = switch (random.nextInt(5)) {
                case 0 -> new byte[0];
                case 1 -> new byte[] {(byte) random.nextInt(256)};
                case 2 -> {
                    int from = random.nextInt(bytes.length + 1);
                    yield Arrays.copyOfRange(bytes, from, Math.min(bytes.length, from + random.nextInt(20)));
                }
                default -> PIECES.get(random.nextInt(PIECES.size())).getBytes(StandardCharsets.UTF_8);
            };
            boolean inserts = random.nextInt(3) == 0;
            bytes = random.nextInt(40) == 0 ? Arrays.copyOf(bytes, at) : spliced(bytes, at, inserts ? at : end, piece);
        }
        return bytes;
    }

    private static byte[] spliced(byte[] bytes, int start, int end, byte[] piece) {
        byte[] result = new byte[bytes.length - (end - start) + piece.length];
        System.arraycopy(bytes, 0, result, 0, start);
        System.arraycopy(piece, 0, result, start, piece.length);
        System.arraycopy(bytes, end, result, start + piece.length, bytes.length - end);
        return result;
    }
}
