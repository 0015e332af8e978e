package dev.finetune4j.core.text;

import dev.finetune4j.core.text.jinja.JinjaTemplate;
import java.time.Clock;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * How a message with calls of functions is given to a template. Most expect the arguments of a call as an object; some put
 * them together with text, and so expect them as the JSON text that OpenAI's interface has. Some write calls only where there
 * is no content, and know that by null.
 *
 * @param textArguments whether arguments are JSON texts
 * @param nullContent whether an empty content is null
 */
record CallForm(boolean textArguments, boolean nullContent) {
    static final String CALLS = "tool_calls";

    /** What most templates expect. */
    static final CallForm USUAL = new CallForm(false, false);

    /** All there are, the usual one first. */
    static final List<CallForm> ALL =
            List.of(USUAL, new CallForm(true, false), new CallForm(false, true), new CallForm(true, true));

    private static final JinjaTemplate JSON = JinjaTemplate.parse("{{ value | tojson }}");

    /** The message in this form; the same object if it calls nothing. */
    Map<String, @Nullable Object> of(Map<String, @Nullable Object> message) {
        if (!(message.get(CALLS) instanceof List<?> calls) || equals(USUAL)) {
            return message;
        }
        Map<String, @Nullable Object> formed = new LinkedHashMap<>(message);
        if (nullContent && "".equals(message.get("content"))) {
            formed.put("content", null);
        }
        if (textArguments) {
            List<@Nullable Object> texts = new ArrayList<>();
            calls.forEach(call -> texts.add(withTextArguments(call)));
            formed.put(CALLS, texts);
        }
        return formed;
    }

    private static @Nullable Object withTextArguments(@Nullable Object call) {
        if (!(call instanceof Map<?, ?> map)
                || !(map.get("function") instanceof Map<?, ?> function)
                || !(function.get("arguments") instanceof Map<?, ?> arguments)) {
            return call;
        }
        Map<Object, @Nullable Object> changed = new LinkedHashMap<>(function);
        changed.put(
                "arguments",
                JSON.render(Map.of("value", arguments), Clock.systemUTC()).text());
        Map<Object, @Nullable Object> whole = new LinkedHashMap<>(map);
        whole.put("function", changed);
        return whole;
    }
}
