package dev.finetune4j.core.model;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.nn.DecoderBlock;
import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.EmbeddingNoise;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.ModuleTransform;
import dev.finetune4j.core.nn.Named;
import dev.finetune4j.core.nn.PackedSequences;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.nn.RopeScaling;
import dev.finetune4j.core.nn.RotaryEmbedding;
import dev.finetune4j.core.nn.RouterBalance;
import dev.finetune4j.core.nn.TextFrequencies;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.Threads;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * A decoder that predicts the next token: embedding, blocks, norm, projection to the vocabulary.
 *
 * <p>A model is made of shared parts. {@link #map} returns another model over the <em>same</em> weights in which some
 * parts are replaced, {@link #withVirtualTokens} one with trained positions in front; an adapter is such a view, so the
 * base stays usable beside any number of adapters. The model that was loaded owns the parts; closing a view frees
 * nothing.
 *
 * <p>Forward calls may run in several threads at once, each with a cache of its own. Closing waits for those in progress;
 * later ones, of the model and of its views, end with {@link IllegalStateException}. The parts and tensors that it hands out
 * ({@link #parameters}, {@link #linears}, {@link #embedding}, {@link #head}) are there as long as a {@link #use} is held.
 */
public final class CausalLM implements AutoCloseable {
    private final DecoderWeights weights;
    private final ModelView view;
    private final ForwardPass pass;
    private final boolean random;

    private CausalLM(DecoderWeights weights, ModelView view) {
        this.weights = weights;
        this.view = view;
        this.pass = new ForwardPass(weights, view);
        VirtualTokens virtual = view.virtualTokens();
        this.random = weights.hasDropout() || view.noise() != null || (virtual != null && virtual.hasDropout());
    }

    /** A model that owns its weights. */
    static CausalLM owning(DecoderWeights weights) {
        return new CausalLM(weights, ModelView.ofOwner());
    }

    /** The numbers that define it. */
    public ModelConfig config() {
        return weights.config();
    }

    /** The longest sequence of tokens that the model was made for, less the virtual tokens before it. */
    public int contextLength() {
        return config().maxPositions() - view.virtualPositions();
    }

    /** Where the model lives and in which precision it computes. */
    public Placement placement() {
        return weights.placement();
    }

    /**
     * Runs the decoder up to the last norm.
     *
     * @return shape (B, T, D); positions of virtual tokens are not part of it
     * @throws IllegalArgumentException if the sequences are packed and the model has virtual tokens
     * @throws IllegalStateException if the model, its adapter or the cache is closed, or another thread uses the cache
     */
    public Tensor hidden(ModelInput input) {
        return hidden(input, null);
    }

    /**
     * The same in a training whose routers have a loss of their own.
     *
     * @param balance counts what they choose; null for none
     */
    public Tensor hidden(ModelInput input, @Nullable RouterBalance balance) {
        try (Lifetime.Use use = use();
                Dropout.Pass drawing = Dropout.decoder(random);
                TensorScope scope = new TensorScope()) {
            return scope.keep(pass.hidden(input, balance));
        }
    }

    /**
     * Stands for all sequences of which the rotary angles have the same frequencies: a pass that is captured for one of them
     * is right for another.
     *
     * @param tokens of a sequence, without virtual ones
     */
    public long rotaryKey(long tokens) {
        return frequencies().key(view.virtualPositions() + tokens);
    }

    /**
     * Whether several sequences are better packed in a row than padded to rows of their own: not behind virtual tokens, which
     * stand before one sequence, and on a GPU only where attention takes them at once.
     */
    public boolean supportsPacking() {
        return view.virtualTokens() == null && supportsPacking(config(), placement());
    }

    /** The same of a model that is not loaded yet and has no virtual tokens. */
    public static boolean supportsPacking(ModelConfig config, Placement placement) {
        ComputeDevice device = placement.device();
        return !DeviceKernels.of(device).isAsync()
                || PackedSequences.isOneCall(device, Tensors.typeOf(placement.precision()), config.attention());
    }

    /**
     * Whether in a packed row sequences may begin with tokens of others, so that a prompt of two answers stands there once: where
     * attention knows it, and sequences have the same rotary frequencies whatever their lengths.
     *
     * @param longest tokens of the longest sequence
     */
    public static boolean supportsSharedPrefixes(ModelConfig config, Placement placement, long longest) {
        return supportsPacking(config, placement)
                && config.layerTypes().stream()
                        .allMatch(layer ->
                                layer.rope().tableKey(longest) == layer.rope().tableKey(1))
                && PackedSequences.areShared(
                        placement.device(), Tensors.typeOf(placement.precision()), config.attention());
    }

    /** The rotary embedding of a layer, counted from 0; layers of one kind share it. */
    public RotaryEmbedding rotary(int layer) {
        return Objects.requireNonNull(
                weights.rotaries().get(config().layerTypes().get(layer).rope()));
    }

    /** Whether rotary tables are made for each length of a sequence, so that passes cannot be captured. */
    public boolean hasDynamicRope() {
        return weights.rotaries().keySet().stream().anyMatch(rope -> rope.scaling() instanceof RopeScaling.Dynamic);
    }

    /** Factor on the load-balancing loss of the routers in training ({@code router_aux_loss_coef}); 0 where there is none. */
    public double routerLossFactor() {
        return config().layerTypes().stream()
                .map(ModelConfig.LayerType::experts)
                .filter(Objects::nonNull)
                .mapToDouble(ModelConfig.Experts::lossFactor)
                .findFirst()
                .orElse(0);
    }

    /** Whether the experts of tokens are chosen in a pass, so that what it computes depends on its numbers. */
    public boolean hasExperts() {
        return config().layerTypes().stream().anyMatch(layer -> layer.experts() != null);
    }

    /**
     * Token ids as {@link #hidden} takes them, on the model's device.
     *
     * @throws IllegalArgumentException if the embedding has no row for an id
     */
    public Tensor tokens(long[] ids, long batch, long tokens) {
        int rows = config().vocabSize();
        for (long id : ids) {
            // In libtorch it would fail without a name, and on a GPU beyond repair.
            if (id < 0 || id >= rows) {
                throw new IllegalArgumentException(
                        "the token id " + id + " has no row in the embedding, which has those from 0 to " + (rows - 1));
            }
        }
        return Tensors.ofLongs(placement().device(), ids, batch, tokens);
    }

    /**
     * Projects (…, D) to the vocabulary, (…, V).
     *
     * @throws IllegalStateException if the model or its adapter is closed
     */
    public Tensor logits(Tensor hidden) {
        Tensor logits = uncappedLogits(hidden);
        double cap = config().finalLogitSoftcapping();
        return cap == 0 ? logits : logits.div(new Scalar(cap)).tanh().mul(new Scalar(cap));
    }

    /**
     * The same without the bound of {@link ModelConfig#finalLogitSoftcapping}.
     *
     * @throws IllegalStateException if the model or its adapter is closed
     */
    public Tensor uncappedLogits(Tensor hidden) {
        try (Lifetime.Use use = use();
                Dropout.Pass drawing = Dropout.projection(head().hasDropout())) {
            return head().forward(hidden);
        }
    }

    /** The table of token vectors. */
    public Embedding embedding() {
        return weights.embedding();
    }

    /** The layers, in order. */
    public List<DecoderBlock> blocks() {
        return weights.blocks();
    }

    /** The norm behind the last block. */
    public Named<RmsNorm> norm() {
        return weights.norm();
    }

    /** The projection to the vocabulary, tied or not. */
    public Linear head() {
        return weights.head();
    }

    /** Whether trained positions stand before every sequence. */
    public boolean hasVirtualTokens() {
        return view.virtualTokens() != null;
    }

    /** The projections by Hugging Face module path; the head is there unless it is tied to the embedding. */
    public Map<String, Linear> linears() {
        return Collections.unmodifiableMap(weights.linears());
    }

    /** The module paths of all parts that a {@link ModuleTransform} is asked about. */
    public ModuleNames moduleNames() {
        return weights.moduleNames();
    }

    /** A model over the same weights in which each part is replaced by what the transform makes of it. */
    public CausalLM map(ModuleTransform transform) {
        try (Lifetime.Use use = use()) {
            return new CausalLM(weights.map(transform), view.borrowed());
        }
    }

    /** A model over the same parts that sees these virtual tokens before every sequence. */
    public CausalLM withVirtualTokens(VirtualTokens tokens) {
        requireOpen();
        return new CausalLM(weights, view.with(tokens));
    }

    /**
     * A model over the same parts whose blocks keep what the policy says for the backward pass; by default each keeps all
     * that it needs.
     */
    public CausalLM withActivations(ActivationCheckpointing policy) {
        requireOpen();
        return new CausalLM(weights, view.with(policy));
    }

    /** A model over the same parts whose embedded tokens have noise while gradients are recorded. */
    public CausalLM withNoise(EmbeddingNoise noise) {
        requireOpen();
        return new CausalLM(weights, view.with(noise));
    }

    /** Whether embedded tokens have noise while gradients are recorded. */
    public boolean hasNoise() {
        return view.noise() != null;
    }

    /** What the blocks keep for the backward pass. */
    public ActivationCheckpointing activations() {
        return view.activations();
    }

    /** A model over the same parts that also borrows something else, such as the tensors of an adapter, and uses it in each pass. */
    public CausalLM borrowing(Lifetime borrowed) {
        requireOpen();
        return new CausalLM(weights, view.with(borrowed));
    }

    /** Whether a pass drops something while gradients are recorded; see {@link Dropout}. */
    public boolean hasDropout() {
        return random;
    }

    /**
     * All tensors that full fine-tuning can train and that saving writes, by Hugging Face name. They are the model's own: hold
     * a {@link #use} while you read them.
     *
     * @throws IllegalStateException if the model or its adapter is closed
     */
    public Map<String, Tensor> parameters() {
        try (Lifetime.Use use = use()) {
            return weights.parameters();
        }
    }

    /**
     * A new cache for this model that holds its virtual tokens and nothing else; the caller closes it.
     *
     * @throws IllegalStateException if the model or its adapter is closed
     */
    public KvCache newCache() {
        KvCache cache = new KvCache(config().layers(), frequencies());
        try {
            begin(cache);
            return cache;
        } catch (RuntimeException | Error e) {
            cache.close();
            throw e;
        }
    }

    private TextFrequencies frequencies() {
        return new TextFrequencies(List.copyOf(weights.rotaries().keySet()));
    }

    private void begin(KvCache cache) {
        try (Lifetime.Use use = use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            pass.begin(cache);
        }
    }

    /**
     * Makes a cache ready for a text of which it may hold the beginning: forgets the tokens that a pass over the whole text would turn
     * otherwise, because rotary frequencies go with its length, and computes virtual tokens anew that it would turn otherwise. The rest
     * of the text may then come in pieces.
     *
     * @param cache of this model, holds the first tokens of the text
     * @param tokens of the whole text
     * @return how many of its first tokens are still held
     * @throws IllegalStateException if the model, its adapter or the cache is closed, or another thread uses the cache
     */
    public long prepare(KvCache cache, long tokens) {
        long kept = cache.alikeIn(tokens);
        long positions = view.virtualPositions() + tokens;
        // When memory ran out before, the virtual ones may be missing.
        if (kept < 0 || cache.virtual() < view.virtualPositions()) {
            cache.clear();
            cache.announce(positions);
            begin(cache);
        } else if (kept < cache.length()) {
            cache.truncate(kept);
        }
        cache.announce(positions);
        return cache.length();
    }

    /**
     * Keeps the model and what it borrows from being freed until the use is closed, by the same thread: for work of several
     * calls, or on the tensors themselves. Operations of the thread use as many threads as the placement says meanwhile. Hold
     * it for one pass, not while you wait for something: closing waits for it.
     *
     * @throws IllegalStateException if the model or what it borrows is closed
     */
    public Lifetime.Use use() {
        Lifetime.Use all = Lifetime.useAll(view.lifetimes());
        Threads.Share share = Threads.share(placement().threads());
        return () -> {
            share.close();
            all.close();
        };
    }

    /** Those of the model and of what it borrows, in the order in which {@link #use} begins to use them. */
    public List<Lifetime> lifetimes() {
        return view.lifetimes();
    }

    /**
     * Checks that the model and what it borrows are still there, now.
     *
     * @throws IllegalStateException if one of them is closed
     */
    public void requireOpen() {
        view.lifetimes().forEach(Lifetime::requireOpen);
    }

    /**
     * Frees the weights if this model was loaded and is not a view, once the passes in progress are through. Closing twice is
     * fine.
     *
     * @throws IllegalStateException if this thread is in the middle of a pass or holds a {@link #use}
     */
    @Override
    public void close() {
        if (view.owner()) {
            view.lifetimes().get(0).close(weights::free);
        }
    }
}
