package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.kernel.CudaDecodeKernels;
import dev.finetune4j.core.kernel.DecodeWorkspace;
import dev.finetune4j.core.kernel.GemvKernel;
import dev.finetune4j.core.kernel.cuda.CudaEvent;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Decodes one token of up to eight sequences at a time on a CUDA GPU. A step is a CUDA graph, captured once and replayed
 * by one call of the host: position, tokens and the addresses of keys and values lie in memory that stays where it is. When the
 * cache outgrows what was captured, the step is captured anew.
 *
 * <p>It shares the cache with {@link CausalLM#hidden}, which takes up prompts; all sequences stand at the same position.
 * Supported are the models of all families in bfloat16 or float32, dense or 4-bit, with LoRA, DoRA and (IA)³ adapters, virtual tokens or neither;
 * {@link #unsupportedReason} says what is in the way of others.
 *
 * <p>It may be used by one thread at a time. It borrows model and cache; once one of them is closed, it refuses to go on.
 */
public final class CudaGraphDecoder extends StepDecoder implements Lifetime.Dependent {
    private final CudaDecodeKernels kernels;
    /** The ends of the last two steps, by position. */
    private final List<CudaEvent> ends;

    private final ReplayedStep replay;
    private @Nullable PieceSteps pieces;
    /** The position of the last step that was asked of the GPU; -1 for none. */
    private long stepped = -1;
    /** What the GPU chose after the last step that counts. */
    private long choice = -1;
    /** What the cache's changes were when the GPU was asked for a step that does not count yet; -1 for none. */
    private long changesAhead = -1;

    /**
     * @param model borrowed
     * @param cache of the model; borrowed
     * @param rows number of sequences, at most {@link GemvKernel#MAX_ROWS}
     * @throws IllegalArgumentException when the model is not supported or there are too many rows
     */
    public CudaGraphDecoder(CausalLM model, KvCache cache, int rows) {
        super(model, cache, step(model, rows), rows);
        this.kernels = (CudaDecodeKernels) step.kernels();
        ComputeDevice device = model.placement().device();
        this.replay = new ReplayedStep(device, this::launch);
        this.ends = List.of(new CudaEvent(device), new CudaEvent(device));
    }

    /** A decoder for one text of a supported model, new or one whose text has ended; {@link #release} it. */
    public static CudaGraphDecoder open(CausalLM model, KvCache cache) {
        CudaGraphDecoder idle = IdleDecoders.take(model);
        if (idle == null) {
            return new CudaGraphDecoder(model, cache, 1);
        }
        idle.bind(cache);
        try (Lifetime.Use use = idle.use()) {
            idle.step.refresh();
        }
        return idle;
    }

    @Override
    void bind(KvCache other) {
        super.bind(other);
        stepped = -1;
        choice = -1;
        changesAhead = -1;
    }

    @Override
    public void release() {
        if (buffers.rows() != 1 || isClosed()) {
            close();
            return;
        }
        awaitSteps();
        IdleDecoders.give(this);
    }

    private static DecodeStep step(CausalLM model, int rows) {
        DecodeSupport support = support(model);
        if (support.step() == null) {
            throw new IllegalArgumentException(
                    "the model cannot be decoded by a CUDA graph: " + support.reason() + "; use CausalLM.hidden");
        }
        if (rows < 1 || rows > GemvKernel.MAX_ROWS) {
            throw new IllegalArgumentException("1 to " + GemvKernel.MAX_ROWS + " sequences are decoded together, not "
                    + rows + "; use CausalLM.hidden for more");
        }
        return support.step();
    }

    private static DecodeSupport support(CausalLM model) {
        return DecodeSupport.of(model, CudaDecodeKernels.class, "the model is not on a CUDA GPU");
    }

    /** What keeps a model from being decoded this way, as the end of a sentence; empty when nothing does. */
    public static Optional<String> unsupportedReason(CausalLM model) {
        DecodeSupport support = support(model);
        return support.step() != null ? Optional.empty() : Optional.of(support.reason());
    }

    @Override
    void moved(DecodeWorkspace old, DecodeWorkspace larger) {
        awaitSteps();
        // What was chosen can still be asked for.
        larger.chosen().narrow(0, 0, old.chosen().size(0)).copy_(old.chosen());
        replay.forget();
    }

    @Override
    public void settle() {
        awaitSteps();
    }

    /** They write to memory of the host, which nobody else may get before. */
    private void awaitSteps() {
        ends.forEach(CudaEvent::await);
    }

    @Override
    void free() {
        awaitSteps();
        replay.close();
        if (pieces != null) {
            pieces.close();
        }
        ends.forEach(CudaEvent::close);
    }

    /**
     * Feeds the likeliest tokens after the last step, without the host having seen them.
     *
     * @return as {@link #feed}
     * @throws IllegalStateException if the last positions of the cache are not those of a step, or something is closed
     */
    public Tensor feedArgmax() {
        try (Lifetime.Use use = use()) {
            if (takesStepAhead()) {
                return logits();
            }
            requireSteps(1);
            requireStep();
            if (makeRoom()) {
                // Keys and values have moved; the tokens are those that the device has chosen.
                write(argmax(1)[0]);
            }
            return advance();
        }
    }

    /**
     * {@inheritDoc} The step after the chosen token is asked of the GPU before this one has come to its end, so that the GPU does
     * not wait for what the host does in between: a caller that goes on otherwise has lost a step.
     */
    @Override
    public OptionalInt argmaxAfter(long token) {
        if (buffers.rows() != 1) {
            throw new IllegalArgumentException("the token of one sequence was given for " + buffers.rows());
        }
        requireToken(token);
        try (Lifetime.Use use = use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            if (token != choice || !takesStepAhead()) {
                feed(token);
            }
            long position = stepped;
            if (hasRoom() && cache.goesOnTo(cache.length() + 1)) {
                execute();
                changesAhead = cache.changes();
            }
            end(position).await();
            choice = Tensors.toLongs(workspace().chosen().narrow(0, position, 1))[0];
            if (choice >= 0) {
                return OptionalInt.of(Math.toIntExact(choice));
            }
            // The logits were written over by a step that means nothing.
            cache.truncate(cache.length() - 1);
            feed(token);
            return OptionalInt.empty();
        }
    }

    /** Whether the device has begun with the next step by itself, and nothing was changed since; it counts from now on. */
    private boolean takesStepAhead() {
        boolean ahead = stepped == cache.positions() && changesAhead == cache.changes();
        changesAhead = -1;
        if (ahead) {
            cache.advance(1);
        }
        return ahead;
    }

    private void requireSteps(int steps) {
        if (steps < 1 || stepped + 1 < steps || stepped + 1 != cache.positions()) {
            throw new IllegalStateException("the cache does not end with " + steps
                    + " steps; it was changed since, or there were fewer: feed a token first");
        }
    }

    @Override
    void execute() {
        replay.run();
        stepped = cache.positions();
        end(stepped).record();
    }

    private CudaEvent end(long position) {
        return ends.get((int) (position % 2));
    }

    private void launch() {
        run();
        kernels.argmax(buffers, workspace());
    }

    @Override
    public int maxPiece() {
        // Where frequencies go with the length of a text, the ordinary pass rotates a piece by those of its end.
        boolean fixed = step.hasFixedAngles(cache.lengthWith(PieceSteps.MAX_TOKENS));
        return buffers.rows() == 1 && fixed ? PieceSteps.MAX_TOKENS : 0;
    }

    @Override
    public Tensor feedPiece(int... ids) {
        if (ids.length == 0 || ids.length > maxPiece()) {
            throw new IllegalArgumentException(
                    "pieces of 1 to " + maxPiece() + " tokens are decoded here, not of " + ids.length);
        }
        for (int id : ids) {
            requireToken(id);
        }
        try (Lifetime.Use use = use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            cache.requireGoesOn(ids.length);
            reserve(Math.max(FIRST_CAPACITY, cache.positions() + ids.length));
            if (pieces == null) {
                pieces = new PieceSteps(model, step);
            }
            return scope.keep(pieces.feed(ids, cache));
        }
    }

    /**
     * The likeliest tokens after the last steps; waits for the GPU.
     *
     * @param steps how many of the last steps
     * @return by step, then by sequence
     * @throws FineTune4jException when a logit is NaN or the largest is infinite
     */
    public long[][] argmax(int steps) {
        try (Lifetime.Use use = use();
                TensorScope scope = new TensorScope()) {
            requireSteps(steps);
            awaitSteps();
            long[] flat = Tensors.toLongs(workspace().chosen().narrow(0, stepped + 1 - steps, steps));
            long[][] tokens = new long[steps][buffers.rows()];
            for (int i = 0; i < flat.length; i++) {
                if (flat[i] < 0) {
                    throw new FineTune4jException(
                            "the model's output is not a number; compute in FP32, or check the checkpoint");
                }
                tokens[i / buffers.rows()][i % buffers.rows()] = flat[i];
            }
            return tokens;
        }
    }
}
