package dev.finetune4j.examples.cli;

import dev.finetune4j.Adapter;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.core.ComputeDevice;
import java.nio.file.Path;
import java.util.List;

/** Writes a model with none, one or several adapters merged into it. Stateless. */
final class ModelWriting {
    private ModelWriting() {}

    static void write(MergeOptions options, ModelFormat format) {
        Path folder = options.folder();
        List<Path> adapters = options.adapters();
        if (adapters.size() == 1) {
            LanguageModel.merge(folder, adapters.get(0), options.target(), format, options.settings(folder));
            return;
        }
        try (LanguageModel model = load(options, folder)) {
            if (adapters.isEmpty()) {
                model.export(options.target(), format);
            } else {
                try (Adapter sum = AdapterSum.load(model, adapters)) {
                    sum.export(options.target(), format, options.settings(folder));
                }
            }
        }
    }

    /** The model in memory, for what is not read from its files alone. */
    static LanguageModel load(MergeOptions options, Path folder) {
        LanguageModel.Loader loader = LanguageModel.loader(folder).device(ComputeDevice.cpu());
        String template = options.template(folder);
        if (template != null) {
            loader.chatTemplate(template);
        }
        return loader.load();
    }
}
