package dev.finetune4j.core.inference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.finetune4j.core.nn.KvCache;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class PromptCacheTest {
    /** Holds what it is fed, and fails at the id 13; it computes texts of more than 8 tokens otherwise than shorter ones. */
    private static final class Recorder implements InferenceSession {
        final List<Integer> held = new ArrayList<>();
        private boolean isLong;

        @Override
        public KvCache memory() {
            throw new UnsupportedOperationException("there is none");
        }

        @Override
        public long length() {
            return held.size();
        }

        @Override
        public void truncate(long newLength) {
            held.subList((int) newLength, held.size()).clear();
        }

        @Override
        public long alikeIn(long tokens) {
            return isLong == tokens > 8 ? held.size() : 0;
        }

        @Override
        public long prepare(long tokens) {
            truncate(alikeIn(tokens));
            isLong = tokens > 8;
            return held.size();
        }

        @Override
        public boolean goesOnTo(long tokens) {
            return held.isEmpty() || isLong == tokens > 8;
        }

        @Override
        public float[] feed(int[] ids) {
            for (int id : ids) {
                if (id == 13) {
                    throw new IllegalStateException("no memory");
                }
            }
            Arrays.stream(ids).forEach(held::add);
            return new float[] {0, 1};
        }

        @Override
        public void close() {}
    }

    private final Recorder recorder = new Recorder();
    private final PromptCache cache = new PromptCache(recorder);

    @Test
    void keepsTheLongestCommonPrefix() {
        assertEquals(0, cache.reuse(new int[] {1, 2, 3}));
        cache.feed(new int[] {1, 2, 3});
        assertEquals(1, cache.feedArgmax(new int[] {4}));
        assertEquals(4, cache.reuse(new int[] {1, 2, 3, 4, 5}));
        assertEquals(List.of(1, 2, 3, 4), recorder.held);
        assertEquals(2, cache.reuse(new int[] {1, 2, 9, 4, 5}));
        assertEquals(List.of(1, 2), recorder.held);
        cache.feed(new int[] {9, 4, 5});
        assertEquals(0, cache.reuse(new int[] {7, 2}));
        assertEquals(List.of(), recorder.held);
    }

    @Test
    void neverKeepsTheLastTokenOfAPrompt() {
        cache.feed(new int[] {1, 2, 3});
        assertEquals(2, cache.reuse(new int[] {1, 2, 3}));
        cache.feed(new int[] {3});
        assertEquals(1, cache.reuse(new int[] {1, 2}));
        assertEquals(0, cache.reuse(new int[] {1}));
    }

    @Test
    void whatIsComputedOtherwiseInALongerTextIsNotKept() {
        cache.reuse(new int[] {1, 2, 3});
        cache.feed(new int[] {1, 2, 3});
        assertEquals(3, cache.reuse(new int[] {1, 2, 3, 4, 5, 6, 7, 8}));
        int[] longer = {1, 2, 3, 4, 5, 6, 7, 8, 9};
        assertEquals(0, cache.common(longer));
        assertEquals(0, cache.reuse(longer));
        assertEquals(List.of(), recorder.held);
        cache.feed(longer);
        assertEquals(0, cache.reuse(new int[] {1, 2, 3, 4}));
    }

    @Test
    void whatFailedIsNotHeld() {
        cache.feed(new int[] {1, 2});
        assertThrows(IllegalStateException.class, () -> cache.feed(new int[] {3, 13}));
        assertEquals(2, cache.reuse(new int[] {1, 2, 3, 13}));
        cache.truncate(1);
        cache.feed(new int[] {5});
        assertEquals(1, cache.reuse(new int[] {1, 2, 3}));
    }
}
