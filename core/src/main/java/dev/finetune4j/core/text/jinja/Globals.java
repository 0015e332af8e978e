package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.python.CallArguments;
import dev.finetune4j.core.text.jinja.python.Cycler;
import dev.finetune4j.core.text.jinja.python.Dict;
import dev.finetune4j.core.text.jinja.python.Namespace;
import dev.finetune4j.core.text.jinja.python.PyCallable;
import dev.finetune4j.core.text.jinja.python.Range;
import dev.finetune4j.core.text.jinja.python.Strftime;
import dev.finetune4j.core.text.jinja.python.TemplateError;
import dev.finetune4j.core.text.jinja.python.Undefined;
import dev.finetune4j.core.text.jinja.python.Values;
import java.time.Clock;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The functions that every template has. */
final class Globals {
    /** The value of {@code self} unless a template gives that name to another: reading it is refused. */
    static final Object SELF = new Object();

    private Globals() {}

    static Scope scope(Clock clock) {
        Scope scope = new Scope(null);
        scope.set("raise_exception", (PyCallable) arguments -> {
            throw TemplateError.refusal(
                    Values.str(arguments.bind("raise_exception", 1, "message").get("message")));
        });
        scope.set("strftime_now", (PyCallable) arguments -> {
            Object format = arguments.bind("strftime_now", 1, "format").get("format");
            return Strftime.format(Values.text(format), LocalDateTime.now(clock));
        });
        scope.set("range", (PyCallable) arguments -> range(arguments));
        scope.set("dict", (PyCallable) Globals::dict);
        scope.set("namespace", (PyCallable) arguments -> new Namespace(dict(arguments)));
        scope.set("cycler", (PyCallable) arguments -> {
            arguments.from(arguments.positional().size()).bind("cycler", 0);
            return new Cycler(new ArrayList<>(arguments.positional()));
        });
        scope.set("joiner", (PyCallable) arguments -> joiner(arguments));
        scope.set("lipsum", (PyCallable) arguments -> {
            throw new TemplateError("the function lipsum is not supported: what it writes is random");
        });
        return scope;
    }

    private static Range range(CallArguments arguments) {
        List<@Nullable Object> bounds = arguments.positional();
        if (bounds.isEmpty() || bounds.size() > 3 || !arguments.named().isEmpty()) {
            throw new TemplateError("range takes one to three whole numbers");
        }
        long first = Values.index(bounds.get(0));
        return bounds.size() == 1
                ? new Range(0, first, 1)
                : new Range(first, Values.index(bounds.get(1)), bounds.size() == 2 ? 1 : Values.index(bounds.get(2)));
    }

    private static Dict dict(CallArguments arguments) {
        Dict dict = new Dict();
        if (arguments.positional().size() > 1) {
            throw new TemplateError("dict expected at most 1 argument, got "
                    + arguments.positional().size());
        }
        for (Object entries : arguments.positional()) {
            if (entries instanceof Dict other) {
                dict.putAll(other);
            } else if (entries instanceof Undefined undefined) {
                throw undefined.failure();
            } else {
                Values.each(entries, entry -> {
                    List<@Nullable Object> pair = Values.list(entry);
                    if (pair.size() != 2) {
                        throw new TemplateError("dict needs pairs, found an entry of " + pair.size() + " items");
                    }
                    dict.put(pair.get(0), pair.get(1));
                });
            }
        }
        arguments.named().forEach(dict::put);
        return dict;
    }

    /** A function that gives nothing the first time, and then the separator. */
    private static PyCallable joiner(CallArguments arguments) {
        Object separator = arguments.bind("joiner", 0, "sep").get("sep", ", ");
        boolean[] used = new boolean[1];
        return none -> {
            none.bind("joiner", 0);
            if (used[0]) {
                return separator;
            }
            used[0] = true;
            return "";
        };
    }
}
