package dev.finetune4j.lora.train.loop;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;

/**
 * Which shapes of batches are worth a CUDA graph capture. A capture costs as much as two plain passes, and graphs hold memory
 * beside that of plain passes, so it pays back only when its shape comes again soon. Where the host cannot enqueue a pass as fast as
 * the GPU runs it, a replay saves a good part of a pass; elsewhere only the pauses between kernels.
 *
 * <p>A shape is captured when it comes a second time within the last {@value #RECENT} passes: if the host is what passes wait for,
 * or if these passes had few shapes, one for {@value #VISITS} passes. When {@value #TRIED} captures have been made and fewer than
 * {@value #PAYING} replays came of each, no more are made; what is captured goes on serving.
 *
 * @param <S> what two batches share that one capture serves
 */
final class CapturePolicy<S> {
    private static final int RECENT = 64;
    private static final int VISITS = 4;
    private static final int TRIED = 16;
    private static final int PAYING = 4;

    private final Deque<S> recent = new ArrayDeque<>();
    private final Map<S, Integer> times = new HashMap<>();
    private int captures;
    private int replays;

    /**
     * Counts a pass that no capture serves, and says whether it is to be captured.
     *
     * @param hostBound whether the GPU waits for the host
     */
    boolean worthwhile(S shape, boolean hostBound) {
        boolean again = times.merge(shape, 1, Integer::sum) > 1;
        recent.add(shape);
        if (recent.size() > RECENT) {
            forget(recent.remove());
        }
        boolean few = times.size() <= Math.max(1, recent.size() / VISITS);
        boolean paid = captures < TRIED || replays >= PAYING * captures;
        boolean wanted = again && (hostBound || few) && paid;
        captures += wanted ? 1 : 0;
        return wanted;
    }

    private void forget(S shape) {
        times.computeIfPresent(shape, (key, count) -> count > 1 ? count - 1 : null);
    }

    /** Counts a pass that a capture serves. */
    void replayed() {
        replays++;
    }
}
