package dev.finetune4j.examples.cli;

import dev.finetune4j.Adapter;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.lora.adapter.Combination;
import java.nio.file.Path;
import java.util.ArrayList;
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
                writeSum(model, adapters, options, format);
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

    private static void writeSum(LanguageModel model, List<Path> folders, MergeOptions options, ModelFormat format) {
        List<Adapter> adapters = new ArrayList<>();
        try {
            folders.forEach(each -> adapters.add(model.loadAdapter(each)));
            Adapter.Weighted[] all =
                    adapters.stream().map(each -> each.weighted(1)).toArray(Adapter.Weighted[]::new);
            try (Adapter sum = Adapter.combine(Combination.of(Combination.Type.CAT), all)) {
                sum.export(options.target(), format, options.settings(options.folder()));
            }
        } finally {
            adapters.forEach(Adapter::close);
        }
    }
}
