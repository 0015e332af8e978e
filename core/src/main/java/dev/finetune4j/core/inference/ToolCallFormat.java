package dev.finetune4j.core.inference;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.json.PlainValues;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** The ways in which chat templates have models write calls of functions. Each is known by what the template's source contains. */
enum ToolCallFormat {
    /** Hermes, Qwen 2.5 and 3, SmolLM 3: each call is a JSON object between two tags. */
    TAGS("<tool_call>", List.of("<tool_call>"), List.of("</tool_call>")) {
        @Override
        @Nullable
        List<Call> parse(String text) {
            return objects(PAIR_OF_TAGS, text);
        }
    },
    /** Mistral: a JSON list of objects. */
    MISTRAL("[TOOL_CALLS]", List.of("[TOOL_CALLS]"), List.of()) {
        @Override
        @Nullable
        List<Call> parse(String text) {
            return list(text.substring("[TOOL_CALLS]".length()));
        }
    },
    /** DeepSeek: name and a fenced JSON object between tokens. */
    DEEPSEEK(
            "tool\u2581calls\u2581begin",
            List.of("<\uff5ctool\u2581calls\u2581begin\uff5c>"),
            List.of(
                    "<\uff5ctool\u2581call\u2581begin\uff5c>",
                    "<\uff5ctool\u2581sep\uff5c>",
                    "<\uff5ctool\u2581call\u2581end\uff5c>",
                    "<\uff5ctool\u2581calls\u2581end\uff5c>")) {
        @Override
        @Nullable
        List<Call> parse(String text) {
            return named(DEEPSEEK_CALL, text);
        }
    },
    /** Kimi: a name with its number and a JSON object between tokens. */
    KIMI(
            "<|tool_calls_section_begin|>",
            List.of("<|tool_calls_section_begin|>"),
            List.of(
                    "<|tool_call_begin|>",
                    "<|tool_call_argument_begin|>",
                    "<|tool_call_end|>",
                    "<|tool_calls_section_end|>")) {
        @Override
        @Nullable
        List<Call> parse(String text) {
            return named(KIMI_CALL, text);
        }
    },
    /** LFM 2: a list of calls as Python writes them. */
    PYTHON("<|tool_call_start|>", List.of("<|tool_call_start|>"), List.of("<|tool_call_end|>")) {
        @Override
        @Nullable
        List<Call> parse(String text) {
            Matcher matcher = PYTHON_CALLS.matcher(text);
            return matcher.find() ? PythonCalls.parse(matcher.group(1)) : null;
        }
    },
    /** Command R: a fenced JSON list behind the word Action. */
    COMMAND_R("Action:", List.of("Action:"), List.of()) {
        @Override
        @Nullable
        List<Call> parse(String text) {
            Matcher matcher = FENCED_LIST.matcher(text);
            return matcher.find() ? list(matcher.group(1)) : null;
        }
    },
    /** Command R7B: a JSON list between tokens. */
    COMMAND_R7B("<|START_ACTION|>", List.of("<|START_ACTION|>"), List.of("<|END_ACTION|>")) {
        @Override
        @Nullable
        List<Call> parse(String text) {
            int end = text.indexOf("<|END_ACTION|>");
            return list(text.substring("<|START_ACTION|>".length(), end < 0 ? text.length() : end));
        }
    },
    /** Granite 3: a JSON list behind a token. */
    GRANITE("<|tool_call|>", List.of("<|tool_call|>"), List.of()) {
        @Override
        @Nullable
        List<Call> parse(String text) {
            return list(text.substring("<|tool_call|>".length()));
        }
    },
    /** GLM 4: the whole answer is a name in a line of its own and a JSON object. */
    GLM("metadata", List.of(), List.of()) {
        @Override
        @Nullable
        List<Call> parse(String text) {
            Matcher matcher = GLM_CALL.matcher(text);
            JsonNode arguments = matcher.lookingAt() ? PlainValues.parse(text.substring(matcher.end() - 1)) : null;
            return arguments == null ? null : List.of(new Call(null, matcher.group(1), arguments));
        }

        @Override
        boolean wholeAnswer() {
            return true;
        }

        @Override
        boolean begins(String text) {
            return GLM_CALL.matcher(text).lookingAt();
        }

        @Override
        boolean mayBegin(String text) {
            Matcher matcher = GLM_CALL.matcher(text);
            return matcher.lookingAt() || matcher.hitEnd();
        }
    },
    /** Llama 3: the whole answer is a JSON object. */
    LLAMA("\"parameters\": ", List.of("<|python_tag|>", "{"), List.of()) {
        @Override
        @Nullable
        List<Call> parse(String text) {
            String body = text.startsWith("<|python_tag|>") ? text.substring("<|python_tag|>".length()) : text;
            JsonNode object = PlainValues.parse(body);
            Call call = object == null ? null : call(object);
            return call == null ? null : List.of(call);
        }

        @Override
        boolean wholeAnswer() {
            return true;
        }
    };

    private static final Pattern GLM_CALL = Pattern.compile("([\\p{L}\\p{N}_.-]{1,64}) ?\\n\\s*\\{");
    private static final Pattern PAIR_OF_TAGS = Pattern.compile("<tool_call>(.*?)(?:</tool_call>|$)", Pattern.DOTALL);
    private static final Pattern FENCED_LIST = Pattern.compile("Action:\\s*```json(.*?)(?:```|$)", Pattern.DOTALL);
    private static final Pattern PYTHON_CALLS =
            Pattern.compile("<\\|tool_call_start\\|>\\s*(.*?)(?:<\\|tool_call_end\\|>|$)", Pattern.DOTALL);
    private static final Pattern DEEPSEEK_CALL = Pattern.compile(
            "<\uff5ctool\u2581call\u2581begin\uff5c>function<\uff5ctool\u2581sep\uff5c>(?<name>[^\\n]*)\\n```json\\n"
                    + "(?<arguments>.*?)\\n```<\uff5ctool\u2581call\u2581end\uff5c>",
            Pattern.DOTALL);
    private static final Pattern KIMI_CALL = Pattern.compile(
            "<\\|tool_call_begin\\|>\\s*(?<id>(?:functions\\.)?(?<name>[^:<]*?)(?::\\d+)?)\\s*<\\|tool_call_argument_begin\\|>"
                    + "(?<arguments>.*?)<\\|tool_call_end\\|>",
            Pattern.DOTALL);

    /**
     * A call as the model wrote it.
     *
     * @param id as the model named it; null where it does not
     */
    record Call(@Nullable String id, String name, JsonNode arguments) {}

    private final String sign;
    private final List<String> beginnings;
    private final List<String> others;

    /**
     * @param sign is in the source of templates of this kind
     * @param beginnings texts one of which begins the calls
     * @param others further texts that may be tokens which are not shown otherwise
     */
    ToolCallFormat(String sign, List<String> beginnings, List<String> others) {
        this.sign = sign;
        this.beginnings = beginnings;
        this.others = others;
    }

    /** The one that a template writes; empty if it writes no calls, or in a way of its own. */
    static Optional<ToolCallFormat> of(String templateSource) {
        for (ToolCallFormat format : values()) {
            boolean isOwn = switch (format) {
                case COMMAND_R -> templateSource.contains("```json");
                case GLM -> templateSource.contains("[gMASK]");
                default -> true;
            };
            if (isOwn && templateSource.contains(format.sign)) {
                return Optional.of(format);
            }
        }
        return Optional.empty();
    }

    /** Texts one of which begins the calls. */
    List<String> beginnings() {
        return beginnings;
    }

    /** Whether a text begins with the beginning of calls. */
    boolean begins(String text) {
        return beginnings.stream().anyMatch(text::startsWith);
    }

    /** Whether a text, which may go on, begins with that or may do so yet. */
    boolean mayBegin(String text) {
        return beginnings.stream().anyMatch(mark -> mark.startsWith(text) || text.startsWith(mark));
    }

    /** Whether calls are the answer from its first character on, or not there. */
    boolean wholeAnswer() {
        return false;
    }

    /** Whether a token is a part of the calls, though tokens of its kind are not shown. */
    boolean marks(String token) {
        return beginnings.contains(token) || others.contains(token);
    }

    /**
     * The calls in a text that begins with one of the {@link #beginnings}.
     *
     * @return null when it holds none that can be read
     */
    abstract @Nullable List<Call> parse(String text);

    private static @Nullable List<Call> objects(Pattern pattern, String text) {
        List<Call> calls = new ArrayList<>();
        Matcher matcher = pattern.matcher(text);
        while (matcher.find()) {
            JsonNode object = PlainValues.parse(matcher.group(1));
            Call call = object == null ? null : call(object);
            if (call == null) {
                return null;
            }
            calls.add(call);
        }
        return calls.isEmpty() ? null : calls;
    }

    private static @Nullable List<Call> list(String text) {
        JsonNode list = PlainValues.parse(text);
        if (list == null || !list.isArray() || list.isEmpty()) {
            return null;
        }
        List<Call> calls = new ArrayList<>();
        for (JsonNode item : list) {
            Call call = call(item);
            if (call == null) {
                return null;
            }
            calls.add(call);
        }
        return calls;
    }

    private static @Nullable List<Call> named(Pattern pattern, String text) {
        List<Call> calls = new ArrayList<>();
        Matcher matcher = pattern.matcher(text);
        boolean hasId = pattern == KIMI_CALL;
        while (matcher.find()) {
            JsonNode arguments = PlainValues.parse(matcher.group("arguments"));
            if (arguments == null || !arguments.isObject()) {
                return null;
            }
            calls.add(new Call(
                    hasId ? matcher.group("id") : null, matcher.group("name").strip(), arguments));
        }
        return calls.isEmpty() ? null : calls;
    }

    /** A call by the names that templates give its parts; null if it is none. */
    static @Nullable Call call(JsonNode object) {
        JsonNode name = object.has("name") ? object.get("name") : object.path("tool_name");
        JsonNode arguments = object.has("arguments") ? object.get("arguments") : object.path("parameters");
        if (arguments.isTextual()) {
            arguments = PlainValues.parse(arguments.textValue());
        }
        if (!name.isTextual() || arguments == null || !arguments.isObject()) {
            return null;
        }
        JsonNode id = object.path("id");
        return new Call(id.isTextual() ? id.textValue() : null, name.textValue(), arguments);
    }
}
