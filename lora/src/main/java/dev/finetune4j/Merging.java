package dev.finetune4j;

import dev.finetune4j.core.io.FolderTransaction;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.json.JsonFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.lora.export.ChatFiles;
import dev.finetune4j.lora.export.MergedModelExporter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** Merges a saved adapter into a model's folder without loading the model. */
final class Merging {
    private Merging() {}

    static void merge(Path model, Path adapter, Path target, ModelFormat format, MergeSettings settings) {
        PretrainedFolder opened = PretrainedFolder.open(model);
        ModelFiles.settle(adapter);
        String template = settings.chatTemplate() == null ? templateOf(adapter) : settings.chatTemplate();
        try (Tokenizer tokenizer = Tokenizer.load(model);
                CausalLM shapes = ModelLoader.meta(opened)) {
            ChatEncoder encoder = BaseLoading.encoder(opened, tokenizer, template);
            AdapterRecord record = AdapterRecord.of(opened.files(), encoder);
            AdapterRecord.check(adapter, record, opened.path(), encoder.template());
            try (PeftAdapter loaded = AdapterFiles.load(adapter, shapes)) {
                MergedModelExporter.write(
                        new ChatFiles(opened, encoder),
                        record.ofModel(),
                        loaded,
                        target,
                        Exports.writer(format),
                        settings.options());
            }
        }
    }

    /** The named template that the adapter was trained with; null for one of a model folder, or when nobody noted it. */
    private static @Nullable String templateOf(Path adapter) {
        Path record = adapter.resolve(FolderTransaction.RECORD);
        if (!Files.isRegularFile(record)) {
            return null;
        }
        String name = JsonFile.object(record).path("chat_template").asText("");
        return ChatTemplate.names().contains(name) ? name : null;
    }
}
