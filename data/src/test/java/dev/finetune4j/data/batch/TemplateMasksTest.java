package dev.finetune4j.data.batch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * What published templates train: of a conversation of three turns with a system message, and of one with the call of a function, the
 * learned tokens are the answers with their ends, as {@code template-masks.json} has them. A template that cannot tell
 * answers from the rest is refused, with the reason that stands there.
 */
class TemplateMasksTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Pattern SPECIAL =
            Pattern.compile("<[|\uff5c][^<>\\s'\"{}]+[|\uff5c]>|<(?:start|end)_of_turn>|\\[/?INST]|\\[/?TOOL_CALLS]");
    private static final Conversation TURNS = Conversation.of(
            ChatMessage.system("System text."),
            ChatMessage.user("First question?"),
            ChatMessage.assistant("First answer."),
            ChatMessage.user("Second question?"),
            ChatMessage.assistant("Second answer."),
            ChatMessage.user("Third question?"),
            ChatMessage.assistant("Third answer."));

    @TempDir
    private Path folder;

    private static Conversation withTools() {
        Map<String, Object> schema = new LinkedHashMap<>();
        schema.put("type", "object");
        schema.put("properties", Map.of("city", Map.of("type", "string", "description", "A city.")));
        Map<String, Object> function = new LinkedHashMap<>();
        function.put("name", "weather");
        function.put("description", "The weather.");
        function.put("parameters", schema);
        Map<String, Object> tool = new LinkedHashMap<>();
        tool.put("type", "function");
        tool.put("function", function);
        Map<String, Object> called = new LinkedHashMap<>();
        called.put("name", "weather");
        called.put("arguments", Map.of("city", "Bonn"));
        Map<String, Object> call = new LinkedHashMap<>();
        call.put("id", "call00001");
        call.put("type", "function");
        call.put("function", called);
        return new Conversation(
                List.of(
                        ChatMessage.user("First question?"),
                        new ChatMessage(Role.ASSISTANT, "", Map.of("tool_calls", List.of(call))),
                        new ChatMessage(Role.TOOL, "Sunny.", Map.of("tool_call_id", "call00001", "name", "weather")),
                        ChatMessage.assistant("Last answer.")),
                List.of(tool));
    }

    @TestFactory
    Stream<DynamicTest> answersWithTheirEndsAreLearned() {
        Path shared = Needs.shared("fixtures/chat-templates");
        JsonNode golden = TestData.json(TestData.resource("data/template-masks.json"));
        List<DynamicTest> tests = new ArrayList<>();
        for (JsonNode entry : TestData.json(shared.resolve("index.json"))) {
            String name = entry.path("name").asText();
            tests.add(DynamicTest.dynamicTest(name, () -> {
                ObjectNode found = learned(shared, entry);
                assertEquals(golden.path(name), found);
            }));
        }
        assertTrue(tests.size() >= 40, tests.size() + " templates");
        return tests.stream();
    }

    /**
     * What LLaMA-Factory's templates of reasoning models do with an answer without thoughts: empty ones are learned with it, or,
     * where thinking is switched off, are a part of the prompt; thoughts of the row are left out then.
     */
    @Test
    void emptyThoughtsAreLearnedOrAskedFor() throws IOException {
        Path shared = Needs.shared("fixtures/chat-templates");
        JsonNode entry = null;
        for (JsonNode each : TestData.json(shared.resolve("index.json"))) {
            entry = each.path("name").asText().equals("qwen3") ? each : entry;
        }
        String prompt = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n";
        String empty = "<think>\n\n</think>\n\n";
        try (Tokenizer tokenizer = checkpoint(shared, Objects.requireNonNull(entry))) {
            ChatEncoder encoder = new ChatEncoder(
                    tokenizer, ChatTemplate.ofCheckpoint(tokenizer).orElseThrow());
            assertTrue(encoder.template().reads("enable_thinking"));
            Dataset rows =
                    Dataset.of(List.of(SftExample.of("q", "a"), SftExample.of("q", "<think>\nhm\n</think>\n\na")));
            assertEquals(
                    List.of(
                            prompt + "|" + empty + "a<|im_end|>|\n",
                            prompt + "|<think>\nhm\n</think>\n\na<|im_end|>|\n"),
                    parted(encoder, rows));
            String off = prompt + empty + "|a<|im_end|>|\n";
            Dataset quick = rows.withoutThoughts().withTemplateVariable("enable_thinking", false);
            assertEquals(List.of(off, off), parted(encoder, quick));
            assertEquals(
                    List.of("<|im_start|>system\ns<|im_end|>\n" + off, "<|im_start|>system\ns<|im_end|>\n" + off),
                    parted(encoder, quick.withSystem("s")));
        }
    }

    /** The texts of rows, with a line where what is learned begins and ends. */
    private static List<String> parted(ChatEncoder encoder, Dataset rows) {
        List<String> parted = new ArrayList<>();
        for (EncodedExample example : new SftEncoder(encoder, 4096).encode(rows).examples()) {
            EncodedSequence sequence = example.sequences().get(0);
            int[] ids = sequence.inputIds();
            StringBuilder text = new StringBuilder();
            int from = 0;
            for (int i = 1; i <= ids.length; i++) {
                // A label is the token after its place.
                boolean learned = i < ids.length && sequence.labels()[i - 1] != Labels.IGNORE;
                boolean before = i > 1 && sequence.labels()[i - 2] != Labels.IGNORE;
                if (i == ids.length || learned != before) {
                    text.append(encoder.tokenizer().decode(Arrays.copyOfRange(ids, from, i)))
                            .append(i == ids.length ? "" : "|");
                    from = i;
                }
            }
            parted.add(text.toString());
        }
        return parted;
    }

    private ObjectNode learned(Path shared, JsonNode entry) throws IOException {
        ObjectNode found = JSON.createObjectNode();
        try (Tokenizer tokenizer = checkpoint(shared, entry)) {
            ChatEncoder encoder = new ChatEncoder(
                    tokenizer, ChatTemplate.ofCheckpoint(tokenizer).orElseThrow());
            found.set("turns", learned(encoder, TURNS));
            if (found.path("turns").isTextual()) {
                List<ChatMessage> messages = TURNS.messages();
                found.set("without system", learned(encoder, new Conversation(messages.subList(1, messages.size()))));
            }
            if (entry.path("supports_tools").asBoolean()) {
                found.set("tools", learned(encoder, withTools()));
            }
        }
        return found;
    }

    /** The learned stretches, or the reason why there are none. */
    private static JsonNode learned(ChatEncoder encoder, Conversation conversation) {
        EncodedSequence sequence;
        try {
            sequence = new SftEncoder(encoder, 4096)
                    .encode(Dataset.of(List.of(SftExample.of(conversation))))
                    .examples()
                    .get(0)
                    .sequences()
                    .get(0);
        } catch (DatasetException e) {
            return JSON.getNodeFactory().textNode(e.getMessage().replaceFirst("^in-memory examples, row 0: ", ""));
        }
        ArrayNode stretches = JSON.createArrayNode();
        List<Integer> stretch = new ArrayList<>();
        for (int label : sequence.labels()) {
            if (label != Labels.IGNORE) {
                stretch.add(label);
            } else if (!stretch.isEmpty()) {
                stretches.add(encoder.tokenizer()
                        .decode(stretch.stream().mapToInt(i -> i).toArray()));
                stretch.clear();
            }
        }
        return stretches;
    }

    /** A tokenizer whose special tokens are those that the template writes, with the template beside it. */
    private Tokenizer checkpoint(Path shared, JsonNode entry) throws IOException {
        String source = Files.readString(shared.resolve(entry.path("name").asText() + ".jinja"));
        ObjectNode definition = (ObjectNode) TestData.json(TestData.resource("text/bytelevel/tokenizer.json"));
        ArrayNode added = definition.withArray("added_tokens");
        Set<String> known = new TreeSet<>();
        int last = definition.path("model").path("vocab").size();
        for (JsonNode token : added) {
            known.add(token.path("content").asText());
            last = Math.max(last, token.path("id").asInt() + 1);
        }
        Set<String> specials = SPECIAL.matcher(source)
                .results()
                .map(MatchResult::group)
                .collect(Collectors.toCollection(TreeSet::new));
        if (source.contains("<|{{")) {
            // Made of the names of roles, which the text of the template does not show.
            specials.addAll(List.of("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>", "<|tool|>"));
        }
        ObjectNode config = JSON.createObjectNode();
        for (String part : List.of("bos_token", "eos_token")) {
            config.set(part, entry.path(part));
            specials.add(entry.path(part).asText());
        }
        specials.removeAll(known);
        specials.remove("");
        for (String special : specials) {
            ObjectNode token = added.addObject();
            token.put("id", last++).put("content", special).put("special", true);
            for (String flag : List.of("single_word", "lstrip", "rstrip", "normalized")) {
                token.put(flag, false);
            }
        }
        Path checkpoint = Files.createTempDirectory(folder, "checkpoint");
        JSON.writeValue(checkpoint.resolve("tokenizer.json").toFile(), definition);
        JSON.writeValue(checkpoint.resolve("tokenizer_config.json").toFile(), config);
        Files.writeString(checkpoint.resolve("chat_template.jinja"), source);
        return Tokenizer.load(checkpoint);
    }
}
