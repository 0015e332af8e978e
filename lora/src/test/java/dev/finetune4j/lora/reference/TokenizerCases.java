package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.core.text.jinja.JinjaTemplate;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.time.Clock;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** Ids, texts and chats against transformers: {@code tokenizers/*}. */
final class TokenizerCases {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Set<String> TEXT_FIELDS = Set.of("text", "ids", "decoded", "decoded_skip_special");
    private static final Set<String> CHAT_FIELDS = Set.of("messages", "add_generation_prompt", "text", "ids");

    private TokenizerCases() {}

    static List<ReferenceCase> of(ReferenceFolder reference) {
        List<ReferenceCase> cases = new ArrayList<>();
        for (Path folder : reference.folders("tokenizers")) {
            JsonNode golden = TestData.json(folder.resolve("golden.json"));
            add(cases, folder, "contents", tokenizer -> requireFields(Set.of("encode", "chat"), golden));
            for (int i = 0; i < golden.path("encode").size(); i++) {
                JsonNode item = golden.path("encode").get(i);
                add(cases, folder, "encode " + i, tokenizer -> encode(tokenizer, item));
                add(cases, folder, "decode " + i, tokenizer -> decode(tokenizer, item));
            }
            for (int i = 0; i < golden.path("chat").size(); i++) {
                JsonNode item = golden.path("chat").get(i);
                add(cases, folder, "chat " + i, tokenizer -> chat(tokenizer, item));
            }
        }
        return cases;
    }

    @FunctionalInterface
    private interface TokenizerCheck {
        void run(Tokenizer tokenizer);
    }

    private static void add(List<ReferenceCase> cases, Path folder, String what, TokenizerCheck check) {
        List<Path> files = new ArrayList<>();
        for (String name : List.of(
                "golden.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "special_tokens_map.json",
                "chat_template.jinja")) {
            files.add(folder.resolve(name));
        }
        cases.add(new ReferenceCase("tokenizers", ReferenceFolder.name(folder) + " " + what, files, near -> {
            try (Tokenizer tokenizer = Tokenizer.load(folder)) {
                check.run(tokenizer);
            }
        }));
    }

    private static void requireFields(Set<String> expected, JsonNode node) {
        Set<String> fields = new TreeSet<>();
        node.fieldNames().forEachRemaining(fields::add);
        assertEquals(new TreeSet<>(expected), fields, "fields with expected values");
    }

    private static void encode(Tokenizer tokenizer, JsonNode item) {
        requireFields(TEXT_FIELDS, item);
        String text = item.path("text").asText();
        assertArrayEquals(TestData.ints(item.path("ids")), tokenizer.encode(text), text);
    }

    private static void decode(Tokenizer tokenizer, JsonNode item) {
        int[] ids = TestData.ints(item.path("ids"));
        assertEquals(item.path("decoded").asText(), tokenizer.decode(ids, false));
        assertEquals(item.path("decoded_skip_special").asText(), tokenizer.decode(ids, true));
    }

    /** The checkpoint's own template gives the text, and it and the one chosen for chats give the ids. */
    private static void chat(Tokenizer tokenizer, JsonNode item) {
        requireFields(CHAT_FIELDS, item);
        String source = tokenizer.chatTemplateSource().orElseThrow();
        String text = item.path("text").asText();
        int[] ids = TestData.ints(item.path("ids"));
        boolean prompt = item.path("add_generation_prompt").asBoolean();
        JinjaTemplate template = JinjaTemplate.parse(source);
        Map<String, Object> variables = variables(tokenizer, item, prompt);
        assertEquals(text, template.render(variables, Clock.systemUTC()).text());
        assertArrayEquals(ids, tokenizer.encode(text), text);
        for (ChatTemplate chosen : List.of(
                ChatTemplate.jinja(source, tokenizer),
                ChatTemplate.ofCheckpoint(tokenizer).orElseThrow())) {
            ChatEncoder encoder = new ChatEncoder(tokenizer, chosen);
            assertArrayEquals(ids, encoder.encode(conversation(item), prompt).ids(), chosen::name);
        }
    }

    private static Map<String, Object> variables(Tokenizer tokenizer, JsonNode item, boolean prompt) {
        Map<String, Object> variables = new LinkedHashMap<>();
        variables.put("messages", JSON.convertValue(item.path("messages"), List.class));
        variables.put("add_generation_prompt", prompt);
        tokenizer.bosToken().ifPresent(token -> variables.put("bos_token", token));
        tokenizer.eosToken().ifPresent(token -> variables.put("eos_token", token));
        tokenizer.padToken().ifPresent(token -> variables.put("pad_token", token));
        tokenizer.unkToken().ifPresent(token -> variables.put("unk_token", token));
        return variables;
    }

    private static Conversation conversation(JsonNode item) {
        List<ChatMessage> messages = new ArrayList<>();
        for (JsonNode message : item.path("messages")) {
            assertTrue(message.path("content").isTextual(), () -> "a message without text: " + message);
            Role role = Role.valueOf(message.path("role").asText().toUpperCase(Locale.ROOT));
            messages.add(new ChatMessage(role, message.path("content").asText()));
        }
        return new Conversation(messages);
    }
}
