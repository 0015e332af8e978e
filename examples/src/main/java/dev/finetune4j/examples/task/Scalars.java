package dev.finetune4j.examples.task;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Reads values by the type of their key, as YAML 1.1 writes them. Stateless. */
final class Scalars {
    private static final Pattern INT = Pattern.compile("[+-]?[0-9][0-9_]{0,18}");
    private static final Pattern WHOLE = Pattern.compile("[+-]?[0-9]{1,18}\\.0*");
    private static final Pattern FLOAT =
            Pattern.compile("[+-]?(?:[0-9][0-9_]*(?:\\.[0-9_]*)?|\\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]{1,4})?");
    private static final List<String> TRUE = List.of("true", "yes", "on");
    private static final List<String> FALSE = List.of("false", "no", "off");

    private Scalars() {}

    /**
     * A value as a {@link Boolean}, {@link Long}, {@link Double}, {@link String} or list of texts.
     *
     * @return null when it is none of the type
     */
    static @Nullable Object of(TaskKey.Type type, Object content) {
        if (type == TaskKey.Type.LIST) {
            return list(content);
        }
        if (type == TaskKey.Type.ANY || !(content instanceof String text)) {
            return content;
        }
        return switch (type) {
            case BOOL -> bool(text);
            case INT -> whole(text);
            case FLOAT -> number(text);
            default -> text;
        };
    }

    private static @Nullable Boolean bool(String text) {
        String lower = text.toLowerCase(Locale.ROOT);
        if (TRUE.contains(lower)) {
            return true;
        }
        return FALSE.contains(lower) ? false : null;
    }

    private static @Nullable Long whole(String text) {
        String digits = WHOLE.matcher(text).matches() ? text.substring(0, text.indexOf('.')) : text;
        if (!INT.matcher(digits).matches()) {
            return null;
        }
        try {
            return Long.valueOf(digits.replace("_", "").replaceFirst("^\\+", ""));
        } catch (NumberFormatException e) {
            return null; // 19 digits may be too many
        }
    }

    private static @Nullable Double number(String text) {
        return FLOAT.matcher(text).matches() ? Double.valueOf(text.replace("_", "")) : null;
    }

    private static @Nullable List<String> list(Object content) {
        if (content instanceof String text) {
            return Arrays.stream(text.split(",", -1))
                    .map(String::strip)
                    .filter(part -> !part.isEmpty())
                    .toList();
        }
        if (!(content instanceof List<?> parts)) {
            return null;
        }
        List<String> texts = new ArrayList<>();
        for (Object part : parts) {
            if (!(part instanceof String text)) {
                return null;
            }
            texts.add(text.strip());
        }
        return texts;
    }
}
