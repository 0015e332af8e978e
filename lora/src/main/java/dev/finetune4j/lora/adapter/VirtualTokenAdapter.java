package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.VirtualTokens;
import dev.finetune4j.core.nn.PartMapper;
import dev.finetune4j.core.nn.PastKeys;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/** An adapter of virtual tokens before the first one: prompt tuning, P-tuning, prefix tuning. */
final class VirtualTokenAdapter implements PeftAdapter {
    static final String STORED = "prompt_embeddings";

    private final AdapterSettings settings;
    private final VirtualTokenEncoder encoder;
    private final Lifetime lifetime = PeftAdapter.lifetime();

    private VirtualTokenAdapter(AdapterSettings settings, VirtualTokenEncoder encoder) {
        this.settings = settings;
        this.encoder = encoder;
    }

    static VirtualTokenAdapter create(CausalLM base, AdapterSettings settings, Sources sources) {
        FreshEncoders fresh = new FreshEncoders(base, sources.seed());
        try (TensorScope scope = new TensorScope()) {
            VirtualTokenEncoder encoder;
            if (settings instanceof PrefixSettings prefix) {
                encoder = fresh.prefix(prefix, keyWidth(base.config()));
            } else if (settings instanceof PTuningSettings pTuning) {
                encoder = fresh.pTuning(pTuning);
            } else {
                encoder = fresh.prompt((PromptTuningSettings) settings, sources.tokenize());
            }
            encoder.trained().values().forEach(scope::release);
            return new VirtualTokenAdapter(settings, encoder);
        }
    }

    /** An adapter with virtual tokens from a file, which this then owns. */
    static VirtualTokenAdapter of(AdapterSettings settings, Tensor table) {
        return new VirtualTokenAdapter(settings, new VirtualTokenEncoder.Table(table));
    }

    /** Width of the keys of one layer. */
    static long keyWidth(ModelConfig config) {
        return (long) config.attention().kvHeads() * config.attention().headDim();
    }

    /** Shape of what a file holds for a base. */
    static long[] storedShape(AdapterSettings settings, ModelConfig config) {
        long width = settings instanceof PrefixSettings ? 2 * keyWidth(config) * config.layers() : config.hiddenSize();
        return new long[] {settings.virtualTokens(), width};
    }

    @Override
    public AdapterSettings settings() {
        return settings;
    }

    @Override
    public AdapterSettings storedSettings() {
        return settings;
    }

    @Override
    public Lifetime.Use use() {
        return lifetime.use();
    }

    @Override
    public CausalLM attachTo(CausalLM base) {
        lifetime.requireOpen();
        int count = settings.virtualTokens();
        if (count >= base.config().maxPositions()) {
            throw new IllegalArgumentException(
                    count + " virtual tokens leave no room for others: the model was made for "
                            + base.config().maxPositions() + " positions; use an adapter with fewer");
        }
        return base.withVirtualTokens(
                        settings instanceof PrefixSettings ? new Prefix(count, base.config()) : new Prompt(count))
                .borrowing(lifetime);
    }

    @Override
    public Map<String, Tensor> parameters() {
        lifetime.requireOpen();
        return encoder.trained();
    }

    @Override
    public Map<String, Tensor> stored() {
        try (Lifetime.Use use = use();
                NoGradGuard off = new NoGradGuard()) {
            return Map.of(STORED, encoder.encoded());
        }
    }

    @Override
    public PartMapper merging() {
        throw new IllegalStateException("virtual tokens stand beside the weights and cannot be merged into them;"
                + " keep the adapter, or train LoRA");
    }

    @Override
    public void close() {
        lifetime.close(() -> encoder.trained().values().forEach(Tensor::close));
    }

    private final class Prompt implements VirtualTokens.Prompt {
        private final int count;

        Prompt(int count) {
            this.count = count;
        }

        @Override
        public int count() {
            return count;
        }

        @Override
        public boolean isRandom() {
            return encoder.isRandom();
        }

        @Override
        public Tensor embeddings() {
            return encoder.encode();
        }
    }

    private final class Prefix implements VirtualTokens.Prefix {
        private final int count;
        private final ModelConfig config;

        Prefix(int count, ModelConfig config) {
            this.count = count;
            this.config = config;
        }

        @Override
        public int count() {
            return count;
        }

        @Override
        public boolean isRandom() {
            return encoder.isRandom();
        }

        @Override
        public VirtualTokens.Layers layers() {
            long kvHeads = config.attention().kvHeads();
            Tensor all = encoder.encode() // (n, 2 · layers · kv heads · head size)
                    .view(count, 2L * config.layers(), kvHeads, -1)
                    .permute(1, 2, 0, 3); // (2 · layers, kv heads, n, head size)
            return layer -> new PastKeys.KeysAndValues(
                    all.select(0, 2L * layer).unsqueeze(0),
                    all.select(0, 2L * layer + 1).unsqueeze(0));
        }
    }
}
