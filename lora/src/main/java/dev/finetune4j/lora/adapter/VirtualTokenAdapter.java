package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.model.CausalLM;
<<<<<<< HEAD
import dev.finetune4j.core.nn.ModuleTransform;
=======
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.VirtualTokens;
import dev.finetune4j.core.nn.KvStore;
import dev.finetune4j.core.nn.ModuleTransform;
>>>>>>> 6d18f45 (core.model: mask spec, weight specs, binder, QK-norm, post-norms and fused projections by the field's names)
import dev.finetune4j.core.tensor.Lifetime;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/** An adapter of virtual tokens before the first one. */
final class VirtualTokenAdapter implements PeftAdapter {
    static final String STORED = "prompt_embeddings";

    private final AdapterSettings settings;
    private final VirtualTokenKind<?> kind;
    private final VirtualTokenEncoder encoder;
    private final Lifetime lifetime = PeftAdapter.lifetime();

    /** @param encoder owned by the adapter from now on */
    VirtualTokenAdapter(AdapterSettings settings, VirtualTokenKind<?> kind, VirtualTokenEncoder encoder) {
        this.settings = settings;
        this.kind = kind;
        this.encoder = encoder;
    }

    @Override
    public AdapterSettings settings() {
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
        return base.withVirtualTokens(kind.tokens(encoder, count, base.config()))
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
    public ModuleTransform merging() {
        throw new IllegalStateException("virtual tokens stand beside the weights and cannot be merged into them;"
                + " keep the adapter, or train LoRA");
    }

    @Override
    public void close() {
        lifetime.close(() -> encoder.trained().values().forEach(Tensor::close));
    }
<<<<<<< HEAD
=======

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
            return layer -> new KvStore.KeysAndValues(
                    all.select(0, 2L * layer).unsqueeze(0),
                    all.select(0, 2L * layer + 1).unsqueeze(0));
        }
    }
>>>>>>> 6d18f45 (core.model: mask spec, weight specs, binder, QK-norm, post-norms and fused projections by the field's names)
}
