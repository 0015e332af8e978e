package dev.finetune4j.core.text.jinja;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** An expression of a template, as a tree. Each knows where it begins in the source, for messages. */
sealed interface Expression {
    /** The place in the source. */
    int at();

    /** A value that stands in the template. */
    record Constant(@Nullable Object value, int at) implements Expression {}

    /** A variable. */
    record Name(String name, int at) implements Expression {}

    /** {@code a, b}. */
    record TupleOf(List<Expression> items, int at) implements Expression {}

    /** {@code [a, b]}. */
    record ListOf(List<Expression> items, int at) implements Expression {}

    /** {@code {k: v}}. */
    record DictOf(List<Expression> keys, List<Expression> values, int at) implements Expression {}

    /** {@code then if test else otherwise}. */
    record Conditional(
            Expression test, Expression then, @Nullable Expression otherwise, int at) implements Expression {}

    /** {@code a or b}, {@code a and b}. */
    record Logical(boolean isAnd, Expression left, Expression right, int at) implements Expression {}

    /** {@code not a}. */
    record Not(Expression operand, int at) implements Expression {}

    /** {@code -a}, {@code +a}. */
    record Sign(boolean negative, Expression operand, int at) implements Expression {}

    /** Arithmetic; the operator is its sign. */
    record Binary(String operator, Expression left, Expression right, int at) implements Expression {}

    /** {@code a ~ b ~ c}. */
    record Concatenation(List<Expression> parts, int at) implements Expression {}

    /** {@code a < b <= c}; operators {@code in} and {@code not in} among them. */
    record Comparison(Expression first, List<String> operators, List<Expression> others, int at)
            implements Expression {}

    /** {@code a.name}. */
    record Attribute(Expression object, String name, int at) implements Expression {}

    /** {@code a[key]}. */
    record Item(Expression object, Expression key, int at) implements Expression {}

    /** {@code start:stop:step} in brackets. */
    record Slice(
            @Nullable Expression start,
            @Nullable Expression stop,
            @Nullable Expression step,
            int at) implements Expression {}

    /** {@code f(…)}. */
    record Call(Expression function, Arguments arguments, int at) implements Expression {}

    /** {@code a|name(…)}; without an operand in a filter block, whose body takes its place. */
    record Filter(@Nullable Expression operand, String name, Arguments arguments, int at) implements Expression {}

    /** {@code a is name(…)}. */
    record Test(Expression operand, String name, Arguments arguments, int at) implements Expression {}

    /**
     * What stands between the parentheses of a call.
     *
     * @param names of the named arguments
     * @param named their values
     * @param more after {@code *}
     * @param moreNamed after {@code **}
     */
    record Arguments(
            List<Expression> positional,
            List<String> names,
            List<Expression> named,
            @Nullable Expression more,
            @Nullable Expression moreNamed) {
        static final Arguments NONE = new Arguments(List.of(), List.of(), List.of(), null, null);
    }
}
