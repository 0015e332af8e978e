package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.Token.Kind;
import dev.finetune4j.core.text.jinja.python.Allowance;
import dev.finetune4j.core.text.jinja.python.Budget;
import dev.finetune4j.core.text.jinja.python.TemplateError;
import dev.finetune4j.core.text.jinja.python.Values;
import java.time.Clock;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A <a href="https://jinja.palletsprojects.com/en/stable/templates/">Jinja</a> template, read and ready to be rendered.
 * It writes what Jinja 3.1 writes as the <a
 * href="https://huggingface.co/docs/transformers/main/en/chat_templating">transformers</a> library sets it up, to the
 * character, or throws.
 *
 * <p>Immutable and thread-safe.
 */
public final class JinjaTemplate {
    /** Fifty times the longest template that is published. */
    private static final int MAX_LENGTH = 1 << 20;

    /** Each is compared with each special token. */
    private static final int MAX_LITERALS = 4_000;

    private final Source source;
    private final List<Statement> body;
    private final boolean marksGenerations;
    private final Set<String> literals;
    private final Set<String> names;

    private JinjaTemplate(Source source, Tokens tokens, List<Statement> body, boolean marksGenerations) {
        this.source = source;
        this.body = body;
        this.marksGenerations = marksGenerations;
        this.literals = tokens.texts(Kind.STRING);
        this.names = tokens.texts(Kind.NAME);
    }

    /**
     * Text that a template wrote.
     *
     * @param text the whole
     * @param generations the parts that the tags which mark an answer wrote, in the order in which they ended
     * @param exactGenerations whether the parts are where they are said to be; not so if a tag stands in a macro or
     *     another block whose text is a value, since that text may end up anywhere. Jinja in Python gives the same
     *     places then, and is wrong in the same way
     */
    public record Rendering(String text, List<Span> generations, boolean exactGenerations) {}

    /**
     * A part of a text.
     *
     * @param start its first UTF-16 unit
     * @param end the unit after its last
     */
    public record Span(int start, int end) {}

    /**
     * Reads a template.
     *
     * @param source the whole text of the template, as it stands in its file
     * @throws JinjaException if it is no template, or uses what is not supported; the message names line and column
     */
    public static JinjaTemplate parse(String source) {
        if (source.length() > MAX_LENGTH) {
            throw new JinjaException(
                    "the template has " + source.length() + " characters, more than the limit of " + MAX_LENGTH,
                    1,
                    1,
                    false);
        }
        Source text = Source.of(source);
        try {
            Tokens tokens = new Tokens(text);
            int literals = tokens.texts(Kind.STRING).size();
            if (literals > MAX_LITERALS) {
                throw new TemplateError("the template has " + literals
                        + " different texts in quotes, more than the limit of " + MAX_LITERALS);
            }
            boolean[] marks = new boolean[1];
            List<Statement> body = Parser.parse(tokens, () -> marks[0] = true);
            return new JinjaTemplate(text, tokens, body, marks[0]);
        } catch (TemplateError e) {
            throw text.error(0, e);
        } catch (StackOverflowError e) {
            throw text.error(0, "the template is nested too deep");
        }
    }

    /** Whether the template has a {@code generation} tag, and so says itself which parts an assistant wrote. */
    public boolean marksGenerations() {
        return marksGenerations;
    }

    /** The texts that stand in quotes in the template's tags: what it can compare values with, search or write. */
    public Set<String> literals() {
        return literals;
    }

    /** The names in the template's tags, of variables, attributes, filters and all else. */
    public Set<String> names() {
        return names;
    }

    /**
     * Writes the text for some values.
     *
     * @param variables by name: null, booleans, numbers, texts, and lists and maps of these, which are not changed
     * @param clock what the time is for {@code strftime_now}
     * @throws JinjaException if the template fails or refuses the values; the message names line and column
     */
    public Rendering render(Map<String, ?> variables, Clock clock) {
        return render(variables, clock, new Allowance());
    }

    /**
     * Writes the text for some values, within what is left for several renderings.
     *
     * @param variables by name: null, booleans, numbers, texts, and lists and maps of these, which are not changed
     * @param clock what the time is for {@code strftime_now}
     * @param allowance what the rendering takes its time and room from
     * @throws JinjaException if the template fails or refuses the values; the message names line and column
     */
    public Rendering render(Map<String, ?> variables, Clock clock, Allowance allowance) {
        Budget budget = Budget.open(allowance);
        try {
            Scope globals = Globals.scope(clock);
            for (Map.Entry<String, ? extends @Nullable Object> variable : variables.entrySet()) {
                globals.set(variable.getKey(), Values.adopt(variable.getValue()));
            }
            // As in Jinja, it hides a variable of that name.
            globals.set("self", Globals.SELF);
            return new Interpreter(source, budget).render(body, new Scope(globals));
        } catch (TemplateError e) {
            throw source.error(0, e);
        } catch (StackOverflowError e) {
            throw source.error(0, "the template nests values, macros or expressions too deep");
        } finally {
            budget.close();
        }
    }
}
