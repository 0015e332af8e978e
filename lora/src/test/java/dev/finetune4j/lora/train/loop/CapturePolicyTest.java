package dev.finetune4j.lora.train.loop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.function.IntFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CapturePolicyTest {
    private static final int PASSES = 5_000;
    private static final int HELD = 16;

    private record Counts(int captured, int replayed) {}

    /** As many captures as the passes hold, the one that was not used for longest dropped first. */
    private static Counts run(boolean hostBound, IntFunction<Object> shapes) {
        CapturePolicy<Object> choice = new CapturePolicy<>();
        Map<Object, Boolean> held = new LinkedHashMap<>(16, 0.75f, true);
        int captured = 0;
        int replayed = 0;
        for (int i = 0; i < PASSES; i++) {
            Object shape = shapes.apply(i);
            if (held.get(shape) != null) {
                choice.replayed();
                replayed++;
            } else if (choice.worthwhile(shape, hostBound)) {
                captured++;
                held.put(shape, true);
                if (held.size() > HELD) {
                    held.remove(held.keySet().iterator().next());
                }
            }
        }
        return new Counts(captured, replayed);
    }

    @Test
    void theSecondOfAShapeIsCapturedWhereTheGpuWaitsForTheHost() {
        CapturePolicy<String> choice = new CapturePolicy<>();
        assertFalse(choice.worthwhile("4 x 512", true));
        assertFalse(choice.worthwhile("4 x 640", true));
        assertTrue(choice.worthwhile("4 x 512", true));
    }

    @Test
    void whereTheHostIsFastOnlyFewShapesAreCaptured() {
        CapturePolicy<String> one = new CapturePolicy<>();
        assertFalse(one.worthwhile("4 x 512", false));
        assertTrue(one.worthwhile("4 x 512", false));
        CapturePolicy<Integer> thirty = new CapturePolicy<>();
        for (int i = 0; i < 1000; i++) {
            assertFalse(thirty.worthwhile(i % 30, false), "pass " + i);
        }
    }

    @Test
    void fewShapesAreAllReplayed() {
        assertEquals(new Counts(4, PASSES - 8), run(true, i -> i % 4));
        // Sixteen passes have shown that there are four.
        assertEquals(new Counts(4, PASSES - 19), run(false, i -> i % 4));
    }

    @Test
    void aShapeThatComesBackAfterLongIsAsNew() {
        CapturePolicy<Integer> choice = new CapturePolicy<>();
        for (int i = 0; i < 100; i++) {
            assertFalse(choice.worthwhile(i, true));
        }
        assertFalse(choice.worthwhile(0, true));
        assertTrue(choice.worthwhile(0, true));
    }

    /** Lengths as real rows have them: hardly a shape comes twice while its capture is still held. */
    @ParameterizedTest
    @ValueSource(ints = {1, 8})
    void manyLengthsAreHardlyEverCaptured(int rows) {
        Random random = new Random(1);
        Counts counts = run(true, i -> {
            int longest = 0;
            int targets = 0;
            for (int row = 0; row < rows; row++) {
                int prompt = 20 + (int) Math.exp(random.nextGaussian() * 0.6 + 3.6);
                int answer = Math.min(900, 10 + (int) Math.exp(random.nextGaussian() * 0.7 + 4.2));
                longest = Math.max(longest, prompt + answer);
                targets += answer;
            }
            return longest * 100 + targets / 64;
        });
        assertTrue(counts.captured() <= PASSES / 50, counts + " of " + PASSES + " passes");
    }
}
