package dev.finetune4j.lora.adapter.prompt;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.VirtualTokens;
import dev.finetune4j.core.nn.KvStore;
import dev.finetune4j.lora.adapter.PrefixSettings;
import dev.finetune4j.lora.adapter.kind.ConfigFields;
import dev.finetune4j.lora.adapter.prompt.PromptEncoder.Activation;
import dev.finetune4j.lora.adapter.prompt.PromptEncoder.Perceptron;
import dev.finetune4j.lora.adapter.prompt.PromptEncoder.Table;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/** Prefix tuning. */
public final class PrefixKind extends PromptLearningKind<PrefixSettings> {
    private static final String NETWORK = "transform";

    public PrefixKind() {
        super(PrefixSettings.class, "PREFIX_TUNING", 1e-2);
    }

    /** Width of the keys of one layer, kv heads · head size. */
    private static long keyWidth(ModelConfig base) {
        return (long) base.attention().kvHeads() * base.attention().headDim();
    }

    @Override
    public long width(ModelConfig base) {
        return 2 * keyWidth(base) * base.layers();
    }

    @Override
    public boolean isStoredWhole(PrefixSettings chosen) {
        return chosen.projectionSize() == 0;
    }

    @Override
    public boolean isPrefix() {
        return true;
    }

    @Override
    public PromptEncoderSpec spec(PrefixSettings chosen, ModelConfig base) {
        PromptEncoderSpec spec = new PromptEncoderSpec();
        if (chosen.projectionSize() == 0) {
            return chosen.zeroInit()
                    ? spec.zeroTable(chosen.virtualTokens(), width(base))
                    : spec.table(chosen.virtualTokens(), width(base));
        }
        String last = Perceptron.layerName(NETWORK, 1);
        if (chosen.zeroInit()) {
            spec.zeroLayer(last, chosen.projectionSize(), width(base));
        } else {
            spec.layer(last, chosen.projectionSize(), width(base));
        }
        return spec.table(chosen.virtualTokens(), keyWidth(base))
                .layer(Perceptron.layerName(NETWORK, 0), keyWidth(base), chosen.projectionSize());
    }

    @Override
    public PromptEncoder encoder(PrefixSettings chosen, ModelConfig base, Map<String, Tensor> tensors) {
        return chosen.projectionSize() == 0 ? Table.of(tensors) : Perceptron.of(tensors, NETWORK, 2, Activation.TANH);
    }

    @Override
    public VirtualTokens tokens(PromptEncoder encoder, int count, ModelConfig base) {
        return new Prefix(encoder, count, base);
    }

    @Override
    public PrefixSettings read(ConfigFields fields, CausalLM base) {
        int count = readCount(fields);
        int size = fields.integer("encoder_hidden_size", 0);
        boolean projected = fields.flag("prefix_projection", false);
        String start = fields.text("init_weights", "");
        if (!start.isEmpty() && !start.equals("zero")) {
            fields.problem("\"init_weights\" must be \"zero\" or null, but is " + start);
        }
        return fields.build(() -> new PrefixSettings(count, projected ? Math.max(1, size) : 0, start.equals("zero")));
    }

    @Override
    public void write(PrefixSettings chosen, ObjectNode config, CausalLM model) {
        ModelConfig base = model.config();
        writeShape(config, base, chosen.virtualTokens(), base.attention().kvHeads(), keyWidth(base));
        boolean projected = chosen.projectionSize() > 0;
        config.put("encoder_hidden_size", projected ? chosen.projectionSize() : keyWidth(base));
        config.put("prefix_projection", projected);
        config.put("init_weights", chosen.zeroInit() ? "zero" : null);
    }

    private record Prefix(PromptEncoder encoder, int count, ModelConfig config) implements VirtualTokens.Prefix {
        @Override
        public boolean hasDropout() {
            return encoder.hasDropout();
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
}
