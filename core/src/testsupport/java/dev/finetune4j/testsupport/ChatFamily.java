package dev.finetune4j.testsupport;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Role;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.StreamSupport;
import org.jspecify.annotations.Nullable;

/**
 * How the chat models of a family are set up, as {@code text/families/NAME.json} has it: the family's special tokens on a small
 * vocabulary, its tokenizer_config.json and generation_config.json, a template of its format, and the ids that transformers makes of
 * conversations. The folder's README.md says where they come from.
 */
public final class ChatFamily {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String name;
    private final JsonNode all;

    private ChatFamily(String name) {
        this.name = name;
        this.all = TestData.json(TestData.resource("text/families/" + name + ".json"));
    }

    /** All that there are. */
    public static List<ChatFamily> all() {
        return List.of(
                        "smollm3",
                        "granite",
                        "olmo2",
                        "glm4",
                        "glm",
                        "cohere",
                        "cohere2",
                        "phi4",
                        "phi4_mini",
                        "internlm2",
                        "qwen3_moe",
                        "qwen2_moe",
                        "mixtral")
                .stream()
                .map(ChatFamily::new)
                .toList();
    }

    public String name() {
        return name;
    }

    /** The name of a published template of the family among the shared fixtures; empty if there is none. */
    public String published() {
        return all.path("published").asText();
    }

    @Override
    public String toString() {
        return name;
    }

    /** The family's tokenizer, its template and the ids that end generation. */
    public Path write(Path folder) {
        return write(folder, null);
    }

    /**
     * The same with another template.
     *
     * @param template in place of the one in the file; null for that
     */
    public Path write(Path folder, @Nullable String template) {
        ObjectNode definition = (ObjectNode)
                TestData.json(TestData.resource("text/" + all.path("base").asText() + "/tokenizer.json"));
        ObjectNode vocabulary = (ObjectNode) definition.path("model").path("vocab");
        Set<Integer> kept = new TreeSet<>();
        all.path("added_tokens").forEach(token -> kept.add(token.path("id").asInt()));
        definition.path("added_tokens").forEach(token -> {
            if (!kept.contains(token.path("id").asInt())) {
                vocabulary.remove(token.path("content").asText());
                vocabulary.set("unused " + token.path("id").asInt(), token.path("id"));
            }
        });
        definition.set("added_tokens", all.path("added_tokens"));
        definition.set("post_processor", all.path("post_processor"));
        ObjectNode config = all.path("tokenizer_config").deepCopy();
        if (template != null) {
            config.put("chat_template", template);
        }
        try {
            Files.createDirectories(folder);
            JSON.writeValue(folder.resolve("tokenizer.json").toFile(), definition);
            JSON.writeValue(folder.resolve("tokenizer_config.json").toFile(), config);
            JSON.writeValue(folder.resolve("generation_config.json").toFile(), all.path("generation_config"));
            return folder;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The ids at which transformers ends generation. */
    public Set<Integer> ends() {
        JsonNode eos = all.path("generation_config").path("eos_token_id");
        Set<Integer> ends = new TreeSet<>();
        if (eos.isInt()) {
            ends.add(eos.intValue());
        }
        eos.forEach(id -> ends.add(id.intValue()));
        return ends;
    }

    /** A text and its ids with what the tokenizer puts around it. */
    public JsonNode plain() {
        return all.path("plain");
    }

    /** Conversations with their ids. */
    public List<JsonNode> cases() {
        return StreamSupport.stream(all.path("cases").spliterator(), false).toList();
    }

    /** The conversation of a case. */
    public static Conversation conversation(JsonNode item) {
        Map<String, @Nullable Object> variables = map(item.path("variables"));
        variables.keySet().removeAll(Set.of("bos_token", "eos_token"));
        return conversation(item, variables);
    }

    /**
     * The messages and tools of a case.
     *
     * @throws IllegalArgumentException if the order of the messages is none that a conversation has
     */
    public static Conversation conversation(JsonNode item, Map<String, @Nullable Object> variables) {
        List<ChatMessage> messages = new ArrayList<>();
        for (JsonNode message : item.path("messages")) {
            Map<String, @Nullable Object> fields = map(message);
            Role role = Role.valueOf(String.valueOf(fields.remove("role")).toUpperCase(Locale.ROOT));
            Object content = fields.get("content");
            if (content instanceof String) {
                fields.remove("content");
            }
            messages.add(new ChatMessage(role, content instanceof String text ? text : "", fields));
        }
        List<Map<String, @Nullable Object>> tools = new ArrayList<>();
        item.path("tools").forEach(tool -> tools.add(map(tool)));
        return new Conversation(messages, tools, variables);
    }

    private static Map<String, @Nullable Object> map(JsonNode object) {
        return object.isObject()
                ? JSON.convertValue(object, new TypeReference<LinkedHashMap<String, @Nullable Object>>() {})
                : new LinkedHashMap<>();
    }
}
