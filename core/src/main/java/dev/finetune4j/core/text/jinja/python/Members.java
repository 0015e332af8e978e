package dev.finetune4j.core.text.jinja.python;

import java.math.BigInteger;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Attributes and items of values: what {@code a.b} and {@code a['b']} find. */
public final class Members {
    /** Methods that would change what the template was given; Jinja's immutable sandbox hides them. */
    private static final Set<String> LIST_CHANGES =
            Set.of("append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove");

    private static final Set<String> DICT_CHANGES = Set.of("clear", "pop", "popitem", "setdefault", "update");

    private Members() {}

    /** As {@code object.name}: the attribute, or else the item of this name. */
    public static @Nullable Object attribute(@Nullable Object object, String name) {
        Object found = ownAttribute(object, name);
        if (!(found instanceof Undefined) || !(object instanceof Dict dict) || DICT_CHANGES.contains(name)) {
            return found;
        }
        return dict.get(name, found);
    }

    /** As {@code object[key]}: the item, or else the attribute of this name. */
    public static @Nullable Object item(@Nullable Object object, @Nullable Object key) {
        if (object instanceof Undefined undefined) {
            throw undefined.failure();
        }
        if (object instanceof Dict dict) {
            if (isKey(key) && dict.has(key)) {
                return dict.get(key, null);
            }
        } else if (Numbers.isWhole(key)) {
            return place(object, Numbers.big(Objects.requireNonNull(key)), key);
        }
        return key instanceof String name ? ownAttribute(object, name) : Undefined.member(object, key);
    }

    private static boolean isKey(@Nullable Object key) {
        try {
            return Values.hashKey(key) != null;
        } catch (TemplateError e) {
            return false;
        }
    }

    private static @Nullable Object place(@Nullable Object object, BigInteger index, @Nullable Object key) {
        if (object instanceof SafeText) {
            throw new TemplateError("text that went through 'safe' or 'escape' can only be written or joined by '~'");
        }
        boolean text = object instanceof String;
        List<@Nullable Object> items = text || object instanceof DictView ? null : Values.items(object);
        if ((!text && items == null) || index.bitLength() > 31) {
            return Undefined.member(object, key);
        }
        // Both the length and the piece need the whole text.
        int length = Values.length(object);
        int place = index.intValue() + (index.signum() < 0 ? length : 0);
        if (place < 0 || place >= length) {
            return Undefined.member(object, key);
        }
        return items != null ? items.get(place) : PythonText.piece(Values.text(object), place, place + 1);
    }

    /** The attribute alone, as the filter {@code attr} finds it. */
    public static @Nullable Object ownAttribute(@Nullable Object object, String name) {
        Object found = null;
        if (object instanceof Undefined undefined) {
            throw undefined.failure();
        } else if (object instanceof String text) {
            found = StringMethods.bound(text, name);
        } else if (object instanceof Dict dict) {
            found = DICT_CHANGES.contains(name) ? hidden(object, name) : CollectionMethods.ofDict(dict, name);
        } else if (object instanceof List) {
            found = LIST_CHANGES.contains(name) ? hidden(object, name) : CollectionMethods.ofSequence(object, name);
        } else if (object instanceof Tuple tuple) {
            Object part = tuple.part(name);
            found = part == null ? CollectionMethods.ofSequence(object, name) : part;
        } else if (object instanceof Range range) {
            found = CollectionMethods.ofRange(range, name);
        } else if (object instanceof Namespace namespace) {
            return namespace.attributes().get(name, Undefined.member(object, name));
        } else if (object instanceof PyObject own) {
            return own.attribute(name);
        } else if (object instanceof Cycler cycler) {
            found = cycler.attribute(name);
        } else if (object != null && Numbers.isNumber(object)) {
            found = CollectionMethods.ofNumber(object, name);
        } else if (object instanceof SafeText) {
            throw new TemplateError("text that went through 'safe' or 'escape' can only be written or joined by '~'");
        }
        return found == null ? Undefined.member(object, name) : found;
    }

    private static Undefined hidden(Object object, String name) {
        return new Undefined("'" + name + "' would change a " + Values.typeName(object)
                + ", which templates are not allowed to do; build a new one with '+' instead");
    }
}
