package dev.finetune4j.core.grammar;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A deterministic finite automaton over bytes. From each of its states but the first an end can be reached, so that nobody who
 * follows it is stuck. Immutable.
 */
final class Automaton {
    /** More than this are refused: a text of a thousand characters with a pattern has some thousands. */
    static final int MAX_STATES = 20_000;

    private static final int BYTES = 256;
    private static final int NONE = -1;

    /** By state, null for nowhere; by byte. */
    private final int[] @Nullable [] next;

    private final boolean[] accepting;

    /** Too many states. */
    static final class TooLarge extends Exception {
        private static final long serialVersionUID = 1;
    }

    private Automaton(int[] @Nullable [] next, boolean[] accepting) {
        this.next = next;
        this.accepting = accepting;
    }

    /** Where a byte leads; negative for nowhere. */
    int next(int state, int value) {
        int[] row = next[state];
        return row == null ? NONE : row[value];
    }

    /** Whether the text may end in a state. */
    boolean accepts(int state) {
        return accepting[state];
    }

    /** Whether the text may go on in a state. */
    boolean goesOn(int state) {
        return next[state] != null;
    }

    /**
     * The texts that are of all of several rules.
     *
     * @param rules each of a finite number of states, so without recursion
     * @return {@link Rule#NONE} when there is no such text
     * @throws TooLarge if it takes more than {@value #MAX_STATES} states
     */
    static Rule intersection(List<Rule> rules) throws TooLarge {
        List<GrammarState> starts = new ArrayList<>();
        for (Rule rule : rules) {
            starts.add(new Grammar(rule, Integer.MAX_VALUE).start());
        }
        // States are found again by identity, which the grammars keep.
        Map<List<GrammarState>, Integer> numbers = new HashMap<>();
        List<List<GrammarState>> states = new ArrayList<>();
        numbers.put(starts, 0);
        states.add(starts);
        List<int[]> rows = new ArrayList<>();
        for (int state = 0; state < states.size(); state++) {
            int[] row = new int[BYTES];
            for (int value = 0; value < BYTES; value++) {
                List<GrammarState> after = after(states.get(state), value);
                Integer known = after == null ? Integer.valueOf(NONE) : numbers.get(after);
                if (known == null) {
                    known = states.size();
                    numbers.put(after, known);
                    states.add(after);
                    if (known > MAX_STATES) {
                        throw new TooLarge();
                    }
                }
                row[value] = known;
            }
            rows.add(row);
        }
        boolean[] ends = new boolean[states.size()];
        for (int state = 0; state < ends.length; state++) {
            ends[state] = states.get(state).stream().allMatch(GrammarState::mayEnd);
        }
        return of(rows, ends);
    }

    private static @Nullable List<GrammarState> after(List<GrammarState> states, int value) {
        List<GrammarState> after = new ArrayList<>(states.size());
        for (GrammarState state : states) {
            GrammarState one = state.after(value);
            if (one == null) {
                return null;
            }
            after.add(one);
        }
        return after;
    }

    /**
     * The rule of an automaton that begins in its state 0.
     *
     * @param rows by state and byte, negative for nowhere; changed
     */
    static Rule of(List<int[]> rows, boolean[] accepting) {
        boolean[] live = live(rows, accepting);
        if (!live[0]) {
            return Rule.NONE;
        }
        int[] @Nullable [] next = new int[rows.size()][];
        for (int state = 0; state < next.length; state++) {
            int[] row = rows.get(state);
            boolean some = false;
            for (int value = 0; value < BYTES; value++) {
                row[value] = row[value] >= 0 && live[row[value]] ? row[value] : NONE;
                some |= row[value] >= 0;
            }
            next[state] = some ? row : null;
        }
        return new Rule.Within(new Automaton(next, accepting), 0);
    }

    /** The states from which an end can be reached. */
    private static boolean[] live(List<int[]> rows, boolean[] accepting) {
        List<List<Integer>> before = new ArrayList<>();
        rows.forEach(row -> before.add(new ArrayList<>()));
        for (int state = 0; state < rows.size(); state++) {
            int from = state;
            Arrays.stream(rows.get(state))
                    .filter(to -> to >= 0)
                    .distinct()
                    .forEach(to -> before.get(to).add(from));
        }
        boolean[] live = accepting.clone();
        Deque<Integer> open = new ArrayDeque<>();
        for (int state = 0; state < live.length; state++) {
            if (live[state]) {
                open.add(state);
            }
        }
        while (!open.isEmpty()) {
            for (int from : before.get(open.remove())) {
                if (!live[from]) {
                    live[from] = true;
                    open.add(from);
                }
            }
        }
        return live;
    }
}
