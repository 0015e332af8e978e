package dev.finetune4j;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.message.Arguments;

/** The form in which a whole model is exported. */
public sealed interface ModelFormat {
    /**
     * A folder as {@code save_pretrained} of transformers writes it: safetensors, config.json, tokenizer and chat template.
     *
     * @param precision the number format of the weights in the files
     */
    record HuggingFace(Precision precision) implements ModelFormat {
        public HuggingFace {
            Arguments.given(precision, "huggingFace(precision)");
        }
    }

    /** A folder in Hugging Face's layout; BF16 is what most models are published in. */
    static ModelFormat huggingFace(Precision precision) {
        return new HuggingFace(precision);
    }
}
