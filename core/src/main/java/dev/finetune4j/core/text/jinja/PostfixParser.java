package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.Expression.Arguments;
import dev.finetune4j.core.text.jinja.Token.Kind;
import java.util.ArrayList;
import java.util.List;

/** Reads what stands behind an expression and belongs to it: {@code .name}, {@code [key]}, {@code [a:b]} and {@code (…)}. */
final class PostfixParser {
    private final Tokens tokens;
    private final ExpressionParser expressions;

    PostfixParser(Tokens tokens, ExpressionParser expressions) {
        this.tokens = tokens;
        this.expressions = expressions;
    }

    /** The expression with the attributes, items and calls behind it. */
    Expression postfix(Expression start) {
        Expression node = start;
        while (true) {
            if (tokens.atOperator(".") || tokens.atOperator("[")) {
                node = subscript(node);
            } else if (tokens.atOperator("(")) {
                node = call(node);
            } else {
                return node;
            }
        }
    }

    private Expression subscript(Expression object) {
        int at = tokens.current().at();
        if (tokens.skipOperator(".")) {
            Token token = tokens.next();
            if (token.kind() == Kind.NAME) {
                return new Expression.Attribute(object, token.text(), at);
            }
            if (token.kind() == Kind.NUMBER && !(token.value() instanceof Double)) {
                return new Expression.Item(object, new Expression.Constant(token.value(), token.at()), at);
            }
            throw tokens.error(token, "expected a name or a number after the dot, found " + token.describe());
        }
        tokens.expectOperator("[");
        List<Expression> keys = new ArrayList<>();
        while (!tokens.atOperator("]")) {
            if (!keys.isEmpty()) {
                tokens.expectOperator(",");
            }
            keys.add(keyOrSlice());
        }
        tokens.next();
        return new Expression.Item(object, keys.size() == 1 ? keys.get(0) : new Expression.TupleOf(keys, at), at);
    }

    private Expression keyOrSlice() {
        int at = tokens.current().at();
        Expression start = null;
        if (!tokens.atOperator(":")) {
            start = expressions.expression();
            if (!tokens.atOperator(":")) {
                return start;
            }
        }
        tokens.next();
        Expression stop = endsSlice() || tokens.atOperator(":") ? null : expressions.expression();
        Expression step = tokens.skipOperator(":") && !endsSlice() ? expressions.expression() : null;
        return new Expression.Slice(start, stop, step, at);
    }

    private boolean endsSlice() {
        return tokens.atOperator("]") || tokens.atOperator(",");
    }

    /** A call, from its opening bracket on. */
    Expression call(Expression function) {
        int at = tokens.current().at();
        return new Expression.Call(function, arguments(), at);
    }

    /** The arguments of a call, from its opening bracket on. */
    Arguments arguments() {
        Token open = tokens.current();
        tokens.expectOperator("(");
        List<Expression> positional = new ArrayList<>();
        List<String> names = new ArrayList<>();
        List<Expression> named = new ArrayList<>();
        Expression more = null;
        Expression moreNamed = null;
        while (!tokens.atOperator(")")) {
            boolean inOrder;
            if (tokens.skipOperator("*")) {
                inOrder = more == null && moreNamed == null;
                more = expressions.expression();
            } else if (tokens.skipOperator("**")) {
                inOrder = moreNamed == null;
                moreNamed = expressions.expression();
            } else if (tokens.at(Kind.NAME) && tokens.following().isOperator("=")) {
                inOrder = moreNamed == null;
                String name = tokens.next().text();
                if (names.contains(name)) {
                    throw tokens.error(open, "the argument " + name + " is given twice");
                }
                names.add(name);
                tokens.next();
                named.add(expressions.expression());
            } else {
                inOrder = more == null && moreNamed == null && names.isEmpty();
                positional.add(expressions.expression());
            }
            if (!inOrder) {
                throw tokens.error(
                        open, "the arguments of the call are out of order; first plain ones, then named, * and **");
            }
            if (!tokens.atOperator(")")) {
                tokens.expectOperator(",");
            }
        }
        tokens.next();
        return new Arguments(positional, names, named, more, moreNamed);
    }
}
