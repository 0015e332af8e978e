package dev.finetune4j.lora.adapter.prompt;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.VirtualTokens;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.kind.AdapterCheck;
import dev.finetune4j.lora.adapter.kind.AdapterKind;
import dev.finetune4j.lora.adapter.kind.ConfigFields;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.kind.StoredAdapter;
import dev.finetune4j.lora.adapter.layer.AdapterShape;
import dev.finetune4j.lora.adapter.layer.InitSources;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;

/**
 * A kind whose adapters are positions before the first token. While they are trained an encoder makes them; a file holds what it
 * made.
 */
abstract class PromptLearningKind<S extends AdapterSettings> extends AdapterKind<S> {
    public PromptLearningKind(Class<S> settings, String peftType, double usualLearningRate) {
        super(settings, peftType, usualLearningRate);
    }

    /** The tensors of the encoder that is trained. */
    public abstract PromptEncoderSpec spec(S chosen, ModelConfig base);

    /** The encoder with the tensors of the spec. */
    public abstract PromptEncoder encoder(S chosen, ModelConfig base, Map<String, Tensor> tensors);

    /** The encoder as training begins; its tensors belong to the caller's scope. */
    public PromptEncoder init(S chosen, CausalLM base, InitSources sources) {
        Map<String, Tensor> tensors =
                spec(chosen, base.config()).init(base.placement().device(), new SplittableRandom(sources.seed()));
        return encoder(chosen, base.config(), tensors);
    }

    /** Width of what the encoder makes of one virtual token. */
    public long width(ModelConfig base) {
        return base.hiddenSize();
    }

    /** Whether the virtual tokens are among the keys and values of each layer only. */
    public boolean isPrefix() {
        return false;
    }

    /** What the model gets from an encoder. */
    public VirtualTokens tokens(PromptEncoder encoder, int count, ModelConfig base) {
        return new Prompt(encoder, count);
    }

    @Override
    public final AdapterShape shape(S chosen, CausalLM base) {
        List<long[]> trained = List.copyOf(spec(chosen, base.config()).shapes().values());
        return new AdapterShape(trained, 0, Map.of(), false, chosen.virtualTokens(), isPrefix());
    }

    @Override
    public final PeftAdapter create(S chosen, CausalLM base, InitSources sources) {
        try (TensorScope scope = new TensorScope()) {
            PromptEncoder encoder = init(chosen, base, sources);
            encoder.trained().values().forEach(scope::release);
            return new PromptLearningAdapter(chosen, this, encoder);
        }
    }

    @Override
    public final PeftAdapter load(S chosen, StoredAdapter file, CausalLM base) {
        AdapterCheck check = new AdapterCheck(file.file(), file.weights());
        check.tensor(PromptLearningAdapter.STORED, new long[] {chosen.virtualTokens(), width(base.config())});
        check.finish();
        try (TensorScope scope = new TensorScope()) {
            Tensor table =
                    file.read(PromptLearningAdapter.STORED, base.placement().device());
            return new PromptLearningAdapter(chosen, this, new PromptEncoder.Table(scope.release(table)));
        }
    }

    /** Reads the keys that all these kinds have; the number of virtual tokens. */
    public static int readCount(ConfigFields fields) {
        fields.harmless("num_attention_heads", "num_layers", "token_dim");
        int submodules = fields.integer("num_transformer_submodules", 1);
        if (submodules != 1) {
            fields.problem("\"num_transformer_submodules\" must be 1 for a decoder, but is " + submodules);
        }
        return fields.integer("num_virtual_tokens", 0);
    }

    /** Writes the keys that all these kinds have. */
    public static void writeShape(ObjectNode config, ModelConfig base, int count, int heads, long width) {
        config.putNull("modules_to_save");
        config.put("num_attention_heads", heads);
        config.put("num_layers", base.layers());
        config.put("num_transformer_submodules", 1);
        config.put("num_virtual_tokens", count);
        config.put("token_dim", width);
    }

    private record Prompt(PromptEncoder encoder, int count) implements VirtualTokens.Prompt {
        @Override
        public boolean hasDropout() {
            return encoder.hasDropout();
        }

        @Override
        public Tensor embeddings() {
            return encoder.encode();
        }
    }
}
