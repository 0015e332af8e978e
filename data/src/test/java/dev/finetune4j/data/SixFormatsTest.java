package dev.finetune4j.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.SftEncoder;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The same rows in six formats give identical batches. */
class SixFormatsTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int ROWS = 300;
    private static final List<String> WORDS = List.of(
            "who",
            "北京",
            "a,b",
            "\"quoted\"",
            "line\nbreak",
            "tab\t",
            "🙂",
            "{{",
            "'",
            ";",
            "é\u0301",
            "\\n",
            "<b>",
            "7");

    @TempDir
    private Path folder;

    private static String text(Random random) {
        StringBuilder text = new StringBuilder("x");
        for (int i = random.nextInt(30); i >= 0; i--) {
            text.append(random.nextBoolean() ? " " : "").append(WORDS.get(random.nextInt(WORDS.size())));
        }
        return text.toString();
    }

    private Path lines(String name, List<ObjectNode> rows) throws IOException {
        List<String> lines = new ArrayList<>();
        for (ObjectNode row : rows) {
            lines.add(JSON.writeValueAsString(row));
        }
        return Files.write(folder.resolve(name), lines);
    }

    private static ArrayNode messages(String who, String what, String user, String assistant, String[] row) {
        ArrayNode messages = JSON.createArrayNode();
        messages.addObject().put(who, user).put(what, row[0]);
        messages.addObject().put(who, assistant).put(what, row[1]);
        return messages;
    }

    private static String cell(String text) {
        return "\"" + text.replace("\"", "\"\"") + "\"";
    }

    private Map<String, Path> write(List<String[]> rows) throws IOException {
        Map<String, Path> files = new TreeMap<>();
        List<ObjectNode> alpaca = new ArrayList<>();
        List<ObjectNode> shared = new ArrayList<>();
        List<ObjectNode> open = new ArrayList<>();
        List<ObjectNode> prompts = new ArrayList<>();
        StringBuilder table = new StringBuilder("id,instruction,output\r\n");
        for (String[] row : rows) {
            alpaca.add(JSON.createObjectNode()
                    .put("instruction", row[0])
                    .put("input", "")
                    .put("output", row[1]));
            shared.add(JSON.createObjectNode().set("conversations", messages("from", "value", "human", "gpt", row)));
            open.add(JSON.createObjectNode().set("messages", messages("role", "content", "user", "assistant", row)));
            prompts.add(JSON.createObjectNode().put("prompt", row[0]).put("completion", row[1]));
            table.append("7,")
                    .append(cell(row[0]))
                    .append(',')
                    .append(cell(row[1]))
                    .append("\r\n");
        }
        files.put("alpaca", Files.writeString(folder.resolve("a.json"), array(alpaca)));
        files.put("sharegpt", lines("s.jsonl", shared));
        files.put("messages", lines("m.jsonl", open));
        files.put("prompt/completion", lines("p.jsonl", prompts));
        files.put("csv", Files.writeString(folder.resolve("t.csv"), table));
        files.put(
                "parquet",
                ParquetWriting.write(
                        folder.resolve("t.parquet"),
                        rows.stream().map(row -> row[0]).toList(),
                        rows.stream().map(row -> row[1]).toList()));
        return files;
    }

    private static String array(List<ObjectNode> rows) throws JsonProcessingException {
        return JSON.writerWithDefaultPrettyPrinter().writeValueAsString(rows);
    }

    private static List<Batch> batches(SftEncoder encoder, Path file) {
        BatchLoader loader =
                new BatchLoader(encoder.encode(Dataset.read(file)).examples(), 4, 2, 11, new Collator(0, 8), true);
        List<Batch> batches = new ArrayList<>();
        for (int i = 0; i < loader.stepsPerEpoch(); i++) {
            batches.addAll(loader.next().microBatches());
        }
        return batches;
    }

    @Test
    void batchesAreIdentical() throws IOException {
        Random random = new Random(5);
        List<String[]> rows = new ArrayList<>();
        for (int i = 0; i < ROWS; i++) {
            rows.add(new String[] {text(random), text(random)});
        }
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            SftEncoder encoder = new SftEncoder(new ChatEncoder(tokenizer, ChatTemplate.named("chatml")), 1024);
            Map<String, Path> files = write(rows);
            assertEquals(6, files.size());
            List<Batch> expected = batches(encoder, files.get("alpaca"));
            assertEquals((ROWS + 3) / 4, expected.size());
            files.forEach((format, file) -> {
                List<Batch> found = batches(encoder, file);
                assertEquals(expected.size(), found.size(), format);
                for (int i = 0; i < found.size(); i++) {
                    assertArrayEquals(expected.get(i).inputIds(), found.get(i).inputIds(), format);
                    assertArrayEquals(expected.get(i).labels(), found.get(i).labels(), format);
                }
            });
        }
    }
}
