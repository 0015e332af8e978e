package dev.finetune4j.lora.adapter.prompt;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.ModuleTransform;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/** An adapter of virtual tokens before the first one. */
final class PromptLearningAdapter implements PeftAdapter {
    static final String STORED = "prompt_embeddings";

    private final AdapterSettings settings;
    private final PromptLearningKind<?> kind;
    private final PromptEncoder encoder;
    private final Lifetime lifetime = PeftAdapter.lifetime();

    /** @param encoder owned by the adapter from now on */
    PromptLearningAdapter(AdapterSettings settings, PromptLearningKind<?> kind, PromptEncoder encoder) {
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
}
