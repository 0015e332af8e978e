package dev.finetune4j;

import dev.finetune4j.lora.export.HuggingFaceWriter;
import dev.finetune4j.lora.export.ModelWriter;
import dev.finetune4j.lora.export.gguf.GgufModelWriter;
import dev.finetune4j.lora.export.gguf.OllamaWriter;

/** Finds the writer of a format. */
final class Exports {
    private Exports() {}

    static ModelWriter writer(ModelFormat format) {
        if (format instanceof ModelFormat.Gguf gguf) {
            return writer(gguf);
        }
        if (format instanceof ModelFormat.Ollama ollama) {
            return new OllamaWriter(writer(ollama.model()));
        }
        ModelFormat.HuggingFace huggingFace = (ModelFormat.HuggingFace) format;
        return new HuggingFaceWriter(huggingFace.precision(), huggingFace.shardBytes());
    }

    private static GgufModelWriter writer(ModelFormat.Gguf gguf) {
        return new GgufModelWriter(gguf.type().stored(), gguf.contextLength());
    }
}
