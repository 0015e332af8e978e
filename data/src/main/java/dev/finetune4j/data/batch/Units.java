package dev.finetune4j.data.batch;

import java.util.List;
import java.util.function.IntUnaryOperator;

/** What a loader deals out, by number: examples by themselves, rows of several, or what a row of a file gives. */
interface Units {
    /** How many there are, for which all may have to be counted. */
    int size();

    /** Whether there is such a unit; those behind it are not counted. */
    default boolean has(int unit) {
        return unit < size();
    }

    /** The examples of a unit; none if it is left out. */
    List<EncodedExample> get(int unit);

    /** How many examples all units have; of rows that are encoded when they are needed, how many rows there are. */
    default int examples() {
        int examples = 0;
        for (int i = 0; i < size(); i++) {
            examples += get(i).size();
        }
        return examples;
    }

    /** Whether asking for a unit costs nothing. */
    default boolean isInMemory() {
        return true;
    }

    /** Whether a unit may give any number of examples, which then do not belong together. */
    default boolean isSplittable() {
        return false;
    }

    /** Says which units will be asked for next, those of an order from one place to another, so that they can be made ready. */
    default void expect(IntUnaryOperator order, int from, int to) {}

    /** Forgets what was expected. */
    default void forget() {}

    /** Units that are in memory. */
    static Units of(List<List<EncodedExample>> units) {
        List<List<EncodedExample>> copy = List.copyOf(units);
        return new Units() {
            @Override
            public int size() {
                return copy.size();
            }

            @Override
            public List<EncodedExample> get(int unit) {
                return copy.get(unit);
            }
        };
    }
}
