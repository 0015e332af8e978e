package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.kernel.GemvKernel;
import dev.finetune4j.core.kernel.cuda.CudaGraph;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Decodes one token of up to eight sequences at a time on a CUDA GPU. A step is a CUDA graph, captured once and replayed
 * by one call of the host: position, tokens, keys and values lie in memory that stays where it is. When the cache outgrows its
 * memory, or the ordinary path has moved it, the step is captured anew.
 *
 * <p>It shares the cache with {@link CausalLM#hidden}, which takes up prompts; all sequences stand at the same position.
 * Served are decoders of the plain form (Llama, Mistral without a window, Qwen2, Yi) in bfloat16 or float32, dense or 4-bit,
 * with LoRA adapters or without; {@link #unsupportedReason} says what is in the way of others.
 *
 * <p>It may be used by one thread at a time. It borrows model and cache; once one of them is closed, it refuses to go on.
 */
public final class CudaGraphDecoder implements TokenDecoder {
    private static final long FIRST_CAPACITY = 256;

    private final Lifetime lifetime = Lifetime.confined(
            "the decoder is closed; make a new one",
            "the decoder belongs to one thread at a time; make one for each sequence");
    private final List<Lifetime> used;
    private final CausalLM model;
    private final KvCache cache;
    private final DecodePlan plan;
    private final ComputeDevice device;
    private final ScalarType type;
    private final DecodeKernels kernels;
    private final DecodeBuffers buffers;
    private @Nullable DecodeWorkspace workspace;
    private long cacheMoves;
    private long capacity;
    private @Nullable CudaGraph graph;
    private boolean loaded;
    private long fedPosition = -1;

    /**
     * @param model borrowed
     * @param cache of the model; borrowed
     * @param rows number of sequences, at most {@link GemvKernel#MAX_ROWS}
     * @throws IllegalArgumentException when the model is not supported or there are too many rows
     */
    public CudaGraphDecoder(CausalLM model, KvCache cache, int rows) {
        DecodePlan.Support support = DecodePlan.of(model);
        if (support.plan() == null) {
            throw new IllegalArgumentException(
                    "the model cannot be decoded by a CUDA graph: " + support.reason() + "; use CausalLM.hidden");
        }
        if (rows < 1 || rows > GemvKernel.MAX_ROWS) {
            throw new IllegalArgumentException("1 to " + GemvKernel.MAX_ROWS + " sequences are decoded together, not "
                    + rows + "; use CausalLM.hidden for more");
        }
        this.used = DecodePlan.used(lifetime, cache, model);
        this.model = model;
        this.cache = cache;
        this.plan = support.plan();
        this.device = model.placement().device();
        this.type = Tensors.typeOf(model.placement().precision());
        this.kernels = new DecodeKernels(device, type, model.config().attention());
        this.buffers = DecodeBuffers.make(rows, model.config(), device, type, plan.widestRank());
    }

    /** What keeps a model from being decoded this way, as the end of a sentence; empty when nothing does. */
    public static Optional<String> unsupportedReason(CausalLM model) {
        DecodePlan.Support support = DecodePlan.of(model);
        return support.plan() != null ? Optional.empty() : Optional.of(support.reason());
    }

    /**
     * Makes room for that many positions, so that no step up to there has to be captured anew.
     *
     * @throws IllegalStateException after closing
     */
    public void reserve(long positions) {
        Attention.Shape shape = model.config().attention();
        try (Lifetime.Use use = use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            cache.reserve(positions, Tensors.empty(device, type, buffers.rows(), shape.kvHeads(), 0, shape.headDim()));
            if (workspace == null || cache.moves() != cacheMoves) {
                long places = cache.capacity();
                DecodeWorkspace larger = DecodeWorkspace.make(buffers.rows(), model.config(), device, type, places);
                if (workspace != null) {
                    // What was chosen can still be asked for.
                    larger.chosen().narrow(0, 0, workspace.chosen().size(0)).copy_(workspace.chosen());
                }
                forget();
                workspace = larger;
                capacity = places;
                cacheMoves = cache.moves();
            }
        }
    }

    private void forget() {
        if (graph != null) {
            graph.close();
            graph = null;
        }
        if (workspace != null) {
            workspace.close();
            workspace = null;
        }
    }

    @Override
    public Tensor feed(long... tokens) {
        if (tokens.length != buffers.rows()) {
            throw new IllegalArgumentException(
                    tokens.length + " tokens were given for " + buffers.rows() + " sequences");
        }
        for (long token : tokens) {
            if (token < 0 || token >= model.config().vocabSize()) {
                throw new IllegalArgumentException("there is no token " + token + "; the vocabulary has "
                        + model.config().vocabSize() + " tokens");
            }
        }
        try (Lifetime.Use use = use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            long[] step = new long[1 + tokens.length];
            step[0] = cache.positions();
            System.arraycopy(tokens, 0, step, 1, tokens.length);
            buffers.step().copy_(Tensors.ofLongs(ComputeDevice.cpu(), step, step.length));
            return step();
        }
    }

    /**
     * Feeds the likeliest tokens after the last step, without the host having seen them.
     *
     * @return as {@link #feed}
     * @throws IllegalStateException if the last positions of the cache are not those of a step, or something is closed
     */
    public Tensor feedArgmax() {
        try (Lifetime.Use use = use()) {
            if (fedPosition < 0 || fedPosition + 1 != cache.positions()) {
                throw new IllegalStateException("the cache was changed since the last step; feed a token first");
            }
            return step();
        }
    }

    private Tensor step() {
        long position = cache.positions();
        if (workspace == null || cache.moves() != cacheMoves || capacity <= position) {
            reserve(Math.max(FIRST_CAPACITY, position + 1));
        }
        if (!loaded) {
            // Kernels are loaded at their first launch, which cannot be captured.
            launch();
            loaded = true;
        } else {
            if (graph == null) {
                graph = CudaGraph.captureOverlapping(device, this::launch);
            }
            graph.launch();
        }
        cache.advance(1);
        fedPosition = position;
        return buffers.logits();
    }

    private void launch() {
        try (TensorScope scope = new TensorScope()) {
            DecodeWorkspace there = Objects.requireNonNull(workspace);
            int rows = buffers.rows();
            double epsilon = model.config().norms().epsilon();
            kernels.embed(buffers, plan.embedding());
            for (int i = 0; i < plan.blocks().size(); i++) {
                DecodePlan.Block block = plan.blocks().get(i);
                KvCache.Layer layer = cache.layer(i);
                kernels.norm(buffers, block.attentionNorm(), epsilon);
                block.inputs().run(buffers.normed(), rows, buffers.low(), buffers.qkv(), false);
                kernels.attention(
                        buffers,
                        there,
                        Objects.requireNonNull(layer.keys()),
                        Objects.requireNonNull(layer.values()),
                        model.config().attention());
                block.output().run(buffers.mixed(), rows, buffers.low(), buffers.state(), true);
                kernels.norm(buffers, block.mlpNorm(), epsilon);
                block.gateAndUp().runGated(buffers.normed(), rows, buffers.low(), buffers.gated());
                block.down().run(buffers.gated(), rows, buffers.low(), buffers.state(), true);
            }
            kernels.norm(buffers, plan.norm(), epsilon);
            plan.head().run(buffers.normed(), rows, buffers.low(), buffers.logits(), false);
            kernels.argmax(buffers, there);
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
            if (workspace == null || steps < 1 || fedPosition + 1 < steps || fedPosition + 1 != cache.positions()) {
                throw new IllegalStateException("there were no " + steps + " steps up to the end of the cache");
            }
            long[] flat = Tensors.toLongs(workspace.chosen().narrow(0, fedPosition + 1 - steps, steps));
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

    @Override
    public OptionalInt deviceArgmax() {
        try (Lifetime.Use use = use();
                TensorScope scope = new TensorScope()) {
            if (workspace == null || fedPosition < 0 || fedPosition + 1 != cache.positions()) {
                return OptionalInt.empty();
            }
            long token = Tensors.toLongs(workspace.chosen().narrow(0, fedPosition, 1))[0];
            return token < 0 ? OptionalInt.empty() : OptionalInt.of(Math.toIntExact(token));
        }
    }

    /** A use of this, the cache and the model. */
    private Lifetime.Use use() {
        return Lifetime.useAll(used);
    }

    @Override
    public void close() {
        lifetime.close(() -> {
            forget();
            buffers.close();
        });
    }
}
