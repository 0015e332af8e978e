package dev.finetune4j.lora.adapter.prompt;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.lora.adapter.PromptTuningSettings;
import dev.finetune4j.lora.adapter.kind.ConfigFields;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.prompt.PromptEncoder.Table;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Function;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** Prompt tuning. */
public final class PromptTuningKind extends PromptLearningKind<PromptTuningSettings> {
    public PromptTuningKind() {
        super(PromptTuningSettings.class, "PROMPT_TUNING", 3e-2);
    }

    @Override
    public PromptEncoderSpec spec(PromptTuningSettings chosen, ModelConfig base) {
        return new PromptEncoderSpec().table(chosen.virtualTokens(), base.hiddenSize());
    }

    @Override
    public PromptEncoder encoder(PromptTuningSettings chosen, ModelConfig base, Map<String, Tensor> tensors) {
        return Table.of(tensors);
    }

    @Override
    public PromptEncoder init(PromptTuningSettings chosen, CausalLM base, InitSources sources) {
        if (chosen.init() == PromptTuningSettings.Init.RANDOM) {
            return super.init(chosen, base, sources);
        }
        int count = chosen.virtualTokens();
        long[] ids = new long[count];
        if (chosen.init() == PromptTuningSettings.Init.TEXT) {
            int[] text = ids(chosen, sources.tokenize());
            for (int i = 0; i < count; i++) {
                ids[i] = text[i % text.length];
            }
        } else {
            ids = new SplittableRandom(sources.seed())
                    .longs(count, 0, base.embedding().vocabulary())
                    .toArray();
        }
        try (NoGradGuard off = new NoGradGuard()) {
            Tensor rows = base.embedding().forward(base.tokens(ids, 1, count)).view(count, -1);
            return new Table(rows.to(ScalarType.Float).clone());
        }
    }

    /** @param tokenize the ids of a text; null when there is no tokenizer */
    private static int[] ids(PromptTuningSettings chosen, @Nullable Function<String, int[]> tokenize) {
        if (tokenize == null || chosen.text() == null) {
            throw new SettingsException(
                    List.of("prompt tuning from a text needs the model's tokenizer; give one or start at random"));
        }
        int[] ids = tokenize.apply(chosen.text());
        if (ids.length == 0) {
            throw new SettingsException(List.of("the text that the prompt starts from has no tokens; give words"));
        }
        return ids;
    }

    @Override
    public PromptTuningSettings read(ConfigFields fields, CausalLM base) {
        int count = readCount(fields);
        fields.harmless("prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_kwargs", "tokenizer_name_or_path");
        return fields.build(() -> PromptTuningSettings.random(count));
    }

    /** A text as the start would make PEFT ask for a tokenizer; the trained vectors are all that counts. */
    @Override
    public void write(PromptTuningSettings chosen, ObjectNode config, CausalLM model) {
        ModelConfig base = model.config();
        writeShape(config, base, chosen.virtualTokens(), base.attention().heads(), base.hiddenSize());
        config.put("prompt_tuning_init", "RANDOM");
        config.putNull("prompt_tuning_init_text");
        config.putNull("tokenizer_kwargs");
        config.putNull("tokenizer_name_or_path");
    }
}
