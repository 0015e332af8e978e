package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.Statement.Signature;
import dev.finetune4j.core.text.jinja.Statement.Target;
import dev.finetune4j.core.text.jinja.Token.Kind;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Reads the statements of a template. */
final class Parser {
    private static final Set<String> CONSTANTS = Set.of("true", "True", "false", "False", "none", "None");

    private final Tokens tokens;
    private final ExpressionParser expressions;
    /** Loops around the current place that a jump can reach. */
    private int loops;
    /** Loops around the current place. */
    private int allLoops;
    /** The place of the innermost tag that is not closed. */
    private int tagAt;

    private final Runnable onGeneration;

    private Parser(Tokens tokens, Runnable onGeneration) {
        this.tokens = tokens;
        this.onGeneration = onGeneration;
        this.expressions = new ExpressionParser(tokens);
    }

    /**
     * Reads a whole template.
     *
     * @param onGeneration called for each {@code generation} tag
     * @throws JinjaException if it is not one
     */
    static List<Statement> parse(Tokens tokens, Runnable onGeneration) {
        Parser parser = new Parser(tokens, onGeneration);
        List<Statement> body = parser.statements();
        if (!parser.tokens.at(Kind.END)) {
            throw parser.unknownTag();
        }
        parser.expressions.refuseUnknownSince(0);
        return body;
    }

    /** Statements up to a tag that opens none, of which the name is the current token, or the end. */
    private List<Statement> statements() {
        tokens.enter();
        List<Statement> body = new ArrayList<>();
        while (true) {
            Token token = tokens.current();
            if (token.kind() == Kind.DATA) {
                tokens.next();
                body.add(new Statement.Text(token.text(), token.at()));
            } else if (token.kind() == Kind.PRINT_BEGIN) {
                tokens.next();
                body.add(new Statement.Print(expressions.tuple(true, null), token.at()));
                tokens.expect(Kind.PRINT_END, "'}}'");
            } else if (token.kind() == Kind.BLOCK_BEGIN) {
                tokens.next();
                if (!statement(body)) {
                    break;
                }
                tokens.expect(Kind.BLOCK_END, "'%}'");
            } else {
                break;
            }
        }
        tokens.leave();
        return body;
    }

    /** Reads a statement from its name on. False, and nothing read, if the name opens none. */
    private boolean statement(List<Statement> body) {
        Token name = tokens.current();
        if (name.kind() != Kind.NAME) {
            throw tokens.error(name, "expected the name of a tag, found " + name.describe());
        }
        int at = name.at();
        int outerTag = tagAt;
        tagAt = at;
        switch (name.text()) {
            case "if" -> body.add(conditional(at));
            case "for" -> body.add(loop(at));
            case "set" -> body.add(assignment(at));
            case "macro" -> body.add(macro(at));
            case "call" -> body.add(callBlock(at));
            case "filter" -> body.add(filterBlock(at));
            case "with" -> body.add(with(at));
            case "generation" -> body.add(generation(at));
            case "break", "continue" -> body.add(jump(at));
            case "print" -> printed(body);
            case "block", "extends", "include", "import", "from", "autoescape" ->
                throw tokens.error(
                        name,
                        "the tag '" + name.text() + "' is not supported: a chat template is one text by itself;"
                                + " write out what the tag would bring in");
            default -> {
                tagAt = outerTag;
                return false;
            }
        }
        tagAt = outerTag;
        return true;
    }

    private JinjaException unknownTag() {
        Token tag = tokens.current();
        return tokens.error(tag, "the tag '" + tag.text() + "' is unknown or closes nothing that is open here");
    }

    /** The body of a tag: what stands up to one of the given tags, of which the name is read. */
    private String body(List<Statement> body, String... ends) {
        int unknownBefore = expressions.unknownCount();
        String end = conditionalBody(body, ends);
        expressions.refuseUnknownSince(unknownBefore);
        return end;
    }

    /** As {@link #body}, where unknown filters may be kept from being used. */
    private String conditionalBody(List<Statement> body, String... ends) {
        int at = tagAt;
        tokens.skipOperator(":");
        tokens.expect(Kind.BLOCK_END, "'%}'");
        body.addAll(statements());
        for (String end : ends) {
            if (tokens.skipName(end)) {
                return end;
            }
        }
        if (tokens.at(Kind.END)) {
            throw tokens.error(at, "the tag is never closed; expected " + String.join(" or ", ends));
        }
        throw unknownTag();
    }

    private Statement conditional(int at) {
        int unknownBefore = expressions.unknownCount();
        tokens.next();
        List<Statement.Branch> branches = new ArrayList<>();
        List<Statement> otherwise = new ArrayList<>();
        String end = "elif";
        while (end.equals("elif")) {
            Expression test = expressions.tuple(false, null);
            List<Statement> body = new ArrayList<>();
            end = conditionalBody(body, "elif", "else", "endif");
            branches.add(new Statement.Branch(test, body));
        }
        if (end.equals("else")) {
            conditionalBody(otherwise, "endif");
        }
        expressions.excuseUnknownSince(unknownBefore);
        return new Statement.If(branches, otherwise, at);
    }

    private Statement loop(int at) {
        tokens.next();
        allLoops++;
        Target target = targets("in", false);
        tokens.expectName("in");
        Expression items = expressions.tuple(false, "recursive");
        Expression filter = tokens.skipName("if") ? expressions.expression() : null;
        boolean recursive = tokens.skipName("recursive");
        List<Statement> body = new ArrayList<>();
        List<Statement> otherwise = new ArrayList<>();
        loops++;
        String end = body(body, "endfor", "else");
        loops--;
        if (end.equals("else")) {
            body(otherwise, "endfor");
        }
        allLoops--;
        return new Statement.For(target, items, filter, recursive, body, otherwise, at);
    }

    private Statement jump(int at) {
        String name = tokens.next().text();
        if (loops == 0) {
            throw tokens.error(at, "'" + name + "' stands outside of a loop");
        }
        return new Statement.Jump(name.equals("break"), at);
    }

    private Statement assignment(int at) {
        tokens.next();
        Target target = targets(null, true);
        if (tokens.skipOperator("=")) {
            return new Statement.Assign(target, expressions.tuple(true, null), at);
        }
        Expression.Filter filter = tokens.skipOperator("|") ? filters() : null;
        List<Statement> body = new ArrayList<>();
        body(body, "endset");
        return new Statement.AssignBlock(target, filter, body, at);
    }

    /** Filters one upon another, from the name of the first on. */
    private Expression.Filter filters() {
        int unknownBefore = expressions.unknownCount();
        Expression.Filter filter = expressions.filterAfterBar(null);
        while (tokens.skipOperator("|")) {
            filter = expressions.filterAfterBar(filter);
        }
        expressions.refuseUnknownSince(unknownBefore);
        return filter;
    }

    private Statement macro(int at) {
        tokens.next();
        String name = tokens.name();
        List<String> parameters = new ArrayList<>();
        List<Expression> defaults = new ArrayList<>();
        return functionBody(() -> {
            parameters(parameters, defaults);
            List<Statement> body = new ArrayList<>();
            body(body, "endmacro");
            return new Statement.Macro(name, signature(parameters, defaults), body, at);
        });
    }

    private Statement callBlock(int at) {
        tokens.next();
        List<String> parameters = new ArrayList<>();
        List<Expression> defaults = new ArrayList<>();
        if (tokens.atOperator("(")) {
            parameters(parameters, defaults);
        }
        if (!(expressions.expression() instanceof Expression.Call call)) {
            throw tokens.error(at, "expected a call of a macro after 'call'");
        }
        return functionBody(() -> {
            List<Statement> body = new ArrayList<>();
            body(body, "endcall");
            return new Statement.CallBlock(call, signature(parameters, defaults), body, at);
        });
    }

    private Statement generation(int at) {
        tokens.next();
        onGeneration.run();
        return functionBody(() -> {
            List<Statement> body = new ArrayList<>();
            body(body, "endgeneration");
            return new Statement.Generation(signature(List.of(), List.of()), body, at);
        });
    }

    /** Reads what becomes a function: jumps do not leave it, and the variables that it reads are counted apart. */
    private Statement functionBody(Supplier<Statement> reader) {
        int outerLoops = loops;
        Set<String> outerNames = expressions.namesRead();
        Set<String> names = new HashSet<>();
        loops = 0;
        expressions.collectNamesIn(names);
        Statement statement = reader.get();
        outerNames.addAll(names);
        expressions.collectNamesIn(outerNames);
        loops = outerLoops;
        return statement;
    }

    private Signature signature(List<String> parameters, List<Expression> defaults) {
        Set<String> read = expressions.namesRead();
        return new Signature(
                parameters,
                defaults,
                read.contains("varargs"),
                read.contains("kwargs"),
                read.contains("caller") || parameters.contains("caller"));
    }

    private void parameters(List<String> names, List<Expression> defaults) {
        tokens.expectOperator("(");
        while (!tokens.atOperator(")")) {
            if (!names.isEmpty()) {
                tokens.expectOperator(",");
            }
            Token name = tokens.expect(Kind.NAME, "the name of a parameter");
            checkAssignable(name);
            if (names.contains(name.text())) {
                throw tokens.error(name, "two parameters are named " + name.text());
            }
            names.add(name.text());
            if (tokens.skipOperator("=")) {
                defaults.add(expressions.expression());
            } else if (!defaults.isEmpty()) {
                throw tokens.error(name, "the parameter " + name.text() + " has no default, but one before it has");
            }
        }
        tokens.next();
        int caller = names.indexOf("caller");
        if (caller >= 0 && caller < names.size() - defaults.size()) {
            throw tokens.error(tokens.current(), "a parameter named 'caller' needs a default");
        }
    }

    private Statement filterBlock(int at) {
        tokens.next();
        Expression.Filter filter = filters();
        List<Statement> body = new ArrayList<>();
        body(body, "endfilter");
        return new Statement.FilterBlock(filter, body, at);
    }

    private Statement with(int at) {
        tokens.next();
        List<Target> targets = new ArrayList<>();
        List<Expression> values = new ArrayList<>();
        while (!tokens.at(Kind.BLOCK_END)) {
            if (!targets.isEmpty()) {
                tokens.expectOperator(",");
            }
            targets.add(targets(null, false));
            tokens.expectOperator("=");
            values.add(expressions.expression());
        }
        List<Statement> body = new ArrayList<>();
        body(body, "endwith");
        return new Statement.With(targets, values, body, at);
    }

    private void printed(List<Statement> body) {
        tokens.next();
        boolean first = true;
        while (!tokens.at(Kind.BLOCK_END)) {
            if (!first) {
                tokens.expectOperator(",");
            }
            first = false;
            Expression value = expressions.expression();
            body.add(new Statement.Print(value, value.at()));
        }
    }

    /**
     * One target, or several with commas between them.
     *
     * @param endName a name that ends them; null if none does
     * @param members whether attributes of a namespace are allowed
     */
    private Target targets(@Nullable String endName, boolean members) {
        int at = tokens.current().at();
        List<Target> targets = new ArrayList<>();
        boolean several = false;
        while (!(tokens.at(Kind.BLOCK_END) || tokens.atOperator(")") || (endName != null && tokens.atName(endName)))) {
            targets.add(target(members));
            if (!tokens.skipOperator(",")) {
                break;
            }
            several = true;
        }
        if (targets.isEmpty()) {
            throw tokens.error(
                    tokens.current(),
                    "expected a variable, found " + tokens.current().describe());
        }
        return several ? new Target.Several(targets, at) : targets.get(0);
    }

    private Target target(boolean members) {
        tokens.enter();
        Token token = tokens.current();
        Target target;
        if (tokens.skipOperator("(")) {
            target = targets(null, members);
            tokens.expectOperator(")");
        } else {
            tokens.expect(Kind.NAME, "a variable");
            if (members && tokens.skipOperator(".")) {
                target = new Target.Member(token.text(), tokens.name(), token.at());
            } else {
                checkAssignable(token);
                target = new Target.Variable(token.text(), token.at());
            }
        }
        tokens.leave();
        return target;
    }

    private void checkAssignable(Token name) {
        if (CONSTANTS.contains(name.text())) {
            throw tokens.error(name, "'" + name.text() + "' is a constant, to which nothing can be assigned");
        }
        if (allLoops > 0 && name.text().equals("loop")) {
            throw tokens.error(name, "inside of a loop, 'loop' is the loop, and nothing can be assigned to it");
        }
    }
}
