package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.nn.RopeScaling;
import dev.finetune4j.core.nn.RopeSpec;
import java.util.function.IntPredicate;

/** Command R7B and A: a window with rotary embedding, or neither (<a href="https://arxiv.org/abs/2504.00698">Cohere et al. 2025</a>). */
final class Cohere2Family implements ModelFamily {
    @Override
    public String modelType() {
        return "cohere2";
    }

    @Override
    public ModelConfig read(ConfigReader reader) {
        ConfigDraft draft = CohereFamily.common(reader);
        draft.headDim = Math.max(1, draft.hidden / draft.heads); // whatever the file says
        int window = reader.window("sliding_window", 4096);
        int pattern = reader.size("sliding_window_pattern", 4);
        IntPredicate sliding = LayerTypes.sliding(draft, layer -> (layer + 1) % pattern != 0);
        RopeSpec rope = new RopeReader(draft).read(10_000);
        LayerType near = new LayerType(window > 0 ? rope : rope.with(new RopeScaling.Unrotated()), window);
        LayerType far = new LayerType(rope.with(new RopeScaling.Unrotated()), 0);
        return draft.finish(layer -> sliding.test(layer) ? near : far);
    }
}
