package dev.finetune4j.core.text.jinja.python;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * What Python does with any value: truth, length, items, text; see {@link Comparisons} for equality and order. The kinds of values are those of {@link
 * #typeName}.
 */
public final class Values {
    /** How deep values may lie in each other. */
    private static final int MAX_DEPTH = 300;

    /** As many characters as a value counts for that the template is given, beside its own. */
    private static final int VALUE_WORTH = 64;

    /** What the key of a value takes. */
    private static final int KEY_BYTES = 64;

    private static final Object NONE_KEY = new Object();
    private static final Object UNDEFINED_KEY = new Object();

    private Values() {}

    /** Takes a value from outside over: maps become {@link Dict}s, and numbers one of the kinds used here. */
    public static @Nullable Object adopt(@Nullable Object value) {
        return adopt(value, 0);
    }

    private static @Nullable Object adopt(@Nullable Object value, int depth) {
        checkDepth(depth);
        Budget.allow(VALUE_WORTH);
        if (value == null || value instanceof Boolean || value instanceof Double || value instanceof Long) {
            return value;
        }
        if (value instanceof CharSequence text) {
            Budget.allow(text.length());
            return text.toString();
        }
        if (value instanceof Integer || value instanceof Short || value instanceof Byte) {
            return ((Number) value).longValue();
        }
        if (value instanceof BigInteger big) {
            return Numbers.narrow(big);
        }
        if (value instanceof Number number) {
            return number.doubleValue();
        }
        if (value instanceof Map<?, ?> map) {
            Dict dict = new Dict();
            map.forEach((key, item) -> dict.put(adopt(key, depth + 1), adopt(item, depth + 1)));
            return dict;
        }
        if (value instanceof Iterable<?> items) {
            List<@Nullable Object> list = new ArrayList<>();
            items.forEach(item -> list.add(adopt(item, depth + 1)));
            return list;
        }
        throw new TemplateError("a value given to the template is of " + value.getClass()
                + "; expected null, a Boolean, a" + " number, text, or a List or Map of these");
    }

    public static String typeName(@Nullable Object value) {
        if (value == null) {
            return "NoneType";
        } else if (value instanceof Boolean) {
            return "bool";
        } else if (Numbers.isWhole(value)) {
            return "int";
        } else if (value instanceof Double) {
            return "float";
        } else if (value instanceof String) {
            return "str";
        } else if (value instanceof List) {
            return "list";
        } else if (value instanceof Tuple) {
            return "tuple";
        } else if (value instanceof Dict) {
            return "dict";
        } else if (value instanceof Range) {
            return "range";
        } else if (value instanceof DictView view) {
            return "dict_" + view.kind();
        } else if (value instanceof Undefined) {
            return "Undefined";
        } else if (value instanceof SafeText) {
            return "Markup";
        } else if (value instanceof PyIterator iterator) {
            return iterator.isGenerator() ? "generator" : "reverse_iterator";
        } else if (value instanceof Namespace) {
            return "Namespace";
        } else if (value instanceof PyObject object) {
            return object.typeName();
        }
        return value instanceof Cycler ? "Cycler" : "function";
    }

    public static boolean truth(@Nullable Object value) {
        if (value instanceof Boolean bit) {
            return bit;
        }
        if (value == null || value instanceof Undefined) {
            return false;
        }
        if (value instanceof Long whole) {
            return whole != 0;
        }
        if (value instanceof Double real) {
            return real != 0;
        }
        if (isText(value)) {
            return !(value instanceof SafeText safe ? safe.text() : (String) value).isEmpty();
        }
        return lengthOrMinus(value) != 0;
    }

    public static int length(@Nullable Object value) {
        int length = lengthOrMinus(value);
        if (length < 0) {
            throw new TemplateError("object of type '" + typeName(value) + "' has no len()");
        }
        return length;
    }

    /** The length; -1 for what has none. */
    public static int lengthOrMinus(@Nullable Object value) {
        if (isText(value)) {
            return PythonText.length(text(value));
        } else if (value instanceof Dict dict) {
            return dict.size();
        } else if (value instanceof Undefined) {
            return 0;
        } else if (value instanceof PyObject object) {
            return object.length();
        }
        List<@Nullable Object> items = items(value);
        return items == null ? -1 : items.size();
    }

    /** The items of what holds some at places or in a view; null for what does not. Not for text and dicts. */
    public static @Nullable List<@Nullable Object> items(@Nullable Object value) {
        if (value instanceof List<?> list) {
            return asList(list);
        } else if (value instanceof Tuple tuple) {
            return tuple.items();
        } else if (value instanceof Range range) {
            return range.items();
        } else if (value instanceof DictView view) {
            return view.items();
        }
        return null;
    }

    @SuppressWarnings("unchecked")
    static List<@Nullable Object> asList(List<?> list) {
        return (List<@Nullable Object>) list;
    }

    public static boolean isIterable(@Nullable Object value) {
        return iteratorOrNull(value) != null;
    }

    public static Iterator<@Nullable Object> iterator(@Nullable Object value) {
        Iterator<@Nullable Object> iterator = iteratorOrNull(value);
        if (iterator == null) {
            throw new TemplateError("'" + typeName(value) + "' object is not iterable");
        }
        return iterator;
    }

    /** The items of a value; each costs a step. */
    public static Iterator<@Nullable Object> countedIterator(@Nullable Object value) {
        Iterator<@Nullable Object> items = iterator(value);
        return new Iterator<>() {
            @Override
            public boolean hasNext() {
                return items.hasNext();
            }

            @Override
            public @Nullable Object next() {
                Budget.charge(1);
                return items.next();
            }
        };
    }

    /** Goes through the items of a value. */
    public static void each(@Nullable Object value, Consumer<@Nullable Object> action) {
        countedIterator(value).forEachRemaining(action);
    }

    /** The items of a value as a new list. */
    public static List<@Nullable Object> list(@Nullable Object value) {
        List<@Nullable Object> list = new ArrayList<>();
        each(value, list::add);
        return list;
    }

    private static @Nullable Iterator<@Nullable Object> iteratorOrNull(@Nullable Object value) {
        if (value instanceof String text) {
            return PythonText.characters(text).iterator();
        } else if (value instanceof SafeText safe) {
            return PythonText.characters(safe.text()).iterator();
        } else if (value instanceof Dict dict) {
            return dict.keys().iterator();
        } else if (value instanceof Undefined) {
            return new ArrayList<@Nullable Object>().iterator();
        } else if (value instanceof PyIterator iterator) {
            return iterator.items();
        } else if (value instanceof PyObject object) {
            return object.iterator();
        }
        List<@Nullable Object> items = items(value);
        return items == null ? null : items.iterator();
    }

    /** The failure of an operation: that of an operand that is undefined, if one is. */
    public static TemplateError undefinedOr(@Nullable Object left, @Nullable Object right, Supplier<String> reason) {
        if (left instanceof Undefined undefined) {
            return undefined.failure();
        }
        return right instanceof Undefined undefined ? undefined.failure() : new TemplateError(reason.get());
    }

    public static boolean isText(@Nullable Object value) {
        return value instanceof String || value instanceof SafeText;
    }

    /** The text that a value is; fails for what is no text. */
    public static String text(@Nullable Object value) {
        if (isText(value)) {
            return charged(value);
        }
        throw undefinedOr(value, null, () -> "expected str, found " + typeName(value));
    }

    /** The whole number that a value is, for places and counts. */
    public static int index(@Nullable Object value) {
        if (value == null || !Numbers.isWhole(value)) {
            throw undefinedOr(
                    value, null, () -> "'" + typeName(value) + "' object cannot be interpreted as an integer");
        }
        BigInteger big = Numbers.big(value);
        if (big.bitLength() > 31) {
            throw new TemplateError("the number " + Numbers.text(value) + " is too large for a place or a count");
        }
        return big.intValueExact();
    }

    /** What equal keys have in common. Fails for what cannot be a key. */
    public static Key hashKey(@Nullable Object key) {
        return hashKey(key, 0);
    }

    private static Key hashKey(@Nullable Object key, int depth) {
        checkDepth(depth);
        Budget.charge(1);
        if (key instanceof Boolean bit) {
            return Key.of(bit ? 1L : 0L);
        }
        if (key instanceof Double real) {
            return Key.of(real == Math.rint(real) && !Double.isInfinite(real) ? Numbers.truncate(real) : real);
        }
        if (key instanceof Tuple tuple) {
            Budget.charge(tuple.items().size());
            Budget.allocate(KEY_BYTES * (1L + tuple.items().size()));
            List<Key> keys = new ArrayList<>(tuple.items().size());
            tuple.items().forEach(item -> keys.add(hashKey(item, depth + 1)));
            return Key.of(keys);
        }
        if (key instanceof SafeText safe) {
            return Key.of(safe.text());
        }
        if (key instanceof List || key instanceof Dict || key instanceof DictView) {
            throw new TemplateError("unhashable type: '" + typeName(key) + "'");
        }
        return Key.of(key == null ? NONE_KEY : key instanceof Undefined ? UNDEFINED_KEY : key);
    }

    /** As {@code str} writes the value. */
    public static String str(@Nullable Object value) {
        if (isText(value)) {
            return charged(value);
        }
        return value instanceof Undefined ? "" : repr(value);
    }

    /** Whoever takes the text goes through it, so this is where it is paid for. */
    private static String charged(@Nullable Object text) {
        String charged = text instanceof SafeText safe ? safe.text() : (String) Objects.requireNonNull(text);
        Budget.chargeText(charged.length());
        return charged;
    }

    /** As {@code repr} writes the value. */
    public static String repr(@Nullable Object value) {
        StringBuilder text = new StringBuilder();
        new PyRepr(text).write(value, 0);
        Budget.allocate(2L * text.length());
        return text.toString();
    }

    public static void checkDepth(int depth) {
        if (depth > MAX_DEPTH) {
            throw new TemplateError("values lie more than " + MAX_DEPTH + " deep in each other");
        }
    }
}
