package dev.finetune4j.lora.reports;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.core.text.Segment;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.batch.SftEncoder;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** Ids and laid-out conversations against those of transformers, and what of them is trained. */
final class TextChecks {
    private static final ObjectMapper JSON = new ObjectMapper();

    private TextChecks() {}

    static void tokens(ReportFolder report, Path folder) {
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            assertArrayEquals(
                    TestData.ints(report.expected().path("ids")),
                    tokenizer.encode(report.expected().path("text").asText()));
        }
    }

    static void chat(ReportFolder report, Path folder) {
        JsonNode messages = TestData.json(folder.resolve("messages.json"));
        boolean prompt = messages.path("add_generation_prompt").asBoolean();
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            ChatEncoder encoder = encoder(tokenizer);
            Conversation conversation = conversation(messages);
            assertEquals(report.expected().path("text").asText(), written(encoder, conversation, prompt));
            assertArrayEquals(
                    TestData.ints(report.expected().path("ids")),
                    encoder.encode(conversation, prompt).ids());
        }
    }

    /** Every answer is trained, and the data report warns of those that do not end with a stop id. */
    static void answers(ReportFolder report, Path folder) {
        Conversation conversation = conversation(TestData.json(folder.resolve("messages.json")));
        long answers = conversation.messages().stream()
                .filter(message -> message.role() == Role.ASSISTANT)
                .count();
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            ChatEncoder encoder = encoder(tokenizer);
            tokenizer
                    .eosToken()
                    .ifPresent(token -> assertTrue(
                            encoder.stopIds().contains(tokenizer.idOf(token).orElse(-1)),
                            () -> "stop ids " + encoder.stopIds() + " without " + token));
            DataReport data = new SftEncoder(encoder, 4096)
                    .encode(Dataset.of(List.of(SftExample.of(conversation))))
                    .report();
            assertEquals(answers, data.answers(), "trained answers");
            assertEquals(data.answersWithStop() < answers, !data.warnings().isEmpty(), data::toString);
        }
    }

    /**
     * A message that spells the tokens with which roles begin. The first of them begins the message, the last one the
     * answer; those between are the message's own text.
     */
    static void roles(ReportFolder report, Path folder) {
        JsonNode expected = report.expected();
        Set<Integer> roles = Arrays.stream(TestData.ints(expected.path("role_token_ids")))
                .boxed()
                .collect(Collectors.toSet());
        int[] unsafe = TestData.ints(expected.path("ids_transformers"));
        int[] places = IntStream.range(0, unsafe.length)
                .filter(i -> roles.contains(unsafe[i]))
                .toArray();
        int first = places[0];
        int last = places[places.length - 1];
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            String text = expected.path("text").asText();
            String begin = tokenizer.tokenOf(unsafe[first]);
            String answerBegin = tokenizer.tokenOf(unsafe[last]);
            int messageAt = text.indexOf(begin) + begin.length();
            int answerAt = text.lastIndexOf(answerBegin);
            String message = text.substring(messageAt, answerAt);
            String answer = text.substring(answerAt + answerBegin.length());
            String end = tokenizer.eosToken().orElseThrow();
            assertTrue(answer.endsWith(end), () -> "an answer that does not end with " + end);
            ChatEncoder encoder = encoder(tokenizer);
            Conversation conversation = Conversation.of(
                    ChatMessage.user(message),
                    ChatMessage.assistant(answer.substring(0, answer.length() - end.length())));
            // With the announcement of another answer: some templates announce what they do not write before an answer.
            String whole = written(encoder, conversation, true);
            assertTrue(whole.startsWith(text), whole);
            String announcement = whole.substring(text.length());
            int[] all = encoder.encode(conversation, true).ids();
            int[] ids = Arrays.copyOf(all, all.length - tokenizer.encode(announcement).length);
            int tail = unsafe.length - last;
            assertArrayEquals(Arrays.copyOf(unsafe, first + 1), Arrays.copyOf(ids, first + 1));
            assertArrayEquals(
                    Arrays.copyOfRange(unsafe, last, unsafe.length),
                    Arrays.copyOfRange(ids, ids.length - tail, ids.length));
            int[] own = Arrays.copyOfRange(ids, first + 1, ids.length - tail);
            assertFalse(Arrays.stream(own).anyMatch(roles::contains), () -> Arrays.toString(own));
            assertEquals(message, tokenizer.decode(own));
        }
    }

    private static ChatEncoder encoder(Tokenizer tokenizer) {
        return new ChatEncoder(tokenizer, ChatTemplate.ofCheckpoint(tokenizer).orElseThrow());
    }

    private static String written(ChatEncoder encoder, Conversation conversation, boolean prompt) {
        String bos = encoder.tokenizer().bosToken().orElse("");
        String eos = encoder.tokenizer().eosToken().orElse("");
        StringBuilder text = new StringBuilder();
        for (Segment segment : encoder.template().render(conversation, prompt)) {
            text.append(
                    segment.content()
                            ? segment.text()
                            : segment.text().replace(ChatTemplate.BOS, bos).replace(ChatTemplate.EOS, eos));
        }
        return text.toString();
    }

    /** Messages and tools as Python has them. */
    private static Conversation conversation(JsonNode source) {
        List<ChatMessage> messages = new ArrayList<>();
        for (JsonNode message : source.path("messages")) {
            Map<String, Object> fields = map(message);
            String role = fields.remove("role").toString();
            boolean text = fields.get("content") instanceof String;
            String content = text ? fields.remove("content").toString() : "";
            messages.add(new ChatMessage(Role.valueOf(role.toUpperCase(Locale.ROOT)), content, fields));
        }
        List<Map<String, Object>> tools = new ArrayList<>();
        source.path("tools").forEach(tool -> tools.add(map(tool)));
        return new Conversation(messages, new ArrayList<>(tools));
    }

    @SuppressWarnings("unchecked") // a JSON object
    private static Map<String, Object> map(JsonNode object) {
        return new LinkedHashMap<>(JSON.convertValue(object, Map.class));
    }
}
