package dev.finetune4j.lora.train;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Comparator;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.function.Function;

/** The schedules by the names and arguments of transformers' get_scheduler. */
public final class ScheduleNames {
    private static final Map<String, Function<JsonNode, LearningRateSchedule>> SCHEDULES = Map.of(
            "constant",
            args -> LearningRateSchedule.constant(),
            "constant_with_warmup",
            args -> LearningRateSchedule.constantWithWarmup(),
            "linear",
            args -> LearningRateSchedule.linear(),
            "cosine",
            ScheduleNames::cosine,
            "cosine_with_restarts",
            args -> LearningRateSchedule.cosineWithRestarts(
                    args.path("num_cycles").asInt(1)),
            "cosine_with_min_lr",
            ScheduleNames::cosineWithMinimum,
            "cosine_warmup_with_min_lr",
            ScheduleNames::cosineWarmupWithMinimum,
            "polynomial",
            args -> LearningRateSchedule.polynomial(
                    args.path("power").asDouble(1), args.path("lr_end").asDouble(1e-7)),
            "inverse_sqrt",
            ScheduleNames::inverseSqrt,
            "warmup_stable_decay",
            ScheduleNames::warmupStableDecay);

    private ScheduleNames() {}

    /** The schedule of a name such as {@code cosine}; what may stand behind it, such as {@code _2}, tells cases apart. */
    public static LearningRateSchedule schedule(String name, JsonNode args) {
        return SCHEDULES.keySet().stream()
                .filter(known -> (name + "_").startsWith(known + "_"))
                .max(Comparator.comparingInt(String::length))
                .map(known -> SCHEDULES.get(known).apply(args))
                .orElseThrow(() -> new AssertionError("no schedule for " + name));
    }

    private static LearningRateSchedule cosine(JsonNode args) {
        return args.isEmpty() ? LearningRateSchedule.cosine() : new LearningRateSchedule.Cosine(cycles(args));
    }

    private static double cycles(JsonNode args) {
        return args.path("num_cycles").asDouble(0.5);
    }

    private static LearningRateSchedule cosineWithMinimum(JsonNode args) {
        return args.has("num_cycles")
                ? new LearningRateSchedule.CosineWithMinimum(floor(args), cycles(args))
                : LearningRateSchedule.cosineWithMinimum(floor(args));
    }

    private static LearningRateSchedule cosineWarmupWithMinimum(JsonNode args) {
        return args.has("warmup_lr_rate")
                ? new LearningRateSchedule.CosineWarmupWithMinimum(
                        floor(args),
                        cycles(args),
                        OptionalDouble.of(args.path("warmup_lr_rate").asDouble()))
                : LearningRateSchedule.cosineWarmupWithMinimum(floor(args));
    }

    private static LearningRateSchedule inverseSqrt(JsonNode args) {
        return args.has("timescale")
                ? new LearningRateSchedule.InverseSqrt(
                        OptionalInt.of(args.path("timescale").asInt()))
                : LearningRateSchedule.inverseSqrt();
    }

    private static LearningRateFloor floor(JsonNode args) {
        return args.has("min_lr")
                ? LearningRateFloor.rate(args.path("min_lr").asDouble())
                : LearningRateFloor.share(args.path("min_lr_rate").asDouble());
    }

    private static LearningRateSchedule warmupStableDecay(JsonNode args) {
        if (args.size() == 1) {
            return LearningRateSchedule.warmupStableDecay(
                    args.path("num_decay_steps").asInt());
        }
        JsonNode stable = args.path("num_stable_steps");
        return new WarmupStableDecay(
                args.path("num_decay_steps").asInt(),
                stable.isMissingNode() ? OptionalInt.empty() : OptionalInt.of(stable.asInt()),
                shape(args.path("warmup_type").asText("linear")),
                shape(args.path("decay_type").asText("cosine")),
                args.path("min_lr_ratio").asDouble(0),
                args.path("num_cycles").asDouble(0.5));
    }

    private static WarmupStableDecay.Shape shape(String type) {
        return type.equals("1-sqrt")
                ? WarmupStableDecay.Shape.ONE_MINUS_SQRT
                : WarmupStableDecay.Shape.valueOf(type.toUpperCase(Locale.ROOT));
    }
}
