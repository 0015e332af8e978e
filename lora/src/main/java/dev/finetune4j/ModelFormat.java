package dev.finetune4j;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.message.Arguments;

/** The form in which a whole model is exported. */
public sealed interface ModelFormat {
    /**
     * A folder as {@code save_pretrained} of transformers writes it: safetensors, config.json, tokenizer and chat template.
     *
     * @param precision the number format of the weights in the files
     * @param shardBytes the most bytes of a file of weights, unless one tensor alone is larger; 0 for the files of the model's own folder,
     *     each tensor in the one that it has there
     */
    record HuggingFace(Precision precision, long shardBytes) implements ModelFormat {
        private static final long AS_IN_FOLDER = 0;

        public HuggingFace {
            Arguments.given(precision, "huggingFace(precision)");
            if (shardBytes < 0) {
                throw new IllegalArgumentException(
                        "shardBytes must be at least 1, or 0 for the files of the model's folder, but is "
                                + shardBytes);
            }
        }

        /** The same in files of weights of at most so many bytes; by default each tensor is in the file that it has in the model's folder. */
        public HuggingFace shardBytes(long bytes) {
            if (bytes < 1) {
                throw new IllegalArgumentException("shardBytes(bytes) must be at least 1, but is " + bytes);
            }
            return new HuggingFace(precision, bytes);
        }
    }

    /**
     * One file for <a href="https://github.com/ggml-org/llama.cpp">llama.cpp</a> and what is built on it, such as Ollama and LM Studio:
     * weights, tokenizer and chat template. A model of which llama.cpp would compute something otherwise is refused with the reason.
     *
     * @param type the number format of the matrices
     * @param contextLength longest text that the file is for, in tokens; 0 for as long as the model can
     */
    record Gguf(GgufType type, int contextLength) implements ModelFormat {
        public Gguf {
            Arguments.given(type, "gguf(type)");
            Arguments.atLeast(0, contextLength, "contextLength");
        }

        /** The same for texts of at most so many tokens, which lets models with an attention window of that length be exported. */
        public Gguf contextLength(int tokens) {
            return new Gguf(type, Arguments.atLeast(1, tokens, "contextLength(tokens)"));
        }
    }

    /**
     * A folder for <a href="https://ollama.com">Ollama</a>: {@code model.gguf} and a {@code Modelfile} with the chat template in Ollama's
     * language, from which {@code ollama create NAME -f Modelfile} makes a model. A chat template that cannot be said in it is refused.
     *
     * @param model the form of the GGUF file
     */
    record Ollama(Gguf model) implements ModelFormat {
        public Ollama {
            Arguments.given(model, "ollama(model)");
        }
    }

    /** A folder in Hugging Face's layout; BF16 is what most models are published in. */
    static HuggingFace huggingFace(Precision precision) {
        return new HuggingFace(precision, HuggingFace.AS_IN_FOLDER);
    }

    /** A GGUF file; Q8_0 is hardly told from the model itself and half as large as BF16. */
    static Gguf gguf(GgufType type) {
        return new Gguf(type, 0);
    }

    /** A folder for Ollama. */
    static ModelFormat ollama(GgufType type) {
        return new Ollama(gguf(type));
    }

    /** The same of a GGUF file with further choices. */
    static ModelFormat ollama(Gguf model) {
        return new Ollama(model);
    }
}
