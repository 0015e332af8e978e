package dev.finetune4j.core.text;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Guards against template injection, a message's text becoming part of a special token. It makes neutral messages: of the same
 * shape, with each character replaced by one that no special token has. What a template writes for them has the template's own
 * special tokens alone. So a special token that only the true messages give was put together of a message's text, by what the
 * template writes beside it or cuts out of it.
 *
 * <p>What a template may ask a message for stays: white space, what JSON escapes, and the template's own literals, as
 * long as they could not be a part of a special token.
 */
final class TemplateInjectionGuard {
    private static final String ESCAPED = "\"\\'";

    private final Set<String> literals;
    private final Set<String> names;
    private final List<String> kept;

    /**
     * For one template.
     *
     * @param literals the texts in its tags
     * @param names the names in its tags
     */
    TemplateInjectionGuard(Set<String> literals, Set<String> names, ControlTokens controls) {
        this.literals = literals;
        this.names = names;
        this.kept = literals.stream()
                .filter(literal -> !literal.isEmpty() && !controls.touches(literal))
                .toList();
    }

    /** A message that says nothing, in the role of the other. */
    Map<Object, @Nullable Object> message(Map<?, ?> message, SpecialTokenEscapes escapes) {
        Map<Object, @Nullable Object> neutral = new LinkedHashMap<>();
        message.forEach((key, item) -> {
            // A role is the template's own word. A text that equals a literal elsewhere tells what kind of thing it is.
            boolean isRole = "role".equals(key) && item instanceof String role && isRole(role);
            Object changed =
                    "content".equals(key) && item instanceof String text ? text(text, escapes) : value(item, escapes);
            neutral.put(key(key, neutral, escapes), isRole ? item : changed);
        });
        return neutral;
    }

    private static boolean isRole(String text) {
        for (Role role : Role.values()) {
            if (role.name().toLowerCase(Locale.ROOT).equals(text)) {
                return true;
            }
        }
        return ObservationForm.ROLE.equals(text);
    }

    /** A value that says nothing: a text, a list or a map; others as they are. */
    @Nullable
    Object value(@Nullable Object value, SpecialTokenEscapes escapes) {
        if (value instanceof String text) {
            return literals.contains(text) ? text : text(text, escapes);
        }
        if (value instanceof Map<?, ?> map) {
            Map<Object, @Nullable Object> neutral = new LinkedHashMap<>();
            map.forEach((key, item) -> neutral.put(key(key, neutral, escapes), value(item, escapes)));
            return neutral;
        }
        if (value instanceof Iterable<?> items) {
            List<@Nullable Object> neutral = new ArrayList<>();
            items.forEach(item -> neutral.add(value(item, escapes)));
            return neutral;
        }
        return value;
    }

    /** A key that the template does not know by name; it stays one of its own. */
    private Object key(Object key, Map<Object, @Nullable Object> taken, SpecialTokenEscapes escapes) {
        if (!(key instanceof String name) || literals.contains(name) || names.contains(name)) {
            return key;
        }
        StringBuilder neutral = new StringBuilder(text(name, escapes));
        while (taken.containsKey(neutral.toString())) {
            neutral.appendCodePoint(escapes.spare());
        }
        return neutral.toString();
    }

    private String text(String text, SpecialTokenEscapes escapes) {
        BitSet stays = new BitSet();
        for (String literal : kept) {
            for (int at = text.indexOf(literal); at >= 0; at = text.indexOf(literal, at + 1)) {
                stays.set(at, at + literal.length());
            }
        }
        StringBuilder neutral = new StringBuilder();
        for (int at = 0; at < text.length(); at += Character.charCount(text.codePointAt(at))) {
            int c = text.codePointAt(at);
            boolean plain = Whitespace.isBlank(Character.toString(c))
                    || Character.isISOControl(c)
                    || ESCAPED.indexOf(c) >= 0
                    || escapes.isEscape(c);
            neutral.appendCodePoint(plain || stays.get(at) ? c : escapes.spare());
        }
        return neutral.toString();
    }
}
