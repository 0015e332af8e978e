package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.python.CallArguments;
import dev.finetune4j.core.text.jinja.python.Comparisons;
import dev.finetune4j.core.text.jinja.python.PyCallable;
import dev.finetune4j.core.text.jinja.python.PyObject;
import dev.finetune4j.core.text.jinja.python.TemplateError;
import dev.finetune4j.core.text.jinja.python.Tuple;
import dev.finetune4j.core.text.jinja.python.Undefined;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import org.jspecify.annotations.Nullable;

/** The variable {@code loop}: where a loop stands. It hands out the items, looking ahead only when asked to. */
final class LoopState implements Iterator<@Nullable Object>, PyObject, PyCallable {
    private static final Object MISSING = new Object();

    private final int knownLength;
    private final int depth0;
    private final @Nullable PyCallable recursion;
    private Iterator<@Nullable Object> items;
    private int length = -1;
    private int index0 = -1;
    private @Nullable Object before = MISSING;
    private @Nullable Object current = MISSING;
    private @Nullable Object after = MISSING;
    private @Nullable List<@Nullable Object> lastChanged;

    /**
     * A loop before its first item.
     *
     * @param knownLength -1 if the items have to be counted
     * @param recursion what calling the loop does; null if the loop is not recursive
     */
    LoopState(Iterator<@Nullable Object> items, int knownLength, int depth0, @Nullable PyCallable recursion) {
        this.items = items;
        this.knownLength = knownLength;
        this.depth0 = depth0;
        this.recursion = recursion;
    }

    int depth() {
        return depth0 + 1;
    }

    @Override
    public boolean hasNext() {
        return after != MISSING || items.hasNext();
    }

    @Override
    public @Nullable Object next() {
        Object item = after;
        if (item == MISSING) {
            if (!items.hasNext()) {
                throw new NoSuchElementException();
            }
            item = items.next();
        }
        after = MISSING;
        index0++;
        before = current;
        current = item;
        return item;
    }

    @Override
    public String typeName() {
        return "LoopContext";
    }

    @Override
    public Iterator<@Nullable Object> iterator() {
        return this;
    }

    @Override
    public int length() {
        if (knownLength >= 0) {
            return knownLength;
        }
        if (length < 0) {
            List<@Nullable Object> rest = new ArrayList<>();
            items.forEachRemaining(rest::add);
            items = rest.iterator();
            length = rest.size() + index0 + 1 + (after == MISSING ? 0 : 1);
        }
        return length;
    }

    private boolean peek() {
        if (after == MISSING && items.hasNext()) {
            after = items.next();
        }
        return after != MISSING;
    }

    @Override
    public @Nullable Object attribute(String name) {
        return switch (name) {
            case "index" -> index0 + 1L;
            case "index0" -> (long) index0;
            case "revindex" -> (long) length() - index0;
            case "revindex0" -> (long) length() - index0 - 1;
            case "first" -> index0 == 0;
            case "last" -> !peek();
            case "length" -> (long) length();
            case "depth" -> (long) depth();
            case "depth0" -> (long) depth0;
            case "previtem" -> index0 == 0 ? new Undefined("there is no previous item") : before;
            case "nextitem" -> peek() ? after : new Undefined("there is no next item");
            case "cycle" -> (PyCallable) arguments -> cycle(arguments);
            case "changed" -> (PyCallable) arguments -> changed(arguments);
            default -> Undefined.member(this, name);
        };
    }

    private @Nullable Object cycle(CallArguments arguments) {
        List<@Nullable Object> choices = arguments.positional();
        if (choices.isEmpty() || !arguments.named().isEmpty()) {
            throw new TemplateError("loop.cycle needs values to choose from, and no named arguments");
        }
        return choices.get(index0 % choices.size());
    }

    private boolean changed(CallArguments arguments) {
        if (!arguments.named().isEmpty()) {
            throw new TemplateError("loop.changed takes no named arguments");
        }
        List<@Nullable Object> values = arguments.positional();
        boolean changed = lastChanged == null || !Comparisons.equal(new Tuple(lastChanged), new Tuple(values));
        lastChanged = values;
        return changed;
    }

    @Override
    public @Nullable Object call(CallArguments arguments) {
        if (recursion == null) {
            throw new TemplateError("the loop calls itself, but it is not marked 'recursive'");
        }
        return recursion.call(arguments);
    }

    @Override
    public String toString() {
        return "<LoopContext " + (index0 + 1) + "/" + length() + ">";
    }
}
