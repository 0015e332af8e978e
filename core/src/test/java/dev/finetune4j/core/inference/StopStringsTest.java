package dev.finetune4j.core.inference;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class StopStringsTest {
    /** What comes out, whatever the pieces are. */
    private static String cut(List<String> stops, List<String> pieces) {
        StopStrings found = new StopStrings(stops);
        StringBuilder text = new StringBuilder();
        for (String piece : pieces) {
            text.append(found.accept(piece, true));
            if (found.isFound()) {
                break;
            }
        }
        return text + found.finish() + (found.isFound() ? "|" : "");
    }

    /** The rule, one character at a time: the text ends as soon as it contains a stop string, before it. */
    private static String expected(List<String> stops, String text) {
        for (int end = 0; end <= text.length(); end++) {
            String first = text.substring(0, end);
            int start = stops.stream()
                    .filter(first::endsWith)
                    .mapToInt(stop -> first.length() - stop.length())
                    .min()
                    .orElse(-1);
            if (start >= 0) {
                return text.substring(0, start) + "|";
            }
        }
        return text;
    }

    @Test
    void everySplitOfATextIsCutAtTheSamePlace() {
        Random random = new Random(11);
        int rounds = Boolean.getBoolean("finetune4j.long") ? 20_000 : 300;
        for (int round = 0; round < rounds; round++) {
            List<String> stops = new ArrayList<>();
            for (int i = random.nextInt(3); i >= 0; i--) {
                stops.add(text(random, 1 + random.nextInt(3)));
            }
            String text = text(random, random.nextInt(10));
            String expected = expected(stops, text);
            for (int split = 0; split < 1 << Math.max(0, text.length() - 1); split++) {
                List<String> pieces = new ArrayList<>();
                int from = 0;
                for (int i = 1; i <= text.length(); i++) {
                    if (i == text.length() || ((split >> (i - 1)) & 1) == 1) {
                        pieces.add(text.substring(from, i));
                        from = i;
                    }
                }
                assertEquals(expected, cut(stops, pieces), "round " + round + ": " + stops + " in " + pieces);
            }
        }
    }

    private static String text(Random random, int length) {
        return random.ints(length, 0, 3)
                .mapToObj(i -> "ab\u00e9".substring(i, i + 1))
                .reduce("", String::concat);
    }

    @Test
    void noneIsHeededTooEarlyAndWhatMayBeginOneIsHeldBack() {
        StopStrings stops = new StopStrings(List.of("END"));
        assertEquals("an END and ", stops.accept("an END and E", false));
        assertEquals("", stops.accept("N", false));
        assertEquals("", stops.accept("D.", true));
        assertEquals(true, stops.isFound());
    }
}
