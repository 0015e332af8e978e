package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.Statement.Signature;
import dev.finetune4j.core.text.jinja.python.Budget;
import dev.finetune4j.core.text.jinja.python.CallArguments;
import dev.finetune4j.core.text.jinja.python.Dict;
import dev.finetune4j.core.text.jinja.python.PyCallable;
import dev.finetune4j.core.text.jinja.python.PyObject;
import dev.finetune4j.core.text.jinja.python.PythonText;
import dev.finetune4j.core.text.jinja.python.TemplateError;
import dev.finetune4j.core.text.jinja.python.Tuple;
import dev.finetune4j.core.text.jinja.python.Undefined;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A function that a template defines; what it writes is its result. The body of a {@code call} block is one too.
 *
 * @param name null for the body of a {@code call} block
 * @param outer the variables around it
 * @param evaluator of the rendering that it belongs to
 */
record Macro(@Nullable String name, Signature signature, List<Statement> body, Scope outer, Evaluator evaluator)
        implements PyObject, PyCallable {
    @Override
    public String call(CallArguments arguments) {
        Budget.charge(2L * signature.names().size());
        Map<String, @Nullable Object> named = new LinkedHashMap<>(arguments.named());
        List<String> names = signature.names();
        List<@Nullable Object> positional = arguments.positional();
        Scope scope = new Scope(outer);
        boolean callerGiven = names.contains("caller") && positional.size() >= names.size();
        List<Integer> missing = new ArrayList<>();
        for (int i = 0; i < names.size(); i++) {
            String parameter = names.get(i);
            if (i < positional.size()) {
                scope.set(parameter, positional.get(i));
            } else {
                callerGiven |= parameter.equals("caller");
                if (named.containsKey(parameter)) {
                    scope.set(parameter, named.remove(parameter));
                } else {
                    missing.add(i);
                    scope.set(parameter, Undefined.variable(parameter));
                }
            }
        }
        if (signature.takesCaller() && !callerGiven) {
            Object caller = named.remove("caller");
            scope.set("caller", caller == null ? new Undefined("No caller defined") : caller);
        }
        takeRest(scope, positional, named);
        for (int i : missing) {
            scope.set(names.get(i), defaultOf(i, scope));
        }
        return evaluator.interpreter().function(body, scope);
    }

    private void takeRest(Scope scope, List<@Nullable Object> positional, Map<String, @Nullable Object> named) {
        if (signature.takesMoreNamed()) {
            Dict rest = new Dict();
            named.forEach(rest::put);
            scope.set("kwargs", rest);
        } else if (!named.isEmpty()) {
            throw new TemplateError("macro '" + name + "' takes no keyword argument '"
                    + named.keySet().iterator().next() + "'");
        }
        int count = signature.names().size();
        if (signature.takesMore()) {
            scope.set("varargs", new Tuple(positional.subList(Math.min(count, positional.size()), positional.size())));
        } else if (positional.size() > count) {
            throw new TemplateError("macro '" + name + "' takes not more than " + count + " argument(s)");
        }
    }

    private @Nullable Object defaultOf(int parameter, Scope scope) {
        int place = parameter - (signature.names().size() - signature.defaults().size());
        return place < 0
                ? new Undefined("parameter '" + signature.names().get(parameter) + "' was not provided")
                : evaluator.evaluate(signature.defaults().get(place), scope);
    }

    @Override
    public String typeName() {
        return "Macro";
    }

    @Override
    public @Nullable Object attribute(String attribute) {
        return switch (attribute) {
            case "name" -> name;
            case "arguments" -> new Tuple(new ArrayList<>(signature.names()));
            case "catch_kwargs" -> signature.takesMoreNamed();
            case "catch_varargs" -> signature.takesMore();
            case "caller" -> signature.takesCaller();
            case "explicit_caller" -> signature.names().contains("caller");
            default -> Undefined.member(this, attribute);
        };
    }

    @Override
    public String toString() {
        return name == null ? "<Macro anonymous>" : "<Macro " + PythonText.quoted(name) + ">";
    }
}
