package dev.finetune4j.core.model;

import dev.finetune4j.core.autograd.Checkpoint;
import dev.finetune4j.core.model.ModelConfig.LayerKind;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.DecoderBlock;
import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.KvStore;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.ModuleTransform;
import dev.finetune4j.core.nn.NamedNorm;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.nn.RopeSpec;
import dev.finetune4j.core.nn.RotaryEmbedding;
import dev.finetune4j.core.nn.TiedHead;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.Threads;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
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
    private static final String EMBEDDING = "model.embed_tokens";
    static final String HEAD = "lm_head";

    private final ModelConfig config;
    private final Placement placement;
    private final Embedding embedding;
    private final Map<RopeSpec, RotaryEmbedding> rotaries;
    private final List<DecoderBlock> blocks;
    private final NamedNorm norm;
    private final Linear head;
    private final Map<String, Linear> linears;
    private final @Nullable VirtualTokens virtualTokens;
    private final ActivationPolicy activations;
    private final boolean random;
    private final boolean owner;
    /** That of the model that was loaded, then those of what views add to it. */
    private final List<Lifetime> lifetimes;

    private CausalLM(
            ModelConfig config,
            Placement placement,
            Embedding embedding,
            Map<RopeSpec, RotaryEmbedding> rotaries,
            List<DecoderBlock> blocks,
            NamedNorm norm,
            Linear head,
            Map<String, Linear> linears,
            @Nullable VirtualTokens virtualTokens,
            ActivationPolicy activations,
            boolean owner,
            List<Lifetime> lifetimes) {
        this.config = config;
        this.placement = placement;
        this.embedding = embedding;
        this.rotaries = rotaries;
        this.blocks = List.copyOf(blocks);
        this.norm = norm;
        this.head = head;
        this.linears = linears;
        this.virtualTokens = virtualTokens;
        this.activations = activations;
        this.owner = owner;
        this.lifetimes = List.copyOf(lifetimes);
        this.random = linears.values().stream().anyMatch(Linear::isRandom)
                || head.isRandom()
                || (virtualTokens != null && virtualTokens.isRandom());
    }

    static CausalLM of(
            ModelConfig config,
            WeightBinder parts,
            Embedding embedding,
            List<DecoderBlock> blocks,
            NamedNorm norm,
            Linear head) {
        Map<RopeSpec, RotaryEmbedding> rotaries = new HashMap<>();
        for (LayerKind kind : config.layerKinds()) {
            rotaries.computeIfAbsent(
                    kind.rope(),
                    spec -> new RotaryEmbedding(spec, parts.placement().device()));
        }
        return new CausalLM(
                config,
                parts.placement(),
                embedding,
                rotaries,
                blocks,
                norm,
                head,
                new LinkedHashMap<>(parts.linears()),
                null,
                ActivationPolicy.none(),
                true,
                List.of(Lifetime.shared("the model is closed; load it again to use it")));
    }

    /** The numbers that define it. */
    public ModelConfig config() {
        return config;
    }

    /** The longest sequence of tokens that the model was made for, less the virtual tokens before it. */
    public int contextLength() {
        return config.maxPositions() - (virtualTokens == null ? 0 : virtualTokens.count());
    }

    /** Where the model lives and in which precision it computes. */
    public Placement placement() {
        return placement;
    }

    /**
     * Runs the decoder up to the last norm.
     *
     * @param tokens token ids, int64, shape (B, T), on the model's device
     * @param cache holds the positions before these and takes up the new ones; null to start at position 0 without one
     * @return shape (B, T, D); positions of virtual tokens are not part of it
     * @throws IllegalStateException if the model, its adapter or the cache is closed, or another thread uses the cache
     */
    public Tensor hidden(Tensor tokens, @Nullable KvCache cache) {
        long count = tokens.size(1);
        try (Lifetime.Use use = use();
                Dropout.Pass pass = Dropout.decoder(random);
                TensorScope scope = new TensorScope()) {
            if (cache != null) {
                return scope.keep(behind(cache, tokens, count));
            }
            Tensor x = embed(tokens);
            if (virtualTokens instanceof VirtualTokens.Prompt prompt) {
                Tensor all = VirtualPositions.before(x, prompt);
                Tensor result = run(all, new AttentionMaskSpec(0, prompt.count() + count, null), null);
                // In one piece, as the losses and the projections that flatten it expect.
                return scope.keep(result.narrow(1, prompt.count(), count).contiguous());
            }
            if (virtualTokens instanceof VirtualTokens.Prefix prefix) {
                VirtualTokens.Layers layers = prefix.layers();
                return scope.keep(run(
                        x,
                        new AttentionMaskSpec(prefix.count(), count, null),
                        i -> VirtualPositions.before(layers.layer(i))));
            }
            return scope.keep(run(x, new AttentionMaskSpec(0, count, null), null));
        }
    }

    private Tensor behind(KvCache cache, Tensor tokens, long count) {
        try (Lifetime.Use use = cache.lifetime().use()) {
            Tensor result = run(embed(tokens), new AttentionMaskSpec(cache.positions(), count, null), cache::layer);
            cache.advance(count);
            return result;
        }
    }

    /**
     * Runs the decoder over sequences that lie behind one another in a row. Each starts at position 0 and sees nothing of
     * the others, so the result is that of each alone.
     *
     * @param tokens token ids, int64, shape (1, T)
     * @param lengths of the sequences, in order; their sum is T
     * @return shape (1, T, D)
     * @throws IllegalArgumentException if the lengths do not fill the row, or the model has virtual tokens
     * @throws IllegalStateException if the model or its adapter is closed
     */
    public Tensor hiddenOfPacked(Tensor tokens, long... lengths) {
        if (tokens.size(0) != 1
                || Arrays.stream(lengths).anyMatch(length -> length < 1)
                || Arrays.stream(lengths).sum() != tokens.size(1)) {
            throw new IllegalArgumentException("sequences of the lengths " + Arrays.toString(lengths)
                    + " do not fill tokens of the shape " + Arrays.toString(tokens.shape()));
        }
        if (virtualTokens != null) {
            throw new IllegalArgumentException("virtual tokens stand before one sequence; packed rows have several."
                    + " Train this method without packing");
        }
        try (Lifetime.Use use = use();
                Dropout.Pass pass = Dropout.decoder(random);
                TensorScope scope = new TensorScope()) {
            return scope.keep(run(embed(tokens), new AttentionMaskSpec(0, tokens.size(1), lengths.clone()), null));
        }
    }

    private Tensor embed(Tensor tokens) {
        return Tensors.as(embedding.forward(tokens), placement.precision().scalarType()); // (B, T, D)
    }

    /** What a layer has before the positions of a pass. */
    @FunctionalInterface
    private interface Past {
        KvStore layer(int index);
    }

    private Tensor run(Tensor x, AttentionMaskSpec mask, @Nullable Past past) {
        boolean again = past == null && activations.every() > 0 && GradMode.is_enabled();
        LayerInputs contexts = new LayerInputs(config, placement, rotaries, mask, again);
        Dropout.Draw draw = Dropout.current();
        Tensor state = x;
        for (int i = 0; i < blocks.size(); i++) {
            Attention.Context context = contexts.of(i);
            DecoderBlock block = blocks.get(i);
            // The last block's turn comes at once in the backward pass.
            if (again && activations.checkpoints(i) && i + 1 < blocks.size()) {
                state = Checkpoint.apply(
                        state,
                        input -> block.forward(input, context, null),
                        input -> Dropout.again(draw, () -> block.forwardForGradient(input, context)));
            } else {
                state = block.forward(state, context, past == null ? null : past.layer(i));
            }
        }
        return norm.norm().forward(state);
    }

    /**
     * Token ids as {@link #hidden} takes them, on the model's device.
     *
     * @throws IllegalArgumentException if the embedding has no row for an id
     */
    public Tensor tokens(long[] ids, long batch, long tokens) {
        int rows = config.vocabSize();
        for (long id : ids) {
            // In libtorch it would fail without a name, and on a GPU beyond repair.
            if (id < 0 || id >= rows) {
                throw new IllegalArgumentException(
                        "the token id " + id + " has no row in the embedding, which has those from 0 to " + (rows - 1));
            }
        }
        return Tensors.ofLongs(placement.device(), ids, batch, tokens);
    }

    /**
     * Projects (…, D) to the vocabulary, (…, V).
     *
     * @throws IllegalStateException if the model or its adapter is closed
     */
    public Tensor logits(Tensor hidden) {
        try (Lifetime.Use use = use();
                Dropout.Pass pass = Dropout.projection(head.isRandom())) {
            Tensor logits = head.forward(hidden);
            double cap = config.logitSoftCap();
            return cap == 0 ? logits : logits.div(new Scalar(cap)).tanh().mul(new Scalar(cap));
        }
    }

    /** The table of token vectors. */
    public Embedding embedding() {
        return embedding;
    }

    /** The projection to the vocabulary, tied or not. */
    public Linear head() {
        return head;
    }

    /** Whether trained positions stand before every sequence. */
    public boolean hasVirtualTokens() {
        return virtualTokens != null;
    }

    /** The projections by Hugging Face module path; the head is there unless it is tied to the embedding. */
    public Map<String, Linear> linears() {
        return Collections.unmodifiableMap(linears);
    }

    /** The module paths of all parts that a {@link ModuleTransform} is asked about. */
    public ModuleNames moduleNames() {
        Set<String> norms = new LinkedHashSet<>();
        blocks.forEach(block -> block.forEachNorm(part -> norms.add(part.name())));
        norms.add(norm.name());
        Set<String> projections = new LinkedHashSet<>(linears.keySet());
        projections.add(HEAD);
        return new ModuleNames(Set.of(EMBEDDING), projections, norms);
    }

    /** The module path of the projection to the vocabulary, which adapters and quantization leave alone by default. */
    public static boolean isOutputHead(String linearName) {
        return linearName.equals(HEAD);
    }

    /** Whether this is the module path of the table of token vectors. */
    public static boolean isEmbedding(String moduleName) {
        return moduleName.equals(EMBEDDING);
    }

    /** A model over the same weights in which each part is replaced by what the mapper makes of it. */
    public CausalLM map(ModuleTransform mapper) {
        try (Lifetime.Use use = use()) {
            return mapped(mapper);
        }
    }

    private CausalLM mapped(ModuleTransform mapper) {
        Map<String, Linear> replaced = new LinkedHashMap<>();
        linears.forEach((name, linear) -> replaced.put(name, mapper.linear(name, linear)));
        Linear newHead = linears.containsKey(HEAD) ? replaced.get(HEAD) : mapper.linear(HEAD, head);
        if (newHead == null) {
            throw new IllegalArgumentException("a part was replaced by nothing");
        }
        if (!(newHead instanceof TiedHead)) {
            replaced.put(HEAD, newHead);
        }
        ModuleTransform once = new ModuleTransform() {
            @Override
            public Linear linear(String name, Linear linear) {
                return replaced.getOrDefault(name, linear);
            }

            @Override
            public RmsNorm norm(String name, RmsNorm part) {
                return mapper.norm(name, part);
            }
        };
        return new CausalLM(
                config,
                placement,
                mapper.embedding(EMBEDDING, embedding),
                rotaries,
                blocks.stream().map(block -> block.map(once)).toList(),
                new NamedNorm(norm.name(), mapper.norm(norm.name(), norm.norm())),
                newHead,
                replaced,
                virtualTokens,
                activations,
                false,
                lifetimes);
    }

    /** A model over the same parts that sees these virtual tokens before every sequence. */
    public CausalLM withVirtualTokens(VirtualTokens tokens) {
        requireOpen();
        return with(tokens, activations, lifetimes);
    }

    /**
     * A model over the same parts whose blocks keep what the policy says for the backward pass; by default each keeps all
     * that it needs.
     */
    public CausalLM withActivations(ActivationPolicy policy) {
        requireOpen();
        return with(virtualTokens, policy, lifetimes);
    }

    /** What the blocks keep for the backward pass. */
    public ActivationPolicy activations() {
        return activations;
    }

    /** A model over the same parts that also borrows something else, such as the tensors of an adapter, and uses it in each pass. */
    public CausalLM borrowing(Lifetime borrowed) {
        requireOpen();
        List<Lifetime> more = new ArrayList<>(lifetimes);
        more.add(borrowed);
        return with(virtualTokens, activations, more);
    }

    private CausalLM with(@Nullable VirtualTokens tokens, ActivationPolicy policy, List<Lifetime> used) {
        return new CausalLM(
                config, placement, embedding, rotaries, blocks, norm, head, linears, tokens, policy, false, used);
    }

    /** Whether a pass drops something while gradients are recorded; see {@link Dropout}. */
    public boolean isRandom() {
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
            return namedParameters();
        }
    }

    private Map<String, Tensor> namedParameters() {
        Map<String, Tensor> parameters = new LinkedHashMap<>();
        embedding.parameters().forEach((suffix, tensor) -> parameters.put(EMBEDDING + "." + suffix, tensor));
        for (DecoderBlock block : blocks) {
            block.forEachNorm(
                    part -> parameters.put(part.name() + ".weight", part.norm().weight()));
        }
        linears.forEach((name, linear) ->
                linear.parameters().forEach((suffix, tensor) -> parameters.put(name + "." + suffix, tensor)));
        parameters.put(norm.name() + ".weight", norm.norm().weight());
        return parameters;
    }

    /**
     * A new cache for this model that holds its virtual tokens and nothing else; the caller closes it.
     *
     * @throws IllegalStateException if the model or its adapter is closed
     */
    public KvCache newCache() {
        KvCache cache = new KvCache(config.layers());
        try (Lifetime.Use use = use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            if (virtualTokens instanceof VirtualTokens.Prompt prompt) {
                ScalarType type = placement.precision().scalarType();
                Tensor x = Tensors.as(prompt.embeddings(), type).unsqueeze(0); // (1, n, D)
                run(x, new AttentionMaskSpec(0, prompt.count(), null), cache::layer);
            } else if (virtualTokens instanceof VirtualTokens.Prefix prefix) {
                VirtualTokens.Layers layers = prefix.layers();
                ScalarType type = placement.precision().scalarType();
                for (int i = 0; i < config.layers(); i++) {
                    KvStore.KeysAndValues first = layers.layer(i);
                    cache.layer(i).update(Tensors.as(first.keys(), type), Tensors.as(first.values(), type));
                }
            }
            if (virtualTokens != null) {
                cache.advance(virtualTokens.count());
                cache.fix();
            }
            return cache;
        } catch (RuntimeException | Error e) {
            cache.close();
            throw e;
        }
    }

    /**
     * Keeps the model and what it borrows from being freed until the use is closed, by the same thread: for work of several
     * calls, or on the tensors themselves. Operations of the thread use as many threads as the placement says meanwhile. Hold
     * it for one pass, not while you wait for something: closing waits for it.
     *
     * @throws IllegalStateException if the model or what it borrows is closed
     */
    public Lifetime.Use use() {
        Lifetime.Use all = Lifetime.useAll(lifetimes);
        Threads.Share share = Threads.share(placement.threads());
        return () -> {
            share.close();
            all.close();
        };
    }

    /** Those of the model and of what it borrows, in the order in which {@link #use} begins to use them. */
    public List<Lifetime> lifetimes() {
        return lifetimes;
    }

    /**
     * Checks that the model and what it borrows are still there, now.
     *
     * @throws IllegalStateException if one of them is closed
     */
    public void requireOpen() {
        lifetimes.forEach(Lifetime::requireOpen);
    }

    /**
     * Frees the weights if this model was loaded and is not a view, once the passes in progress are through. Closing twice is
     * fine.
     *
     * @throws IllegalStateException if this thread is in the middle of a pass or holds a {@link #use}
     */
    @Override
    public void close() {
        if (owner) {
            lifetimes.get(0).close(this::free);
        }
    }

    private void free() {
        embedding.close();
        rotaries.values().forEach(RotaryEmbedding::close);
        blocks.forEach(DecoderBlock::close);
        norm.norm().close();
        linears.values().forEach(Linear::close);
    }
}
