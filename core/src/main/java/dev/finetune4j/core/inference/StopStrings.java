package dev.finetune4j.core.inference;

import java.util.List;

/**
 * Finds the first of some texts in one that comes in pieces, wherever the pieces begin and end. What may be the beginning of one
 * is held back.
 */
final class StopStrings {
    private final List<String> stops;
    private final StringBuilder held = new StringBuilder();
    private boolean found;

    /** @param stops none of them empty */
    StopStrings(List<String> stops) {
        this.stops = stops;
    }

    /** Whether one was found; the text before it has been handed out then. */
    boolean isFound() {
        return found;
    }

    /**
     * Takes more text.
     *
     * @param heeded whether one that is complete with this piece counts
     * @return the text that surely stands before any of them
     */
    String accept(String piece, boolean heeded) {
        if (stops.isEmpty()) {
            return piece;
        }
        held.append(piece);
        int cut = heeded ? find() : -1;
        found = cut >= 0;
        if (!found) {
            cut = held.length() - openEnd();
        }
        String before = held.substring(0, cut);
        held.delete(0, cut);
        return before;
    }

    /** The place of the one that is complete first; of those that end together the longest. -1 for none. */
    private int find() {
        int start = -1;
        int end = Integer.MAX_VALUE;
        for (String stop : stops) {
            int at = held.indexOf(stop);
            if (at >= 0 && (at + stop.length() < end || (at + stop.length() == end && at < start))) {
                start = at;
                end = at + stop.length();
            }
        }
        return start;
    }

    /** How much of the end may be the beginning of one. */
    private int openEnd() {
        int longest = 0;
        for (String stop : stops) {
            for (int length = Math.min(stop.length() - 1, held.length()); length > longest; length--) {
                if (stop.startsWith(held.substring(held.length() - length))) {
                    longest = length;
                }
            }
        }
        return longest;
    }

    /** The end of the text: what was held back, unless one was found. */
    String finish() {
        String rest = found ? "" : held.toString();
        held.setLength(0);
        return rest;
    }
}
