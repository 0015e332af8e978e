package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Locale;
import java.util.Optional;

/** Whether an answer is a good one: a truth value, or what a table without truth values has for it. Stateless. */
final class Judgement {
    private Judgement() {}

    static boolean isOne(JsonNode value) {
        return of(value).isPresent();
    }

    static Optional<Boolean> of(JsonNode value) {
        if (value.isBoolean()) {
            return Optional.of(value.booleanValue());
        }
        return switch (value.isValueNode() ? value.asText().toLowerCase(Locale.ROOT) : "") {
            case "true", "1" -> Optional.of(true);
            case "false", "0" -> Optional.of(false);
            default -> Optional.empty();
        };
    }
}
