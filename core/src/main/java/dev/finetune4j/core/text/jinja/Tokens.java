package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.Token.Kind;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/** The tokens of a template with a place among them, from which the parsers read. */
final class Tokens {
    private static final int MAX_DEPTH = 150;

    private final Source source;
    private final List<Token> tokens;
    private int place;
    private int depth;

    Tokens(Source source) {
        this.source = source;
        this.tokens = Lexer.tokens(source);
    }

    /** The texts of all tokens of a kind. */
    Set<String> texts(Kind kind) {
        return tokens.stream()
                .filter(token -> token.kind() == kind)
                .map(Token::text)
                .collect(Collectors.toUnmodifiableSet());
    }

    Token current() {
        return tokens.get(place);
    }

    Token following() {
        return tokens.get(Math.min(place + 1, tokens.size() - 1));
    }

    /** The current token; then moves on. */
    Token next() {
        Token token = current();
        if (token.kind() != Kind.END) {
            place++;
        }
        return token;
    }

    boolean atName(String name) {
        return current().isName(name);
    }

    boolean atOperator(String sign) {
        return current().isOperator(sign);
    }

    boolean at(Kind kind) {
        return current().kind() == kind;
    }

    boolean skipName(String name) {
        if (atName(name)) {
            place++;
            return true;
        }
        return false;
    }

    boolean skipOperator(String sign) {
        if (atOperator(sign)) {
            place++;
            return true;
        }
        return false;
    }

    Token expect(Kind kind, String what) {
        if (!at(kind)) {
            throw error(current(), "expected " + what + ", found " + current().describe());
        }
        return next();
    }

    void expectOperator(String sign) {
        if (!skipOperator(sign)) {
            throw error(current(), "expected '" + sign + "', found " + current().describe());
        }
    }

    void expectName(String name) {
        if (!skipName(name)) {
            throw error(current(), "expected '" + name + "', found " + current().describe());
        }
    }

    String name() {
        return expect(Kind.NAME, "a name").text();
    }

    JinjaException error(Token token, String reason) {
        return error(token.at(), reason);
    }

    JinjaException error(int at, String reason) {
        return source.error(at, reason);
    }

    /** Counts how deep the tree grows; {@link #leave} goes with it. */
    void enter() {
        if (++depth > MAX_DEPTH) {
            throw error(current(), "the template is nested more than " + MAX_DEPTH + " deep");
        }
    }

    void leave() {
        depth--;
    }
}
