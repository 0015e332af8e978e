package dev.finetune4j.core.text.jinja;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** A statement of a template, as a tree. */
sealed interface Statement {
    /** The place in the source. */
    int at();

    /** Text that is written as it stands. */
    record Text(String text, int at) implements Statement {}

    /** {@code {{ a }}}. */
    record Print(Expression value, int at) implements Statement {}

    /** {@code if}, with its {@code elif}s in order. */
    record If(List<Branch> branches, List<Statement> otherwise, int at) implements Statement {}

    /** A test and what it guards. */
    record Branch(Expression test, List<Statement> body) {}

    /** {@code for}. */
    record For(
            Target target,
            Expression items,
            @Nullable Expression filter,
            boolean recursive,
            List<Statement> body,
            List<Statement> otherwise,
            int at)
            implements Statement {}

    /** {@code set a = b}. */
    record Assign(Target target, Expression value, int at) implements Statement {}

    /** {@code set a}…{@code endset}. */
    record AssignBlock(Target target, Expression.@Nullable Filter filter, List<Statement> body, int at)
            implements Statement {}

    /** {@code macro}. */
    record Macro(String name, Signature signature, List<Statement> body, int at) implements Statement {}

    /** {@code call}. */
    record CallBlock(Expression.Call call, Signature signature, List<Statement> body, int at) implements Statement {}

    /** {@code filter}. */
    record FilterBlock(Expression.Filter filter, List<Statement> body, int at) implements Statement {}

    /** {@code with}. */
    record With(List<Target> targets, List<Expression> values, List<Statement> body, int at) implements Statement {}

    /** {@code generation}: what it writes is an assistant's. */
    record Generation(Signature signature, List<Statement> body, int at) implements Statement {}

    /** {@code break} or {@code continue}. */
    record Jump(boolean isBreak, int at) implements Statement {}

    /**
     * The parameters of a macro.
     *
     * @param defaults of the last parameters
     * @param takesMore whether the body reads {@code varargs}
     * @param takesMoreNamed whether the body reads {@code kwargs}
     * @param takesCaller whether the body reads {@code caller}
     */
    record Signature(
            List<String> names,
            List<Expression> defaults,
            boolean takesMore,
            boolean takesMoreNamed,
            boolean takesCaller) {}

    /** What a value is assigned to. */
    sealed interface Target {
        /** A variable. */
        record Variable(String name, int at) implements Target {}

        /** An attribute of a namespace. */
        record Member(String namespace, String name, int at) implements Target {}

        /** Several, between which a value is divided. */
        record Several(List<Target> targets, int at) implements Target {}
    }
}
