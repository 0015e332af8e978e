package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.nn.RopeScaling;
import dev.finetune4j.core.nn.RopeSpec;
import java.util.List;
import java.util.function.IntPredicate;

/** SmolLM3: layers without rotary embedding between those with it (<a href="https://huggingface.co/blog/smollm3">Bakouch et al. 2025</a>). */
final class SmolLm3Family implements ModelFamily {
    @Override
    public String modelType() {
        return "smollm3";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = new ConfigDraft(reader);
        draft.kvHeads(4);
        draft.qkvBias = reader.flag("attention_bias", false);
        draft.outputBias = draft.qkvBias;
        draft.mlpBias = reader.flag("mlp_bias", false);
        draft.tiedHead = reader.flag("tie_word_embeddings", true);
        draft.positionsDefault = 32_768;
        IntPredicate rotated = rotated(draft);
        int window = reader.switchedWindow(0);
        IntPredicate sliding = LayerTypes.sliding(draft, layer -> window > 0 && !rotated.test(layer));
        RopeSpec rope = new RopeReader(draft).read(2_000_000);
        RopeSpec none = rope.with(new RopeScaling.Unrotated());
        return draft.finish(
                layer -> new LayerType(rotated.test(layer) ? rope : none, sliding.test(layer) ? window : 0));
    }

    /** {@code no_rope_layers}, which says 1 for layers with rotary embedding, or the rule that stands for it. */
    private static IntPredicate rotated(ConfigDraft draft) {
        int interval = draft.reader.size("no_rope_layer_interval", 4);
        IntPredicate rule = layer -> (layer + 1) % interval != 0;
        List<String> given = draft.reader.texts("no_rope_layers");
        if (given == null) {
            return rule;
        }
        if (given.size() != draft.layers || !List.of("0", "1").containsAll(given)) {
            draft.reader.problem("\"no_rope_layers\" must say 1 (rotated) or 0 for each of the " + draft.layers
                    + " layers, but is " + given);
            return rule;
        }
        return layer -> given.get(layer).equals("1");
    }
}
