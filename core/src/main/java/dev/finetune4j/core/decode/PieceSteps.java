package dev.finetune4j.core.decode;

import dev.finetune4j.core.kernel.DecodeBuffers;
import dev.finetune4j.core.kernel.DecodeRow;
import dev.finetune4j.core.kernel.DecodeWorkspace;
import dev.finetune4j.core.kernel.GemvKernel;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Takes up a short piece of a text on a CUDA GPU, {@link GemvKernel#MAX_ROWS} tokens at a step, which reads the weights once for all
 * of them. Confined to one thread at a time.
 */
final class PieceSteps implements AutoCloseable {
    /** A longer piece is quicker in the ordinary pass, which unpacks 4-bit weights once for all its tokens. */
    static final int MAX_TOKENS = 64;

    private static final int ROWS = GemvKernel.MAX_ROWS;

    private final DecodeStep step;
    private final DecodeBuffers buffers;
    private final ReplayedStep replay;
    private @Nullable DecodeWorkspace workspace;
    private long capacity;

    PieceSteps(CausalLM model, DecodeStep step) {
        this.step = step;
        this.buffers = step.buffers(model, ROWS);
        this.replay = new ReplayedStep(
                model.placement().device(), () -> step.run(buffers, Objects.requireNonNull(workspace), true));
    }

    /**
     * Feeds tokens behind what a cache holds.
     *
     * @param ids at least one
     * @param cache of one sequence, with room for them
     * @return the logits of the token after them, shape (1, V), in memory that the next call writes over; the current scope owns the
     *     view
     */
    Tensor feed(int[] ids, KvCache cache) {
        reserve(cache.capacity());
        int count = 0;
        for (int from = 0; from < ids.length; from += count) {
            count = Math.min(ROWS, ids.length - from);
            List<DecodeRow> rows = new ArrayList<>();
            for (int i = 0; i < ROWS; i++) {
                rows.add(i < count ? new DecodeRow(cache.positions() + i, ids[from + i], cache, 0) : DecodeRow.idle());
            }
            buffers.input().write(rows);
            replay.run();
            cache.advance(count);
        }
        return buffers.logits().narrow(0, count - 1, 1);
    }

    private void reserve(long positions) {
        if (workspace == null || capacity < positions) {
            forget();
            workspace = step.workspace(ROWS, positions);
            capacity = positions;
        }
    }

    private void forget() {
        replay.forget();
        if (workspace != null) {
            workspace.close();
            workspace = null;
        }
    }

    @Override
    public void close() {
        forget();
        buffers.close();
    }
}
