package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.ElementKernels;
import dev.finetune4j.core.kernel.cpu.TokenKernels;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.RotaryEmbedding;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.Threads;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Decodes one token of a sequence at a time on the CPU, with a dozen calls of kernels of our own for each layer, which read
 * every weight once and work on memory that stays where it is.
 *
 * <p>It shares the cache with {@link CausalLM#hidden}, which takes up prompts. Served are the models that {@link CudaGraphDecoder}
 * serves on a GPU; {@link #unsupportedReason} says what is in the way of others.
 *
 * <p>It may be used by one thread at a time. It borrows model and cache; once one of them is closed, it refuses to go on.
 */
public final class CpuDecoder implements TokenDecoder {
    private static final long FIRST_CAPACITY = 256;

    private final Lifetime lifetime = Lifetime.confined(
            "the decoder is closed; make a new one",
            "the decoder belongs to one thread at a time; make one for each sequence");
    private final List<Lifetime> used;
    private final CausalLM model;
    private final KvCache cache;
    private final DecodePlan plan;
    private final ScalarType type;
    private final ElementKernels elements;
    private final TokenKernels tokens;
    private final DecodeBuffers buffers;
    private @Nullable Workspace workspace;

    /**
     * What depends on its capacity in positions.
     *
     * @param capacity positions
     * @param moves those of the cache when this was made
     * @param cos cosines by position, shape (capacity, head size)
     * @param sin sines by position, shape (capacity, head size)
     * @param scores working memory of attention, float32
     */
    private record Workspace(long capacity, long moves, Tensor cos, Tensor sin, Tensor scores) {
        void close() {
            List.of(cos, sin, scores).forEach(Tensor::close);
        }
    }

    /**
     * @param model borrowed
     * @param cache of the model, with one sequence; borrowed
     * @throws IllegalArgumentException when the model is not supported
     */
    public CpuDecoder(CausalLM model, KvCache cache) {
        DecodePlan.Support support = support(model);
        if (support.plan() == null) {
            throw new IllegalArgumentException("the model cannot be decoded by the kernels of the CPU: "
                    + support.reason() + "; use CausalLM.hidden");
        }
        CpuKernels kernels = CpuKernels.get().orElseThrow();
        this.used = DecodePlan.used(lifetime, cache, model);
        this.model = model;
        this.cache = cache;
        this.plan = support.plan();
        this.type = Tensors.typeOf(model.placement().precision());
        this.elements = kernels.elements();
        this.tokens = kernels.tokens();
        this.buffers = DecodeBuffers.make(1, model.config(), ComputeDevice.cpu(), type, plan.widestRank());
    }

    private static DecodePlan.Support support(CausalLM model) {
        boolean onCpu = model.placement().device().kind() == ComputeDevice.Kind.CPU;
        return onCpu && CpuKernels.get().isEmpty()
                ? new DecodePlan.Support(null, "this build has no kernels for the CPU, or they are switched off")
                : DecodePlan.of(model, ComputeDevice.Kind.CPU);
    }

    /** What keeps a model from being decoded this way, as the end of a sentence; empty when nothing does. */
    public static Optional<String> unsupportedReason(CausalLM model) {
        DecodePlan.Support support = support(model);
        return support.plan() != null ? Optional.empty() : Optional.of(support.reason());
    }

    @Override
    public Tensor feed(long... fed) {
        if (fed.length != 1) {
            throw new IllegalArgumentException("one sequence is decoded, but " + fed.length + " tokens were given");
        }
        long token = fed[0];
        if (token < 0 || token >= model.config().vocabSize()) {
            throw new IllegalArgumentException("there is no token " + token + "; the vocabulary has "
                    + model.config().vocabSize() + " tokens");
        }
        try (Lifetime.Use use = Lifetime.useAll(used);
                Threads.Share share = Threads.share(model.placement().threads());
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Workspace there = workspace(cache.positions() + 1);
            buffers.state().copy_(plan.embedding().narrow(0, token, 1));
            for (int i = 0; i < plan.blocks().size(); i++) {
                try (TensorScope turn = new TensorScope()) {
                    block(plan.blocks().get(i), cache.layer(i), there);
                }
            }
            norm(plan.norm());
            plan.head().run(buffers.normed(), 1, buffers.low(), buffers.logits(), false);
            cache.advance(1);
            return buffers.logits();
        }
    }

    private void block(DecodePlan.Block block, KvCache.Layer layer, Workspace there) {
        norm(block.attentionNorm());
        block.inputs().run(buffers.normed(), 1, buffers.low(), buffers.qkv(), false);
        tokens.attend(
                buffers.qkv(),
                Objects.requireNonNull(layer.keys()),
                Objects.requireNonNull(layer.values()),
                cache.positions(),
                there.cos(),
                there.sin(),
                (float) model.config().attention().scale(),
                there.scores(),
                buffers.mixed());
        block.output().run(buffers.mixed(), 1, buffers.low(), buffers.state(), true);
        norm(block.mlpNorm());
        block.gateAndUp().runGated(buffers.normed(), 1, buffers.low(), buffers.gated());
        block.down().run(buffers.gated(), 1, buffers.low(), buffers.state(), true);
    }

    private void norm(Tensor weight) {
        float epsilon = (float) model.config().norms().epsilon();
        elements.rmsForward(buffers.state(), weight, buffers.normed(), null, epsilon, false);
    }

    private Workspace workspace(long positions) {
        if (workspace != null && workspace.moves() == cache.moves() && workspace.capacity() >= positions) {
            return workspace;
        }
        Attention.Shape shape = model.config().attention();
        Tensor like = Tensors.empty(ComputeDevice.cpu(), type, 1, shape.kvHeads(), 0, shape.headDim());
        cache.reserve(Math.max(FIRST_CAPACITY, positions), like);
        long capacity = cache.capacity();
        long numbers = TokenKernels.room(shape.heads(), shape.headDim(), capacity);
        try (TensorScope scope = new TensorScope();
                RotaryEmbedding rotary =
                        new RotaryEmbedding(model.config().layerTypes().get(0).rope(), ComputeDevice.cpu())) {
            RotaryEmbedding.Angles angles = rotary.angles(0, capacity, type);
            Workspace larger = new Workspace(
                    capacity,
                    cache.moves(),
                    scope.release(angles.cos().clone()),
                    scope.release(angles.sin().clone()),
                    scope.release(Tensors.empty(ComputeDevice.cpu(), ScalarType.Float, numbers)));
            forget();
            workspace = larger;
            return larger;
        }
    }

    private void forget() {
        if (workspace != null) {
            workspace.close();
            workspace = null;
        }
    }

    @Override
    public void close() {
        lifetime.close(() -> {
            forget();
            buffers.close();
        });
    }
}
