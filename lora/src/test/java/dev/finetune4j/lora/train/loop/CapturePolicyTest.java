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
    private static Counts run(IntFunction<Object> shapes) {
        CapturePolicy<Object> choice = new CapturePolicy<>();
        Map<Object, Boolean> held = new LinkedHashMap<>(16, 0.75f, true);
        int captured = 0;
        int replayed = 0;
        for (int i = 0; i < PASSES; i++) {
            Object shape = shapes.apply(i);
            if (held.get(shape) != null) {
                choice.replayed();
                replayed++;
            } else if (choice.worthwhile(shape)) {
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
    void theSecondOfAShapeIsCaptured() {
        CapturePolicy<String> choice = new CapturePolicy<>();
        assertFalse(choice.worthwhile("4 x 512"));
        assertFalse(choice.worthwhile("4 x 640"));
        assertTrue(choice.worthwhile("4 x 512"));
    }

    @Test
    void fewShapesAreAllReplayed() {
        assertEquals(new Counts(4, PASSES - 8), run(i -> i % 4));
    }

    @Test
    void aShapeThatComesBackAfterLongIsAsNew() {
        CapturePolicy<Integer> choice = new CapturePolicy<>();
        for (int i = 0; i < 100; i++) {
            assertFalse(choice.worthwhile(i));
        }
        assertFalse(choice.worthwhile(0));
        assertTrue(choice.worthwhile(0));
    }

    /** Lengths as real rows have them: hardly a shape comes twice while its capture is still held. */
    @ParameterizedTest
    @ValueSource(ints = {1, 8})
    void manyLengthsAreHardlyEverCaptured(int rows) {
        Random random = new Random(1);
        Counts counts = run(i -> {
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
