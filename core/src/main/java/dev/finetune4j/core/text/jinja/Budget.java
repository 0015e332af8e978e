package dev.finetune4j.core.text.jinja;

import org.jspecify.annotations.Nullable;

/**
 * What one rendering may use, so that a template which would not end, or would fill the memory, fails instead. An honest
 * template stays far below for any conversation that a model can read.
 *
 * <p>Work deep inside of values, such as comparing them, is paid for by {@link #charge} from the budget of the rendering
 * that runs in the thread.
 */
final class Budget {
    private static final ThreadLocal<@Nullable Budget> CURRENT = new ThreadLocal<>();
    private static final long MAX_STEPS = 30_000_000;
    private static final int MAX_LENGTH = 1 << 24;
    private static final int MAX_CALLS = 200;
    /** Characters that cost as much as one step. */
    private static final int CHARACTERS_PER_STEP = 8;

    private final @Nullable Budget outer = CURRENT.get();
    private long steps;
    private int calls;

    /** Opens the budget of a rendering; {@link #close} goes with it. */
    static Budget open() {
        Budget budget = new Budget();
        CURRENT.set(budget);
        return budget;
    }

    void close() {
        if (outer == null) {
            CURRENT.remove();
        } else {
            CURRENT.set(outer);
        }
    }

    /** Takes steps from the budget of the rendering that runs in this thread. */
    static void charge(long count) {
        Budget current = CURRENT.get();
        if (current != null) {
            current.spend(count);
        }
    }

    /** Takes steps: one for each node that is evaluated and each item that is looked at. */
    void spend(long count) {
        steps += count;
        if (steps > MAX_STEPS) {
            throw new Failure("the template does not come to an end: it took more than " + MAX_STEPS + " steps");
        }
    }

    void spendText(int length) {
        checkLength(length);
        spend(length / CHARACTERS_PER_STEP);
    }

    /** Refuses a text or list that would be too long. */
    static void checkLength(long length) {
        if (length > MAX_LENGTH) {
            throw new Failure("a text or list has grown beyond " + MAX_LENGTH + " characters or items");
        }
    }

    /** Counts calls that lie in each other; {@link #leave} goes with it. */
    void enter() {
        if (++calls > MAX_CALLS) {
            calls--;
            throw new Failure("macros or loops call themselves more than " + MAX_CALLS + " deep");
        }
    }

    void leave() {
        calls--;
    }
}
