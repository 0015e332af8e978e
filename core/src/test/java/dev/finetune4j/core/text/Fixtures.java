package dev.finetune4j.core.text;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** What the tests of this package share. */
final class Fixtures {
    private Fixtures() {}

    static String text(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static int[] ids(JsonNode array) {
        return stream(array).mapToInt(JsonNode::asInt).toArray();
    }

    static Stream<JsonNode> stream(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false);
    }

    /** Empty if the messages are no conversation of texts. */
    static Optional<Conversation> conversation(JsonNode messages) {
        List<ChatMessage> list = new ArrayList<>();
        for (JsonNode message : messages) {
            if (!message.path("content").isTextual() || message.has("tool_calls")) {
                return Optional.empty();
            }
            Role role = Role.valueOf(message.path("role").asText().toUpperCase(Locale.ROOT));
            list.add(new ChatMessage(role, message.path("content").asText()));
        }
        try {
            return Optional.of(new Conversation(list));
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }

    /** What a template writes, with the slots filled. */
    static String render(ChatTemplate template, Conversation conversation, boolean prompt, String bos, String eos) {
        StringBuilder text = new StringBuilder();
        for (Segment segment : template.render(conversation, prompt)) {
            text.append(
                    segment.content()
                            ? segment.text()
                            : segment.text().replace(ChatTemplate.BOS, bos).replace(ChatTemplate.EOS, eos));
        }
        return text.toString();
    }
}
