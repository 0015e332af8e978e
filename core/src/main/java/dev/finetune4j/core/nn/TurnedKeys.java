package dev.finetune4j.core.nn;

/**
 * With the frequencies of which length the keys of a cache were turned. Where frequencies go with the length of a text, keys that
 * were computed for a shorter or longer one are not those that it would have alone.
 */
final class TurnedKeys {
    private static final long NONE = -1;

    private final TextFrequencies frequencies;
    /** The length of which the last positions have the frequencies; {@link #NONE} while there are no turned ones. */
    private long last = NONE;
    /** The key of the first ones, which that many positions have. */
    private long key;

    private long alike;
    /** How many of the first positions have no angles, as those of a trained prefix. */
    private long unturned;
    /** How many positions a text will have that comes in pieces; 0 where that was not said. */
    private long announced;

    TurnedKeys(TextFrequencies frequencies) {
        this.frequencies = frequencies;
    }

    /** How many positions a text has with the next ones, those included that were announced. */
    long lengthWith(long held, long count) {
        return Math.max(held + count, announced);
    }

    /** Says how long the text will be that comes in pieces. */
    void announce(long positions) {
        announced = positions;
    }

    /** Takes note of positions that were turned. */
    void add(long held, long count) {
        long length = lengthWith(held, count);
        long added = frequencies.key(length);
        if (last == NONE) {
            key = added;
        }
        if (alike == held && key == added) {
            alike += count;
        }
        last = length;
    }

    /** Takes note that what is held was not turned at all. */
    void areUnturned(long held) {
        last = NONE;
        alike = held;
        unturned = held;
    }

    /** Takes note that positions were forgotten. */
    void cut(long held) {
        announced = 0;
        alike = Math.min(alike, held);
        unturned = Math.min(unturned, held);
        if (held == unturned) {
            last = NONE;
        }
    }

    /** Takes note that the first positions of another cache are held. */
    void copy(TurnedKeys other, long held) {
        last = other.last;
        key = other.key;
        alike = other.alike;
        unturned = other.unturned;
        cut(held);
    }

    /** How many of the first positions a text of that length would have, too, if it were computed at once. */
    long alikeIn(long length) {
        return last == NONE || key == frequencies.key(length) ? alike : 0;
    }

    /** Whether a text can go on up to that length with what is held of it. */
    boolean goOnTo(long length) {
        return last == NONE || frequencies.lastWhileGrowing(last, length);
    }

    /** Whether the next positions are turned as the first of them is when it comes alone. */
    boolean areTurnedOneByOne(long held, long count) {
        return frequencies.key(lengthWith(held, count)) == frequencies.key(held + 1);
    }
}
