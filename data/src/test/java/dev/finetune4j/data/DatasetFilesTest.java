package dev.finetune4j.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/**
 * Real files, against what the converter of LLaMA-Factory makes of them, and broken ones. {@code -Dfinetune4j.datasets=FOLDER}
 * names another folder of the same layout.
 */
class DatasetFilesTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String EXPECTED = "expected.json";

    private static Path folder() {
        String other = System.getProperty("finetune4j.datasets");
        return other == null ? Needs.shared("fixtures/datasets") : Path.of(other);
    }

    @TestFactory
    Stream<DynamicTest> countsAndConversationsAgree() {
        Path folder = folder();
        JsonNode files = TestData.json(folder.resolve(EXPECTED)).path("files");
        assertFalse(files.isEmpty(), "no files in " + folder);
        return files.properties().stream()
                .map(entry -> DynamicTest.dynamicTest(
                        entry.getKey(), () -> agrees(folder, entry.getKey(), entry.getValue())));
    }

    /** Once by what the columns show, and once by the description if there is one. */
    private static void agrees(Path folder, String name, JsonNode expected) throws JsonProcessingException {
        agrees(Dataset.read(folder.resolve(name)), expected);
        Path info = folder.resolve("dataset_info.json");
        if (!Files.exists(info)) {
            return;
        }
        for (Map.Entry<String, JsonNode> entry : TestData.json(info).properties()) {
            if (entry.getValue().path("file_name").asText().equals(name)) {
                agrees(Dataset.named(folder, entry.getKey()), expected);
            }
        }
    }

    private static void agrees(Dataset dataset, JsonNode expected) throws JsonProcessingException {
        assertEquals(expected.path("rows").asInt(), dataset.size());
        if (expected.has("turn_count_total")) {
            int turns = 0;
            for (Example example : dataset.examples()) {
                turns += turns(example);
            }
            assertEquals(expected.path("turn_count_total").asInt(), turns);
        }
        if (expected.has("kto_true")) {
            long good = dataset.examples().stream()
                    .filter(example -> ((KtoExample) example).desirable())
                    .count();
            assertEquals(expected.path("kto_true").asLong(), good);
            assertEquals(expected.path("kto_false").asLong(), dataset.size() - good);
        }
        assertTrue(expected.path("examples").size() >= 1);
        for (JsonNode row : expected.path("examples")) {
            Example example = dataset.examples().get(row.path("row").asInt());
            assertEquals(
                    JSON.readTree(wanted(row).toString()),
                    JSON.readTree(read(example).toString()));
            assertEquals(row.path("row").asLong(), example.where().row());
        }
    }

    /** Messages without those that are judged, as LLaMA-Factory counts turns. */
    private static int turns(Example example) {
        if (example instanceof PreferenceExample pair) {
            return withoutSystem(pair.prompt()).size();
        }
        return example instanceof KtoExample kto
                ? withoutSystem(kto.conversation()).size() - 1
                : withoutSystem(((SftExample) example).conversation()).size();
    }

    private static List<ChatMessage> withoutSystem(Conversation conversation) {
        return conversation.messages().stream()
                .filter(message -> message.role() != Role.SYSTEM)
                .toList();
    }

    /** What a row must say, with functions and parts as values instead of texts. */
    private static ObjectNode wanted(JsonNode row) throws JsonProcessingException {
        ObjectNode wanted = JSON.createObjectNode();
        if (row.has("text")) {
            return wanted.set("text", row.path("text"));
        }
        wanted.put("system", row.path("system").asText(""));
        wanted.set(
                "tools",
                row.path("tools").asText("").isBlank()
                        ? JSON.createArrayNode()
                        : JSON.readTree(row.path("tools").asText()));
        ArrayNode messages = wanted.putArray("messages");
        for (JsonNode message : row.path("messages")) {
            if (!message.path("role").asText().equals("system")) {
                messages.add(wantedMessage(message));
            }
        }
        for (String answer : List.of("chosen", "rejected")) {
            if (row.has(answer)) {
                wanted.set(answer, wantedMessage(row.path(answer)));
            }
        }
        if (row.has("kto_label")) {
            wanted.set("kto_label", row.path("kto_label"));
            messages.addObject().put("role", "assistant").set("content", row.path("response"));
        }
        return wanted;
    }

    private static ObjectNode wantedMessage(JsonNode message) throws JsonProcessingException {
        ObjectNode wanted = JSON.createObjectNode();
        String role = message.path("role").asText();
        JsonNode content = message.path("content");
        if (content.isArray()) {
            StringBuilder text = new StringBuilder();
            content.forEach(part -> text.append(part.path("value").asText()));
            wanted.put("role", role).put("content", text.toString());
            return message.has("loss_weight") ? wanted.set("loss_weight", message.path("loss_weight")) : wanted;
        }
        if (role.equals("function")) {
            JsonNode calls = JSON.readTree(content.asText());
            return wanted.put("role", role)
                    .set(
                            "content",
                            calls.isArray() ? calls : JSON.createArrayNode().add(calls));
        }
        return wanted.put("role", role).put("content", content.asText());
    }

    private static ObjectNode read(Example example) {
        ObjectNode read = JSON.createObjectNode();
        if (example instanceof TextExample text) {
            return read.put("text", text.text());
        }
        if (example instanceof PreferenceExample pair) {
            conversation(read, pair.prompt(), List.of());
            read.set("chosen", message(pair.chosen()));
            read.set("rejected", message(pair.rejected()));
        } else if (example instanceof KtoExample kto) {
            conversation(read, kto.conversation(), List.of());
            read.put("kto_label", kto.desirable());
        } else if (example instanceof SftExample sft) {
            conversation(read, sft.conversation(), sft.lossWeights());
        }
        return read;
    }

    private static void conversation(ObjectNode read, Conversation conversation, List<Double> weights) {
        read.put("system", conversation.system().orElse(""));
        ArrayNode tools = read.putArray("tools");
        conversation.tools().forEach(tool -> tools.add(JSON.valueToTree(tool.get("function"))));
        ArrayNode messages = read.putArray("messages");
        for (int i = 0; i < conversation.messages().size(); i++) {
            ObjectNode message = message(conversation.messages().get(i));
            if (!weights.isEmpty()) {
                message.put("loss_weight", weights.get(i));
            }
            if (conversation.messages().get(i).role() != Role.SYSTEM) {
                messages.add(message);
            }
        }
    }

    private static ObjectNode message(ChatMessage message) {
        ObjectNode read = JSON.createObjectNode();
        if (message.fields().get("tool_calls") instanceof List<?> calls) {
            ArrayNode list = read.put("role", "function").putArray("content");
            calls.forEach(call -> list.add(JSON.valueToTree(((Map<?, ?>) call).get("function"))));
            return read;
        }
        String role = message.role() == Role.TOOL
                ? "observation"
                : message.role().name().toLowerCase(Locale.ROOT);
        return read.put("role", role).put("content", message.content());
    }

    @TestFactory
    Stream<DynamicTest> brokenFilesAreReadWholeOrRefusedWithTheirPlace() {
        Path broken = folder().resolve("broken");
        JsonNode cases = TestData.json(broken.resolve(EXPECTED)).path("cases");
        assertFalse(cases.isEmpty(), "no cases in " + broken);
        return cases.properties().stream()
                .map(entry -> DynamicTest.dynamicTest(
                        entry.getKey(), () -> BrokenCase.check(broken.resolve(entry.getKey()), entry.getValue())));
    }

    /**
     * Many small odd files, in a folder named by the property: each gives rows, or an error that names the file; those that
     * {@code expected.json} beside them has, in the form of {@code odd-files.json}, give just that.
     */
    @TestFactory
    Stream<DynamicTest> oddFilesGiveRowsOrAnErrorOfOurs() throws IOException {
        Path odd = folder().resolve("odd");
        if (!Files.isDirectory(odd)) {
            return Stream.of();
        }
        JsonNode expected =
                Files.exists(odd.resolve(EXPECTED)) ? TestData.json(odd.resolve(EXPECTED)) : JSON.createObjectNode();
        return files(odd).stream().filter(file -> !file.endsWith(EXPECTED)).map(file -> {
            String name = file.getFileName().toString();
            return DynamicTest.dynamicTest(name, () -> {
                BrokenCase.checkOdd(file);
                if (expected.has(name)) {
                    OddFile.check(file, expected.path(name));
                }
            });
        });
    }

    /**
     * Odd files whose rows are known: those that Python's json and the converters of LLaMA-Factory make of them, or the place of
     * what is wrong, as Python tells it where it refuses the file too.
     */
    @TestFactory
    Stream<DynamicTest> knownOddFilesGiveTheRowsOfPythonOrThePlace() throws IOException {
        JsonNode expected;
        try (InputStream rows = DatasetFilesTest.class.getResourceAsStream("/data/odd-files.json")) {
            expected = JSON.readTree(rows);
        }
        List<Path> files = files(Needs.shared("fixtures/reports/data"));
        assertEquals(
                expected.properties().stream().map(Map.Entry::getKey).toList(),
                files.stream().map(file -> file.getFileName().toString()).toList());
        return files.stream().map(file -> {
            String name = file.getFileName().toString();
            return DynamicTest.dynamicTest(name, () -> OddFile.check(file, expected.path(name)));
        });
    }

    private static List<Path> files(Path folder) throws IOException {
        try (Stream<Path> all = Files.list(folder)) {
            return all.sorted().toList();
        }
    }
}
