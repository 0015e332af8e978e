package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.Expression.Arguments;
import dev.finetune4j.core.text.jinja.Token.Kind;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Reads the expressions of a template, from {@link #tuple} down by how tightly the operators bind. */
final class ExpressionParser {
    private static final Set<String> COMPARISONS = Set.of("==", "!=", "<", "<=", ">", ">=");
    private static final Set<String> PRODUCTS = Set.of("*", "/", "//", "%");

    private final Tokens tokens;
    private final PostfixParser suffixes;
    /** The variables read since the body of the innermost macro began; see {@link Parser}. */
    private Set<String> namesRead = new HashSet<>();
    /** Filters and tests that do not exist. Jinja minds them only where no condition may keep them from being used. */
    private final List<JinjaException> unknown = new ArrayList<>();

    ExpressionParser(Tokens tokens) {
        this.tokens = tokens;
        this.suffixes = new PostfixParser(tokens, this);
    }

    /** How many unknown filters and tests were met, for {@link #excuseUnknownSince}. */
    int unknownCount() {
        return unknown.size();
    }

    void excuseUnknownSince(int count) {
        unknown.subList(count, unknown.size()).clear();
    }

    void refuseUnknownSince(int count) {
        if (unknown.size() > count) {
            throw unknown.get(count);
        }
    }

    Set<String> namesRead() {
        return namesRead;
    }

    void collectNamesIn(Set<String> names) {
        namesRead = names;
    }

    /**
     * One expression, or several with commas between them.
     *
     * @param conditional whether {@code a if b} may stand there
     * @param endName a name that ends the tuple; null if none does
     */
    Expression tuple(boolean conditional, @Nullable String endName) {
        return tuple(conditional, endName, false);
    }

    private Expression tuple(boolean conditional, @Nullable String endName, boolean mayBeEmpty) {
        int at = tokens.current().at();
        List<Expression> items = new ArrayList<>();
        boolean isTuple = false;
        while (!endsTuple(endName)) {
            items.add(conditional ? expression() : disjunction());
            if (!tokens.skipOperator(",")) {
                break;
            }
            isTuple = true;
        }
        if (!isTuple && !items.isEmpty()) {
            return items.get(0);
        }
        if (items.isEmpty() && !mayBeEmpty) {
            throw tokens.error(
                    tokens.current(),
                    "expected an expression, found " + tokens.current().describe());
        }
        return new Expression.TupleOf(items, at);
    }

    private boolean endsTuple(@Nullable String endName) {
        return tokens.at(Kind.PRINT_END)
                || tokens.at(Kind.BLOCK_END)
                || tokens.atOperator(")")
                || (endName != null && tokens.atName(endName));
    }

    Expression expression() {
        tokens.enter();
        int at = tokens.current().at();
        int unknownBefore = unknown.size();
        Expression value = disjunction();
        while (tokens.skipName("if")) {
            Expression test = disjunction();
            Expression otherwise = tokens.skipName("else") ? expression() : null;
            value = new Expression.Conditional(test, value, otherwise, at);
            excuseUnknownSince(unknownBefore);
        }
        tokens.leave();
        return value;
    }

    private Expression disjunction() {
        Expression left = conjunction();
        while (tokens.atName("or")) {
            int at = tokens.next().at();
            left = new Expression.Logical(false, left, conjunction(), at);
        }
        return left;
    }

    private Expression conjunction() {
        Expression left = negation();
        while (tokens.atName("and")) {
            int at = tokens.next().at();
            left = new Expression.Logical(true, left, negation(), at);
        }
        return left;
    }

    private Expression negation() {
        if (!tokens.atName("not")) {
            return comparison();
        }
        tokens.enter();
        int at = tokens.next().at();
        Expression operand = negation();
        tokens.leave();
        return new Expression.Not(operand, at);
    }

    private Expression comparison() {
        int at = tokens.current().at();
        Expression first = sum();
        List<String> operators = new ArrayList<>();
        List<Expression> others = new ArrayList<>();
        while (true) {
            Token token = tokens.current();
            if (token.kind() == Kind.OPERATOR && COMPARISONS.contains(token.text())) {
                operators.add(token.text());
            } else if (token.isName("in")) {
                operators.add("in");
            } else if (token.isName("not") && tokens.following().isName("in")) {
                tokens.next();
                operators.add("not in");
            } else {
                break;
            }
            tokens.next();
            others.add(sum());
        }
        return operators.isEmpty() ? first : new Expression.Comparison(first, operators, others, at);
    }

    private Expression sum() {
        Expression left = concatenation();
        while (tokens.atOperator("+") || tokens.atOperator("-")) {
            Token operator = tokens.next();
            left = new Expression.Binary(operator.text(), left, concatenation(), operator.at());
        }
        return left;
    }

    private Expression concatenation() {
        Expression first = product();
        if (!tokens.atOperator("~")) {
            return first;
        }
        int at = tokens.current().at();
        List<Expression> parts = new ArrayList<>(List.of(first));
        while (tokens.skipOperator("~")) {
            parts.add(product());
        }
        return new Expression.Concatenation(parts, at);
    }

    private Expression product() {
        Expression left = power();
        while (tokens.at(Kind.OPERATOR) && PRODUCTS.contains(tokens.current().text())) {
            Token operator = tokens.next();
            left = new Expression.Binary(operator.text(), left, power(), operator.at());
        }
        return left;
    }

    private Expression power() {
        Expression left = unary(true);
        while (tokens.atOperator("**")) {
            int at = tokens.next().at();
            left = new Expression.Binary("**", left, unary(true), at);
        }
        return left;
    }

    private Expression unary(boolean filters) {
        tokens.enter();
        Expression node;
        if (tokens.atOperator("-") || tokens.atOperator("+")) {
            Token sign = tokens.next();
            node = new Expression.Sign(sign.text().equals("-"), unary(false), sign.at());
        } else {
            node = primary();
        }
        node = suffixes.postfix(node);
        if (filters) {
            node = filtersAndTests(node);
        }
        tokens.leave();
        return node;
    }

    private Expression primary() {
        Token token = tokens.current();
        switch (token.kind()) {
            case NAME -> {
                tokens.next();
                return named(token);
            }
            case NUMBER -> {
                tokens.next();
                return new Expression.Constant(token.value(), token.at());
            }
            case STRING -> {
                StringBuilder text = new StringBuilder();
                while (tokens.at(Kind.STRING)) {
                    text.append(tokens.next().text());
                }
                return new Expression.Constant(text.toString(), token.at());
            }
            default -> {
                if (tokens.skipOperator("(")) {
                    Expression tuple = tuple(true, null, true);
                    tokens.expectOperator(")");
                    return tuple;
                }
                if (tokens.skipOperator("[")) {
                    return list(token.at());
                }
                if (tokens.skipOperator("{")) {
                    return dict(token.at());
                }
                throw tokens.error(token, "expected an expression, found " + token.describe());
            }
        }
    }

    private Expression named(Token token) {
        return switch (token.text()) {
            case "true", "True" -> new Expression.Constant(true, token.at());
            case "false", "False" -> new Expression.Constant(false, token.at());
            case "none", "None" -> new Expression.Constant(null, token.at());
            default -> {
                namesRead.add(token.text());
                yield new Expression.Name(token.text(), token.at());
            }
        };
    }

    private Expression list(int at) {
        List<Expression> items = new ArrayList<>();
        while (!tokens.atOperator("]")) {
            items.add(expression());
            if (!tokens.atOperator("]")) {
                tokens.expectOperator(",");
            }
        }
        tokens.next();
        return new Expression.ListOf(items, at);
    }

    private Expression dict(int at) {
        List<Expression> keys = new ArrayList<>();
        List<Expression> values = new ArrayList<>();
        while (!tokens.atOperator("}")) {
            keys.add(expression());
            tokens.expectOperator(":");
            values.add(expression());
            if (!tokens.atOperator("}")) {
                tokens.expectOperator(",");
            }
        }
        tokens.next();
        return new Expression.DictOf(keys, values, at);
    }

    private Expression filtersAndTests(Expression start) {
        Expression node = start;
        while (true) {
            if (tokens.atOperator("|")) {
                node = filter(node);
            } else if (tokens.atName("is")) {
                node = test(node);
            } else if (tokens.atOperator("(")) {
                node = suffixes.call(node);
            } else {
                return node;
            }
        }
    }

    /** Filters from the current {@code |} on. */
    Expression filter(Expression operand) {
        tokens.expectOperator("|");
        return filterAfterBar(operand);
    }

    /** A filter from its name on. */
    Expression.Filter filterAfterBar(@Nullable Expression operand) {
        int at = tokens.current().at();
        String name = dottedName();
        Arguments arguments = tokens.atOperator("(") ? suffixes.arguments() : Arguments.NONE;
        if (!Filters.isSupported(name)) {
            unknown.add(tokens.error(at, Filters.unknown(name)));
        }
        return new Expression.Filter(operand, name, arguments, at);
    }

    private Expression test(Expression operand) {
        int at = tokens.next().at();
        boolean negated = tokens.skipName("not");
        int nameAt = tokens.current().at();
        String name = dottedName();
        Arguments arguments = Arguments.NONE;
        if (tokens.atOperator("(")) {
            arguments = suffixes.arguments();
        } else if (beginsArgument()) {
            if (tokens.atName("is")) {
                throw tokens.error(tokens.current(), "tests cannot be chained with 'is'; join them with 'and'");
            }
            arguments = new Arguments(List.of(suffixes.postfix(primary())), List.of(), List.of(), null, null);
        }
        if (!Tests.isKnown(name)) {
            unknown.add(tokens.error(nameAt, Tests.unknown(name)));
        }
        Expression test = new Expression.Test(operand, name, arguments, at);
        return negated ? new Expression.Not(test, at) : test;
    }

    private boolean beginsArgument() {
        return switch (tokens.current().kind()) {
            case NAME -> !tokens.atName("else") && !tokens.atName("or") && !tokens.atName("and");
            case STRING, NUMBER -> true;
            default -> tokens.atOperator("[") || tokens.atOperator("{");
        };
    }

    private String dottedName() {
        StringBuilder name = new StringBuilder(tokens.name());
        while (tokens.skipOperator(".")) {
            name.append('.').append(tokens.name());
        }
        return name.toString();
    }
}
