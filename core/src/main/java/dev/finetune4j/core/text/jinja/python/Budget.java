package dev.finetune4j.core.text.jinja.python;

import org.jspecify.annotations.Nullable;

/**
 * What one rendering may use, so that a template which would not end, or would fill the memory, fails instead. An honest
 * template stays far below for any conversation that a model can read; a long conversation adds to it.
 *
 * <p>There are two accounts. Steps stand for time, some ten nanoseconds each: whatever takes longer than a few of them is
 * charged for as many as it takes at worst. Room stands for memory: whatever is made is charged, and nothing is given
 * back, so the account bounds what can be alive. Work deep inside of values is paid for by the static methods from the
 * budget of the rendering that runs in the thread.
 */
public final class Budget {
    private static final ThreadLocal<@Nullable Budget> CURRENT = new ThreadLocal<>();
    public static final long MAX_STEPS = 8_000_000;
    public static final long MAX_ROOM = 32L << 20;
    /** What a place of a list takes, where the list was made by doubling its length. */
    public static final int ITEM_BYTES = 16;

    private static final int MAX_LENGTH = 1 << 22;
    private static final int MAX_CALLS = 200;
    /** Characters that cost as much as one step. */
    private static final int CHARACTERS_PER_STEP = 8;
    /** What each character that the template is given adds. */
    private static final int STEPS_PER_CHARACTER = 8;

    private static final int ROOM_PER_CHARACTER = 32;
    /** As many characters as a template may write by itself. */
    private static final int OWN_OUTPUT = 1 << 15;

    private static final int OUTPUT_PER_CHARACTER = 16;

    private final @Nullable Budget outer = CURRENT.get();
    private final Allowance allowance;
    private long mostSteps;
    private long mostRoom;
    private long mostOutput = OWN_OUTPUT;
    private long steps;
    private long room;
    private int calls;

    private Budget(Allowance allowance) {
        this.allowance = allowance;
        this.mostSteps = allowance.steps();
        this.mostRoom = allowance.room();
    }

    /** Opens the budget of a rendering; {@link #close} goes with it. */
    public static Budget open(Allowance allowance) {
        Budget budget = new Budget(allowance);
        CURRENT.set(budget);
        return budget;
    }

    public void close() {
        allowance.leave(mostSteps - steps, mostRoom - room);
        if (outer == null) {
            CURRENT.remove();
        } else {
            CURRENT.set(outer);
        }
    }

    /** Adds to what may be used, for a value of so many characters that the template is given. */
    public static void allow(int characters) {
        Budget current = CURRENT.get();
        if (current != null) {
            current.mostSteps += (long) STEPS_PER_CHARACTER * characters;
            current.mostRoom += (long) ROOM_PER_CHARACTER * characters;
            current.mostOutput += (long) OUTPUT_PER_CHARACTER * characters;
        }
    }

    /** Takes steps from the budget of the rendering that runs in this thread. */
    public static void charge(long count) {
        Budget current = CURRENT.get();
        if (current != null) {
            current.spend(count);
        }
    }

    /** Takes the steps for going through a text once. */
    public static void chargeText(int length) {
        if (length >= CHARACTERS_PER_STEP) {
            charge(length / CHARACTERS_PER_STEP);
        }
    }

    /** Takes the steps for an operation on whole numbers of some bits whose time grows with the product of both. */
    public static void chargeProduct(int bits, int otherBits) {
        charge((long) bits / Integer.SIZE * (otherBits / Integer.SIZE) / 16);
    }

    /** Takes room for what was made. */
    public static void allocate(long bytes) {
        Budget current = CURRENT.get();
        if (current != null) {
            current.take(bytes);
        }
    }

    /** Refuses a list for which there is no room, before time goes into making it; whoever has made it takes the room. */
    public static void checkRoomForItems(long count) {
        Budget current = CURRENT.get();
        if (current != null) {
            current.checkRoom(ITEM_BYTES * count);
        }
    }

    private void take(long bytes) {
        room += bytes;
        checkRoom(0);
    }

    private void checkRoom(long more) {
        if (room + more > mostRoom) {
            throw new TemplateError(
                    "the template fills the memory: it made more than " + (mostRoom >> 20) + " MiB of values");
        }
    }

    /** Takes steps: one for each node that is evaluated and each item that is looked at. */
    public void spend(long count) {
        steps += count;
        if (steps > mostSteps) {
            throw new TemplateError("the template does not come to an end: it took more than " + mostSteps + " steps");
        }
    }

    /** Takes the steps for going through a text, and refuses one that is too long. */
    public void spendText(int length) {
        checkLength(length);
        spend(length / CHARACTERS_PER_STEP);
    }

    /** As {@link #spendText}, and takes the room for the text. */
    public void spendNewText(int length) {
        spendText(length);
        take(2L * length);
    }

    /** Refuses a text or list that would be too long. */
    public static void checkLength(long length) {
        if (length > MAX_LENGTH) {
            throw new TemplateError("a text or list has grown beyond " + MAX_LENGTH + " characters or items");
        }
    }

    /** Refuses a text that is too long for a model; it would only take the tokenizer's time. */
    public void checkOutput(int length) {
        if (length > mostOutput) {
            throw new TemplateError("the template wrote more than " + mostOutput + " characters");
        }
    }

    /** Counts calls that lie in each other; {@link #leave} goes with it. */
    public void enter() {
        if (++calls > MAX_CALLS) {
            calls--;
            throw new TemplateError("macros or loops call themselves more than " + MAX_CALLS + " deep");
        }
    }

    public void leave() {
        calls--;
    }
}
