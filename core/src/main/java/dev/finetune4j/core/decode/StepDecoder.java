package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.DecodeBuffers;
import dev.finetune4j.core.kernel.DecodeRow;
import dev.finetune4j.core.kernel.DecodeWorkspace;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** What decoders of all processors do around a {@link DecodeStep}: the checks, the memory that grows with the cache, the end. */
abstract sealed class StepDecoder implements TokenDecoder permits CpuDecoder, CudaGraphDecoder {
    static final long FIRST_CAPACITY = 256;

    private final Lifetime lifetime = Lifetime.confined(
            "the decoder is closed; make a new one",
            "the decoder belongs to one thread at a time; make one for each sequence");
    final CausalLM model;
    KvCache cache;
    private List<Lifetime> used;
    final DecodeStep step;
    final DecodeBuffers buffers;
    private @Nullable DecodeWorkspace workspace;
    /** The positions that the workspace has room for. */
    private long capacity;
    /** What the cache's moves were when the addresses of its buffers were written last. */
    private long writtenMoves = -1;

    StepDecoder(CausalLM model, KvCache cache, DecodeStep step, int rows) {
        this.model = model;
        this.cache = cache;
        this.used = used(cache);
        this.step = step;
        this.buffers = step.buffers(model, rows);
    }

    private List<Lifetime> used(KvCache other) {
        List<Lifetime> all = new ArrayList<>(List.of(lifetime, other.lifetime()));
        all.addAll(model.lifetimes());
        return List.copyOf(all);
    }

    /** Turns to another text of the model. */
    void bind(KvCache other) {
        cache = other;
        used = used(other);
        writtenMoves = -1;
    }

    final boolean isClosed() {
        return lifetime.isClosed();
    }

    /** A use of this, the cache and the model. */
    final Lifetime.Use use() {
        return Lifetime.useAll(used);
    }

    @Override
    public final Tensor feed(long... tokens) {
        if (tokens.length != buffers.rows()) {
            throw new IllegalArgumentException(
                    tokens.length + " tokens were given for " + buffers.rows() + " sequences");
        }
        for (long token : tokens) {
            requireToken(token);
        }
        try (Lifetime.Use use = use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            requireStep();
            makeRoom();
            write(tokens);
            return advance();
        }
    }

    /** Checks that the cache can take up a token that comes alone. */
    final void requireStep() {
        cache.requireGoesOn(1);
        if (!cache.isTurnedAlone()) {
            throw new IllegalStateException(
                    "a text of " + cache.lengthWith(1) + " positions was announced, whose rotary"
                            + " frequencies are not those of single tokens at position " + cache.positions()
                            + "; use CausalLM.hidden up to its end");
        }
    }

    final void requireToken(long token) {
        if (token < 0 || token >= model.config().vocabSize()) {
            throw new IllegalArgumentException("there is no token " + token + "; the vocabulary has "
                    + model.config().vocabSize() + " tokens");
        }
    }

    /** Writes the next tokens of all sequences down for the next step. */
    final void write(long... tokens) {
        List<DecodeRow> rows = new ArrayList<>();
        for (int row = 0; row < tokens.length; row++) {
            rows.add(new DecodeRow(cache.positions(), tokens[row], cache, row));
        }
        buffers.input().write(rows);
        writtenMoves = cache.moves();
    }

    /** Whether the next step can follow the last one by itself. */
    final boolean hasRoom() {
        return workspace != null
                && capacity > cache.positions()
                && cache.capacity() > cache.positions()
                && cache.moves() == writtenMoves;
    }

    /** Makes room for the next position; says whether the rows have to be written for it. */
    final boolean makeRoom() {
        if (hasRoom()) {
            return false;
        }
        reserve(Math.max(FIRST_CAPACITY, cache.positions() + 1));
        return true;
    }

    /** The step of the rows that the buffers hold. */
    final Tensor advance() {
        execute();
        cache.advance(1);
        return buffers.logits();
    }

    @Override
    public final Tensor logits() {
        return buffers.logits();
    }

    /** Runs the step on the memory that is there, or what was captured of it. */
    abstract void execute();

    /** The program itself. */
    final void run() {
        step.run(buffers, workspace());
    }

    /** The memory for the capacity at hand; not before the first step. */
    final DecodeWorkspace workspace() {
        return Objects.requireNonNull(workspace);
    }

    /** Whether there was a step or a reservation. */
    final boolean isReserved() {
        return workspace != null;
    }

    /**
     * Makes room for that many positions, so that memory stays where it is up to there.
     *
     * @throws IllegalStateException after closing
     */
    public final void reserve(long positions) {
        Attention.Shape shape = model.config().attention();
        ComputeDevice device = model.placement().device();
        try (Lifetime.Use use = use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor like =
                    Tensors.empty(device, step.kernels().type(), buffers.rows(), shape.kvHeads(), 0, shape.headDim());
            cache.reserve(positions, like);
            long places = cache.capacity();
            if (workspace == null || capacity < places) {
                DecodeWorkspace larger = step.workspace(buffers.rows(), places);
                if (workspace != null) {
                    moved(workspace, larger);
                }
                forget();
                workspace = larger;
                capacity = places;
            }
        }
    }

    /** Memory moves: what is still needed of the old one is taken over, and what was captured on it is gone. */
    void moved(DecodeWorkspace old, DecodeWorkspace larger) {}

    private void forget() {
        if (workspace != null) {
            workspace.close();
            workspace = null;
        }
    }

    /** Frees what a decoder has besides the memory of its steps. */
    void free() {}

    @Override
    public final void close() {
        lifetime.close(() -> {
            free();
            forget();
            buffers.close();
        });
    }
}
