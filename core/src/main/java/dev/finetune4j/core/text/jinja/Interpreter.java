package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.JinjaTemplate.Rendering;
import dev.finetune4j.core.text.jinja.JinjaTemplate.Span;
import dev.finetune4j.core.text.jinja.Statement.Target;
import dev.finetune4j.core.text.jinja.python.Budget;
import dev.finetune4j.core.text.jinja.python.CallArguments;
import dev.finetune4j.core.text.jinja.python.Namespace;
import dev.finetune4j.core.text.jinja.python.PyCallable;
import dev.finetune4j.core.text.jinja.python.TemplateError;
import dev.finetune4j.core.text.jinja.python.Values;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Carries the statements of a template out, once. */
final class Interpreter {
    private enum Outcome {
        NORMAL,
        BREAK,
        CONTINUE
    }

    private final Source source;
    private final Budget budget;
    private final Evaluator evaluator;
    private final StringBuilder text = new StringBuilder();
    private final List<Span> generations = new ArrayList<>();
    private boolean exactSpans = true;
    /** Where text goes: {@link #text}, or the buffer of the innermost block whose text is a value. */
    private StringBuilder output = text;

    Interpreter(Source source, Budget budget) {
        this.source = source;
        this.budget = budget;
        this.evaluator = new Evaluator(source, this, budget);
    }

    Rendering render(List<Statement> template, Scope variables) {
        run(template, variables);
        return new Rendering(text.toString(), generations, exactSpans);
    }

    /** Runs a body as a function and returns what it writes. */
    String function(List<Statement> body, Scope scope) {
        String[] written = new String[1];
        capture(body, scope, written);
        return written[0];
    }

    private Outcome capture(List<Statement> body, Scope scope, String[] written) {
        StringBuilder outer = output;
        StringBuilder buffer = new StringBuilder();
        output = buffer;
        try {
            Outcome outcome = run(body, scope);
            written[0] = buffer.toString();
            return outcome;
        } finally {
            output = outer;
        }
    }

    private void write(String piece) {
        budget.spendNewText(piece.length());
        output.append(piece);
        Budget.checkLength(output.length());
        if (output == text) {
            budget.checkOutput(text.length());
        }
    }

    private Outcome run(List<Statement> body, Scope scope) {
        for (Statement statement : body) {
            try {
                budget.spend(1);
                Outcome outcome = run(statement, scope);
                if (outcome != Outcome.NORMAL) {
                    return outcome;
                }
            } catch (TemplateError e) {
                throw source.error(statement.at(), e);
            }
        }
        return Outcome.NORMAL;
    }

    private Outcome run(Statement statement, Scope scope) {
        if (statement instanceof Statement.Text literal) {
            write(literal.text());
        } else if (statement instanceof Statement.Print print) {
            write(Values.str(evaluator.evaluate(print.value(), scope)));
        } else if (statement instanceof Statement.If conditional) {
            return choose(conditional, scope);
        } else if (statement instanceof Statement.For loop) {
            return loop(loop, evaluator.evaluate(loop.items(), scope), 0, scope);
        } else if (statement instanceof Statement.Assign assign) {
            assign(assign.target(), evaluator.evaluate(assign.value(), scope), scope);
        } else if (statement instanceof Statement.Macro macro) {
            scope.set(macro.name(), new Macro(macro.name(), macro.signature(), macro.body(), scope, evaluator));
        } else if (statement instanceof Statement.CallBlock block) {
            callBlock(block, scope);
        } else if (statement instanceof Statement.Generation generation) {
            generation(generation, scope);
        } else if (statement instanceof Statement.Jump jump) {
            return jump.isBreak() ? Outcome.BREAK : Outcome.CONTINUE;
        } else {
            return block(statement, scope);
        }
        return Outcome.NORMAL;
    }

    private Outcome choose(Statement.If conditional, Scope scope) {
        for (Statement.Branch branch : conditional.branches()) {
            if (Values.truth(evaluator.evaluate(branch.test(), scope))) {
                return run(branch.body(), scope);
            }
        }
        return run(conditional.otherwise(), scope);
    }

    /** Blocks that have variables of their own without being functions: jumps pass through them. */
    private Outcome block(Statement statement, Scope scope) {
        String[] written = new String[1];
        if (statement instanceof Statement.With with) {
            Scope inner = new Scope(scope);
            for (int i = 0; i < with.targets().size(); i++) {
                assign(with.targets().get(i), evaluator.evaluate(with.values().get(i), scope), inner);
            }
            return run(with.body(), inner);
        }
        if (statement instanceof Statement.FilterBlock block) {
            Outcome outcome = capture(block.body(), new Scope(scope), written);
            if (outcome == Outcome.NORMAL) {
                write(Values.text(evaluator.filteredBlock(block.filter(), written[0], scope)));
            }
            return outcome;
        }
        Statement.AssignBlock block = (Statement.AssignBlock) statement;
        Outcome outcome = capture(block.body(), new Scope(scope), written);
        if (outcome == Outcome.NORMAL) {
            Expression.Filter filter = block.filter();
            Object value = filter == null ? written[0] : evaluator.filteredBlock(filter, written[0], scope);
            assign(block.target(), value, scope);
        }
        return outcome;
    }

    private void callBlock(Statement.CallBlock block, Scope scope) {
        Expression.Call call = block.call();
        Object function = evaluator.evaluate(call.function(), scope);
        CallArguments arguments = evaluator.arguments(call.arguments(), scope);
        Macro caller = new Macro(null, block.signature(), block.body(), scope, evaluator);
        if (arguments.named().put("caller", caller) != null) {
            throw new TemplateError("the argument caller is given twice");
        }
        write(Values.str(evaluator.call(function, arguments)));
    }

    private void generation(Statement.Generation generation, Scope scope) {
        exactSpans &= output == text;
        String written =
                new Macro(null, generation.signature(), generation.body(), scope, evaluator).call(CallArguments.NONE);
        generations.add(new Span(text.length(), text.length() + written.length()));
        write(written);
    }

    private Outcome loop(Statement.For loop, @Nullable Object items, int depth0, Scope scope) {
        Iterator<@Nullable Object> iterator = Values.countedIterator(items);
        int length = Values.lengthOrMinus(items);
        Expression filter = loop.filter();
        if (filter != null) {
            iterator = filtered(loop, filter, iterator, scope);
            length = -1;
        }
        PyCallable recursion = loop.recursive() ? recursion(loop, depth0 + 1, scope) : null;
        LoopState state = new LoopState(iterator, length, depth0, recursion);
        boolean completed = false;
        Outcome outcome = Outcome.NORMAL;
        while (outcome != Outcome.BREAK && state.hasNext()) {
            Scope inner = new Scope(scope);
            inner.set("loop", state);
            assign(loop.target(), state.next(), inner);
            outcome = run(loop.body(), inner);
            completed |= outcome == Outcome.NORMAL;
        }
        // As in Jinja, a loop whose body never came to its end counts as one without items.
        return completed ? Outcome.NORMAL : run(loop.otherwise(), new Scope(scope));
    }

    /** What calling the variable of a recursive loop does: the loop over other items, its text as the result. */
    private PyCallable recursion(Statement.For loop, int depth0, Scope scope) {
        return arguments -> {
            Object items = arguments.bind("loop", 1, "iterable").get("iterable");
            StringBuilder outer = output;
            StringBuilder buffer = new StringBuilder();
            output = buffer;
            try {
                loop(loop, items, depth0, scope);
                return buffer.toString();
            } finally {
                output = outer;
            }
        };
    }

    private Iterator<@Nullable Object> filtered(
            Statement.For loop, Expression filter, Iterator<@Nullable Object> items, Scope scope) {
        return new Filtered(items, item -> {
            Scope inner = new Scope(scope);
            assign(loop.target(), item, inner);
            return Values.truth(evaluator.evaluate(filter, inner));
        });
    }

    private void assign(Target target, @Nullable Object value, Scope scope) {
        if (target instanceof Target.Variable variable) {
            scope.set(variable.name(), value);
        } else if (target instanceof Target.Member member) {
            if (!(scope.get(member.namespace()) instanceof Namespace namespace)) {
                throw new TemplateError("cannot assign the attribute " + member.name() + " of " + member.namespace()
                        + ", which is no namespace");
            }
            namespace.attributes().put(member.name(), value);
        } else if (target instanceof Target.Several several) {
            List<@Nullable Object> parts = Values.list(value);
            List<Target> targets = several.targets();
            if (parts.size() != targets.size()) {
                throw new TemplateError("a value of " + parts.size() + " items cannot be divided between "
                        + targets.size() + " variables");
            }
            for (int i = 0; i < targets.size(); i++) {
                assign(targets.get(i), parts.get(i), scope);
            }
        }
    }
}
