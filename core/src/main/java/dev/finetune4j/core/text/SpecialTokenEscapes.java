package dev.finetune4j.core.text;

import dev.finetune4j.core.text.jinja.JinjaTemplate.Span;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Escapes the special tokens that messages spell while a template runs: a rare character stands for each, so the template
 * cannot make special tokens of them, and afterwards they are found again.
 *
 * <p>The characters are ones that no text at hand has. They are letters, which nothing strips, escapes or cuts in two.
 */
final class SpecialTokenEscapes {
    /** The last characters of a block of rare ideographs; they are taken from here downwards. */
    private static final int LAST = 0x2A6D0;

    private static final String SLOT_HEAD = "{{";

    private final Map<String, String> byText = new HashMap<>();
    private final Map<Integer, String> byCharacter = new HashMap<>();
    private final Map<Integer, String> slots = new HashMap<>();
    private final Function<String, List<String>> specials;
    private final String taken;

    private int last = LAST + 1;
    private int spare;

    private SpecialTokenEscapes(Function<String, List<String>> specials, String taken) {
        this.specials = specials;
        this.taken = taken;
    }

    /**
     * Chooses characters for the special tokens in some values.
     *
     * @param values lists, maps and texts in each other
     * @param template the template's own text, which must not have the characters either
     * @param specials the pieces of a text that would be read as special tokens, in order
     */
    static SpecialTokenEscapes of(List<?> values, String template, Function<String, List<String>> specials) {
        Set<String> spelled = new TreeSet<>();
        StringBuilder texts = new StringBuilder();
        appendIfRare(template, texts);
        eachText(values, text -> {
            appendIfRare(text, texts);
            spelled.addAll(specials.apply(text));
        });
        SpecialTokenEscapes escapes = new SpecialTokenEscapes(specials, texts.toString());
        for (String special : spelled) {
            int character = escapes.unused();
            escapes.byText.put(special, Character.toString(character));
            escapes.byCharacter.put(character, special);
        }
        escapes.spare = escapes.unused();
        return escapes;
    }

    /** The characters are beyond the basic plane, so a text without any of those has none of them. */
    private static void appendIfRare(String text, StringBuilder rare) {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isHighSurrogate(text.charAt(i))) {
                rare.append(text);
                return;
            }
        }
    }

    /** The next character that no text at hand has. */
    private int unused() {
        do {
            last--;
        } while (taken.indexOf(last) >= 0);
        return last;
    }

    /** A text that no message or template has. */
    String mark() {
        return Character.toString(unused());
    }

    /** A character that stands for a slot in what the template writes, as the value of a variable. */
    String slot(String name) {
        int character = unused();
        slots.put(character, name);
        return Character.toString(character);
    }

    private static void eachText(@Nullable Object value, Consumer<String> action) {
        if (value instanceof String text) {
            action.accept(text);
        } else if (value instanceof Map<?, ?> map) {
            map.forEach((key, item) -> {
                eachText(key, action);
                eachText(item, action);
            });
        } else if (value instanceof Iterable<?> items) {
            items.forEach(item -> eachText(item, action));
        }
    }

    /** One more such character, which stands for nothing. */
    int spare() {
        return spare;
    }

    boolean isEscape(int character) {
        return byCharacter.containsKey(character);
    }

    /** The value with the characters in place of the special tokens. */
    @Nullable
    Object putInto(@Nullable Object value) {
        if (byText.isEmpty()) {
            return value;
        }
        if (value instanceof String text) {
            return putInto(text);
        }
        if (value instanceof Map<?, ?> map) {
            Map<@Nullable Object, @Nullable Object> changed = new LinkedHashMap<>();
            map.forEach((key, item) -> changed.put(putInto(key), putInto(item)));
            return changed;
        }
        if (value instanceof Iterable<?> items) {
            List<@Nullable Object> changed = new ArrayList<>();
            items.forEach(item -> changed.add(putInto(item)));
            return changed;
        }
        return value;
    }

    private String putInto(String text) {
        StringBuilder changed = new StringBuilder();
        int end = 0;
        for (String special : specials.apply(text)) {
            int start = text.indexOf(special, end);
            changed.append(text, end, start).append(byText.get(special));
            end = start + special.length();
        }
        return changed.append(text, end, text.length()).toString();
    }

    /**
     * Cuts what a template wrote where it comes from a message after all, and where training begins or ends.
     *
     * @param trained in order, without overlap
     * @throws IllegalArgumentException if the template took such a character apart
     */
    List<Segment> segments(String text, List<Span> trained) {
        requireWhole(text);
        List<Segment> segments = new ArrayList<>();
        int at = 0;
        for (Span span : trained) {
            cut(text.substring(at, span.start()), false, segments);
            cut(text.substring(span.start(), span.end()), true, segments);
            at = span.end();
        }
        cut(text.substring(at), false, segments);
        return List.copyOf(segments);
    }

    private void cut(String text, boolean trained, List<Segment> segments) {
        int start = 0;
        int at = 0;
        while (at < text.length()) {
            char unit = text.charAt(at);
            if (unit != SLOT_HEAD.charAt(0) && !Character.isSurrogate(unit)) {
                at++;
                continue;
            }
            int c = text.codePointAt(at);
            String special = byCharacter.getOrDefault(c, slots.get(c));
            boolean slot = text.startsWith(ChatTemplate.BOS, at) || text.startsWith(ChatTemplate.EOS, at);
            int next = at + (slot ? SLOT_HEAD.length() : Character.charCount(c));
            if (special != null) {
                add(text.substring(start, at), false, trained, segments);
                add(special, byCharacter.containsKey(c), trained, segments);
                start = next;
            } else if (slot) {
                // Cut in two, it is no slot: a template in Jinja writes the tokens themselves.
                add(text.substring(start, next), false, trained, segments);
                start = next;
            }
            at = next;
        }
        add(text.substring(start), false, trained, segments);
    }

    private static void add(String text, boolean content, boolean trained, List<Segment> segments) {
        if (!text.isEmpty()) {
            segments.add(new Segment(text, content, trained));
        }
    }

    /** A template that writes JSON in ASCII escapes all characters that are not, and so ours. */
    private void requireWhole(String text) {
        byCharacter.forEach((character, special) -> {
            StringBuilder escape = new StringBuilder();
            for (char half : Character.toChars(character)) {
                escape.append(String.format(Locale.ROOT, "\\u%04x", (int) half));
            }
            if (text.contains(escape)) {
                throw new IllegalArgumentException("a message spells the special token " + special
                        + ", and the checkpoint's own chat template writes it with escapes, which cannot be told from"
                        + " the message's own; take the token out of the message, or name another template");
            }
        });
    }
}
