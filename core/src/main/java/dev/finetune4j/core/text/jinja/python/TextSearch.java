package dev.finetune4j.core.text.jinja.python;

/**
 * Finds a text in another in time that grows with their sum, not their product, and charges for it: short ones as Java
 * does, long ones by the algorithm of <a href="https://doi.org/10.1137/0206024">Knuth, Morris and Pratt</a>.
 */
public final class TextSearch {
    /** Up to here comparing at each place is cheap enough. */
    private static final int SHORT = 16;

    private TextSearch() {}

    /** The first place at or after another at which the wanted text begins; -1 if there is none. */
    public static int first(String text, String wanted, int from) {
        if (wanted.length() <= SHORT) {
            int at = text.indexOf(wanted, from);
            Budget.chargeText((at < 0 ? text.length() : at) - Math.min(from, text.length()) + SHORT);
            return at;
        }
        int at = search(text, wanted, Math.max(0, from), text.length(), false);
        return at < 0 ? -1 : at;
    }

    /** The last place at which the wanted text begins and before the end of a part ends; -1 if there is none. */
    public static int last(String text, String wanted, int end) {
        if (wanted.length() <= SHORT) {
            int at = text.lastIndexOf(wanted, end - wanted.length());
            Budget.charge((end - Math.max(0, at)) / 2 + 1L);
            return at;
        }
        return search(text, wanted, 0, end, true);
    }

    /** Goes through a part of the text, from its end if it is to find the last place. */
    private static int search(String text, String wanted, int from, int to, boolean backward) {
        int length = wanted.length();
        if (length > to - from) {
            return -1;
        }
        Budget.charge(length);
        int[] borders = borders(wanted, backward);
        int matched = 0;
        for (int i = 0; i < to - from; i++) {
            char c = text.charAt(backward ? to - 1 - i : from + i);
            while (matched > 0 && c != at(wanted, matched, backward)) {
                matched = borders[matched - 1];
            }
            matched += c == at(wanted, matched, backward) ? 1 : 0;
            if (matched == length) {
                Budget.charge(i / 2);
                return backward ? to - 1 - i : from + i - length + 1;
            }
        }
        Budget.charge((to - from) / 2);
        return -1;
    }

    private static char at(String wanted, int place, boolean backward) {
        return wanted.charAt(backward ? wanted.length() - 1 - place : place);
    }

    /** For each beginning of the wanted text the length of the longest shorter one that it ends with. */
    private static int[] borders(String wanted, boolean backward) {
        int[] borders = new int[wanted.length()];
        int border = 0;
        for (int i = 1; i < borders.length; i++) {
            char c = at(wanted, i, backward);
            while (border > 0 && c != at(wanted, border, backward)) {
                border = borders[border - 1];
            }
            border += c == at(wanted, border, backward) ? 1 : 0;
            borders[i] = border;
        }
        return borders;
    }
}
