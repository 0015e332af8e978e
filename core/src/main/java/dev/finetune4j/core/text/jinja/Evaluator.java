package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.python.Budget;
import dev.finetune4j.core.text.jinja.python.CallArguments;
import dev.finetune4j.core.text.jinja.python.Dict;
import dev.finetune4j.core.text.jinja.python.Members;
import dev.finetune4j.core.text.jinja.python.Operators;
import dev.finetune4j.core.text.jinja.python.PyCallable;
import dev.finetune4j.core.text.jinja.python.SafeText;
import dev.finetune4j.core.text.jinja.python.Slices;
import dev.finetune4j.core.text.jinja.python.TemplateError;
import dev.finetune4j.core.text.jinja.python.Tuple;
import dev.finetune4j.core.text.jinja.python.Undefined;
import dev.finetune4j.core.text.jinja.python.Values;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Works out expressions, and gives filters, tests and functions what they need of the rendering they run in. */
final class Evaluator {
    /** What a list takes by itself. */
    private static final int LIST_BYTES = 64;

    private final Source source;
    private final Interpreter interpreter;
    private final Budget budget;

    Evaluator(Source source, Interpreter interpreter, Budget budget) {
        this.source = source;
        this.interpreter = interpreter;
        this.budget = budget;
    }

    Interpreter interpreter() {
        return interpreter;
    }

    Budget budget() {
        return budget;
    }

    /**
     * The value of an expression.
     *
     * @throws JinjaException with the place of the innermost expression that has none
     */
    @Nullable
    Object evaluate(Expression expression, Scope scope) {
        try {
            budget.spend(1);
            Object value = valueOf(expression, scope);
            if (isMade(expression)) {
                payFor(value);
            }
            return value;
        } catch (TemplateError e) {
            throw source.error(expression.at(), e);
        }
    }

    /** Whether the expression may make a value, rather than find or choose one. */
    private static boolean isMade(Expression expression) {
        return !(expression instanceof Expression.Constant
                || expression instanceof Expression.Name
                || expression instanceof Expression.Attribute
                || expression instanceof Expression.Logical
                || expression instanceof Expression.Conditional);
    }

    private void payFor(@Nullable Object value) {
        if (value instanceof String text) {
            budget.spendNewText(text.length());
        } else if (value instanceof SafeText safe) {
            budget.spendNewText(safe.text().length());
        } else if (value instanceof List || value instanceof Tuple) {
            Budget.allocate(LIST_BYTES + (long) Budget.ITEM_BYTES * Values.lengthOrMinus(value));
        } else if (value != null && !(value instanceof Boolean)) {
            Budget.allocate(LIST_BYTES);
        }
    }

    private @Nullable Object valueOf(Expression expression, Scope scope) {
        if (expression instanceof Expression.Constant constant) {
            return constant.value();
        } else if (expression instanceof Expression.Name name) {
            return variable(scope.get(name.name()));
        } else if (expression instanceof Expression.Attribute attribute) {
            return Members.attribute(evaluate(attribute.object(), scope), attribute.name());
        } else if (expression instanceof Expression.Item item) {
            return item(item, scope);
        } else if (expression instanceof Expression.Filter filter) {
            Expression operand = filter.operand();
            return filtered(filter, operand == null ? null : evaluate(operand, scope), scope);
        } else if (expression instanceof Expression.Test test) {
            Object operand = evaluate(test.operand(), scope);
            return test(test.name(), operand, arguments(test.arguments(), scope));
        } else if (expression instanceof Expression.Call call) {
            Object function = evaluate(call.function(), scope);
            return call(function, arguments(call.arguments(), scope));
        } else if (expression instanceof Expression.Logical || expression instanceof Expression.Comparison) {
            return decided(expression, scope);
        } else if (expression instanceof Expression.Not not) {
            return !Values.truth(evaluate(not.operand(), scope));
        } else if (expression instanceof Expression.Conditional conditional) {
            return chosen(conditional, scope);
        } else if (expression instanceof Expression.Binary binary) {
            Object left = evaluate(binary.left(), scope);
            return Operators.binary(binary.operator(), left, evaluate(binary.right(), scope));
        } else if (expression instanceof Expression.Concatenation concatenation) {
            StringBuilder text = new StringBuilder();
            for (Expression part : concatenation.parts()) {
                text.append(Values.str(evaluate(part, scope)));
                Budget.checkLength(text.length());
            }
            return text.toString();
        } else if (expression instanceof Expression.Sign sign) {
            return Operators.signed(sign.negative(), evaluate(sign.operand(), scope));
        }
        return collection(expression, scope);
    }

    private static @Nullable Object variable(@Nullable Object value) {
        if (value == Globals.SELF) {
            throw new TemplateError(
                    "the variable self is not supported: it stands for the blocks of templates that extend"
                            + " each other");
        }
        return value;
    }

    private @Nullable Object collection(Expression expression, Scope scope) {
        if (expression instanceof Expression.ListOf list) {
            return all(list.items(), scope);
        } else if (expression instanceof Expression.TupleOf tuple) {
            return new Tuple(all(tuple.items(), scope));
        } else if (expression instanceof Expression.DictOf pairs) {
            Dict dict = new Dict();
            for (int i = 0; i < pairs.keys().size(); i++) {
                Object key = evaluate(pairs.keys().get(i), scope);
                dict.put(key, evaluate(pairs.values().get(i), scope));
            }
            return dict;
        }
        throw new TemplateError("a slice stands alone in brackets; several together are not supported");
    }

    private List<@Nullable Object> all(List<Expression> expressions, Scope scope) {
        List<@Nullable Object> values = new ArrayList<>(expressions.size());
        expressions.forEach(expression -> values.add(evaluate(expression, scope)));
        return values;
    }

    private @Nullable Object item(Expression.Item item, Scope scope) {
        Object object = evaluate(item.object(), scope);
        if (item.key() instanceof Expression.Slice slice) {
            Object piece = Slices.of(
                    object,
                    evaluateOrNull(slice.start(), scope),
                    evaluateOrNull(slice.stop(), scope),
                    evaluateOrNull(slice.step(), scope));
            budget.spend(Math.max(0, Values.lengthOrMinus(piece)));
            return piece;
        }
        return Members.item(object, evaluate(item.key(), scope));
    }

    private @Nullable Object evaluateOrNull(@Nullable Expression expression, Scope scope) {
        return expression == null ? null : evaluate(expression, scope);
    }

    private @Nullable Object decided(Expression expression, Scope scope) {
        if (expression instanceof Expression.Logical logical) {
            Object left = evaluate(logical.left(), scope);
            return Values.truth(left) == logical.isAnd() ? evaluate(logical.right(), scope) : left;
        }
        Expression.Comparison comparison = (Expression.Comparison) expression;
        Object left = evaluate(comparison.first(), scope);
        for (int i = 0; i < comparison.operators().size(); i++) {
            Object right = evaluate(comparison.others().get(i), scope);
            if (!Operators.compare(comparison.operators().get(i), left, right)) {
                return false;
            }
            left = right;
        }
        return true;
    }

    private @Nullable Object chosen(Expression.Conditional conditional, Scope scope) {
        if (Values.truth(evaluate(conditional.test(), scope))) {
            return evaluate(conditional.then(), scope);
        }
        Expression otherwise = conditional.otherwise();
        return otherwise == null
                ? new Undefined("the inline if-expression was false and has no else")
                : evaluate(otherwise, scope);
    }

    /** What a filter makes of a value; for a filter on a filter block, the inner one first. */
    @Nullable
    Object filteredBlock(Expression.Filter filter, String body, Scope scope) {
        try {
            Object operand =
                    filter.operand() instanceof Expression.Filter inner ? filteredBlock(inner, body, scope) : body;
            return filtered(filter, operand, scope);
        } catch (TemplateError e) {
            throw source.error(filter.at(), e);
        }
    }

    private @Nullable Object filtered(Expression.Filter filter, @Nullable Object operand, Scope scope) {
        return filter(filter.name(), operand, arguments(filter.arguments(), scope));
    }

    /** Applies the filter of a name. */
    @Nullable
    Object filter(String name, @Nullable Object operand, CallArguments arguments) {
        chargeFor(operand);
        return Filters.named(name).apply(this, operand, arguments);
    }

    /** Applies the test of a name. */
    boolean test(String name, @Nullable Object operand, CallArguments arguments) {
        chargeFor(operand);
        return Tests.named(name).holds(operand, arguments);
    }

    /** Filters and tests go through a text at least once. */
    private static void chargeFor(@Nullable Object operand) {
        Budget.charge(1);
        if (Values.isText(operand)) {
            Budget.chargeText(Values.text(operand).length());
        }
    }

    /** Calls a value. */
    @Nullable
    Object call(@Nullable Object function, CallArguments arguments) {
        if (!(function instanceof PyCallable callable)) {
            throw Values.undefinedOr(
                    function, null, () -> "a value of type '" + Values.typeName(function) + "' cannot be called");
        }
        budget.enter();
        try {
            return callable.call(arguments);
        } finally {
            budget.leave();
        }
    }

    CallArguments arguments(Expression.Arguments arguments, Scope scope) {
        List<@Nullable Object> positional = all(arguments.positional(), scope);
        Map<String, @Nullable Object> named = new LinkedHashMap<>();
        for (int i = 0; i < arguments.names().size(); i++) {
            named.put(arguments.names().get(i), evaluate(arguments.named().get(i), scope));
        }
        Expression more = arguments.more();
        if (more != null) {
            Values.each(evaluate(more, scope), positional::add);
        }
        Expression moreNamed = arguments.moreNamed();
        if (moreNamed != null) {
            if (!(evaluate(moreNamed, scope) instanceof Dict rest)) {
                throw new TemplateError("what follows ** must be a dict");
            }
            rest.forEach((name, value) -> {
                if (named.put(Values.text(name), value) != null) {
                    throw new TemplateError("the argument " + name + " is given twice");
                }
            });
        }
        return new CallArguments(positional, named);
    }
}
