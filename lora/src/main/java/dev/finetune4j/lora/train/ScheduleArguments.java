package dev.finetune4j.lora.train;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;

/** The arguments of a schedule in the words of transformers' {@code get_scheduler}, and the schedules by their names there. */
final class ScheduleArguments {
    private static final Map<String, Function<ScheduleArguments, LearningRateSchedule>> SCHEDULES =
            new TreeMap<>(Map.of(
                    "constant",
                    arguments -> LearningRateSchedule.constant(),
                    "constant_with_warmup",
                    arguments -> LearningRateSchedule.constantWithWarmup(),
                    "linear",
                    arguments -> LearningRateSchedule.linear(),
                    "cosine",
                    arguments -> new LearningRateSchedule.Cosine(arguments.number("num_cycles", 0.5)),
                    "cosine_with_restarts",
                    arguments -> LearningRateSchedule.cosineWithRestarts(arguments.integer("num_cycles", 1)),
                    "cosine_with_min_lr",
                    arguments -> new LearningRateSchedule.CosineWithMinimum(
                            arguments.floor(), arguments.number("num_cycles", 0.5)),
                    "cosine_warmup_with_min_lr",
                    arguments -> new LearningRateSchedule.CosineWarmupWithMinimum(
                            arguments.floor(),
                            arguments.number("num_cycles", 0.5),
                            arguments.optional("warmup_lr_rate")),
                    "polynomial",
                    arguments -> LearningRateSchedule.polynomial(
                            arguments.number("power", 1), arguments.number("lr_end", 1e-7)),
                    "inverse_sqrt",
                    arguments -> new LearningRateSchedule.InverseSqrt(arguments.optionalInteger("timescale")),
                    "warmup_stable_decay",
                    ScheduleArguments::warmupStableDecay));

    private final String name;
    private final Map<String, ?> given;
    private final Set<String> known = new TreeSet<>();
    private final List<String> problems = new ArrayList<>();

    private ScheduleArguments(String name, Map<String, ?> given) {
        this.name = name;
        this.given = given;
    }

    static LearningRateSchedule schedule(String name, Map<String, ?> given) {
        Function<ScheduleArguments, LearningRateSchedule> maker = SCHEDULES.get(name);
        if (maker == null) {
            throw new SettingsException(
                    List.of("there is no learning rate schedule '" + name + "'; known are " + SCHEDULES.keySet()));
        }
        ScheduleArguments arguments = new ScheduleArguments(name, given);
        LearningRateSchedule schedule = null;
        try {
            schedule = maker.apply(arguments);
        } catch (SettingsException e) {
            // What was not understood is the cause of what does not work with the value in its place.
            if (arguments.problems.isEmpty()) {
                throw e;
            }
        }
        given.keySet().stream()
                .filter(key -> !arguments.known.contains(key))
                .forEach(key -> arguments.problem("has no argument '" + key + "'; it knows " + arguments.known));
        if (!arguments.problems.isEmpty() || schedule == null) {
            throw new SettingsException(arguments.problems);
        }
        return schedule;
    }

    private static LearningRateSchedule warmupStableDecay(ScheduleArguments arguments) {
        if (!arguments.given.containsKey("num_decay_steps")) {
            arguments.problem("needs num_decay_steps, the number of steps of the decay");
        }
        return new WarmupStableDecay(
                arguments.integer("num_decay_steps", 1),
                arguments.optionalInteger("num_stable_steps"),
                arguments.shape("warmup_type", "linear"),
                arguments.shape("decay_type", "cosine"),
                arguments.number("min_lr_ratio", 0),
                arguments.number("num_cycles", 0.5));
    }

    private LearningRateFloor floor() {
        OptionalDouble rate = optional("min_lr");
        OptionalDouble share = optional("min_lr_rate");
        if (rate.isPresent() == share.isPresent()) {
            problem("needs either min_lr, a learning rate, or min_lr_rate, a share of the peak");
        }
        return rate.isPresent() ? LearningRateFloor.rate(rate.getAsDouble()) : LearningRateFloor.share(share.orElse(0));
    }

    private WarmupStableDecay.Shape shape(String key, String usual) {
        known.add(key);
        Object value = given.containsKey(key) ? given.get(key) : usual;
        String shape = String.valueOf(value).toLowerCase(Locale.ROOT);
        return switch (shape) {
            case "linear" -> WarmupStableDecay.Shape.LINEAR;
            case "cosine" -> WarmupStableDecay.Shape.COSINE;
            case "1-sqrt" -> WarmupStableDecay.Shape.ONE_MINUS_SQRT;
            default -> {
                problem("has " + key + " '" + value + "', but it must be linear, cosine or 1-sqrt");
                yield WarmupStableDecay.Shape.LINEAR;
            }
        };
    }

    private double number(String key, double usual) {
        return optional(key).orElse(usual);
    }

    private int integer(String key, int usual) {
        return optionalInteger(key).orElse(usual);
    }

    private OptionalInt optionalInteger(String key) {
        OptionalDouble value = optional(key);
        if (value.isEmpty()) {
            return OptionalInt.empty();
        }
        if (value.getAsDouble() != (int) value.getAsDouble()) {
            problem("has " + key + " " + value.getAsDouble() + ", but it must be a whole number");
        }
        return OptionalInt.of((int) value.getAsDouble());
    }

    private OptionalDouble optional(String key) {
        known.add(key);
        Object value = given.get(key);
        if (value == null) {
            return OptionalDouble.empty();
        }
        if (value instanceof Number number) {
            return OptionalDouble.of(number.doubleValue());
        }
        problem("has " + key + " '" + value + "', but it must be a number");
        return OptionalDouble.empty();
    }

    private void problem(String what) {
        problems.add("the learning rate schedule " + name + " " + what);
    }
}
