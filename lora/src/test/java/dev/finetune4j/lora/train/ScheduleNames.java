package dev.finetune4j.lora.train;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.Comparator;
import java.util.Map;
import java.util.stream.Stream;

/** The schedules of reference files, by the names and arguments of transformers' get_scheduler. */
public final class ScheduleNames {
    private static final ObjectMapper JSON = new ObjectMapper();

    private ScheduleNames() {}

    /** The schedule of a name such as {@code cosine}; what may stand behind it, such as {@code _2}, tells cases apart. */
    public static LearningRateSchedule schedule(String name, JsonNode args) {
        String known = Stream.of(
                        "constant",
                        "constant_with_warmup",
                        "linear",
                        "cosine",
                        "cosine_with_restarts",
                        "cosine_with_min_lr",
                        "cosine_warmup_with_min_lr",
                        "polynomial",
                        "inverse_sqrt",
                        "warmup_stable_decay")
                .filter(candidate -> (name + "_").startsWith(candidate + "_"))
                .max(Comparator.comparingInt(String::length))
                .orElseThrow(() -> new AssertionError("no schedule for " + name));
        Map<String, Object> named =
                args.isMissingNode() ? Map.of() : JSON.convertValue(args, new TypeReference<Map<String, Object>>() {});
        return LearningRateSchedule.named(known, named);
    }
}
