package dev.finetune4j;

import dev.finetune4j.core.hub.ModelSource;
import dev.finetune4j.core.message.SetOnce;
import dev.finetune4j.core.tensor.Placement;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** The base that is chosen: a folder, a model of a hub, or one that is loaded already. Not thread-safe. */
final class BaseChoice {
    private final SetOnce once;
    private @Nullable BaseSource source;
    private @Nullable LanguageModel loaded;

    /** @param once the builder's calls so far */
    BaseChoice(SetOnce once) {
        this.once = once;
    }

    void source(ModelSource chosen) {
        source = new BaseSource(once.set("model", chosen));
    }

    void loaded(LanguageModel base) {
        source(ModelSource.local(base.folder().path()));
        loaded = base;
    }

    /** Where it comes from; null when none was chosen. */
    @Nullable
    BaseSource source() {
        return source;
    }

    /** A folder with its settings at least; null when none was chosen. */
    @Nullable
    Path settings() {
        return source == null ? null : source.settings();
    }

    /** The base that is loaded already; null for none. */
    @Nullable
    LanguageModel loaded() {
        return loaded;
    }

    /** Where and in which format it is loaded already; null when it is not. */
    @Nullable
    Placement placement() {
        return loaded == null ? null : loaded.model().placement();
    }

    /** A method on this base: one that is loaded has its 4-bit form. */
    @Nullable
    TuningMethod under(@Nullable TuningMethod method) {
        return loaded != null && method instanceof TuningMethod.WithAdapter adapter
                ? adapter.on(loaded.quantization())
                : method;
    }

    /** Whatever was chosen that cannot be for a base that is loaded already. */
    List<String> problems(
            @Nullable TuningMethod method, MethodBuilder methods, EncodingBuilder encoding, ComputeBuilder compute) {
        List<String> found = new ArrayList<>();
        if (loaded == null) {
            return found;
        }
        Map<String, Boolean> made = new LinkedHashMap<>();
        made.put("device(…)", compute.isDeviceChosen());
        made.put("precision(…)", compute.isPrecisionChosen());
        made.put("quantize(…)", methods.isQuantizationChosen());
        made.put("chatTemplate(…)", encoding.isTemplateChosen());
        String calls = made.entrySet().stream()
                .filter(Map.Entry::getValue)
                .map(Map.Entry::getKey)
                .collect(Collectors.joining(", "));
        if (!calls.isEmpty()) {
            found.add("the model was loaded with its device, number format, 4-bit form and chat template; leave out "
                    + calls + ", or choose it where the model is loaded");
        }
        if (compute.keepsDequantized()) {
            found.add("keepDequantized() would change weights that others read meanwhile; leave it out, or train on a"
                    + " folder, model(folder)");
        }
        if (method != null && method.adapter() == null) {
            found.add(
                    "full fine-tuning would change the loaded model for all who use it; train an adapter, or all weights of"
                            + " a folder, model(folder)");
        }
        boolean fourBit =
                loaded.quantization() != null || loaded.folder().files().isFourBit();
        if (!methods.isQuantizationChosen() && method != null && method.quantization() != null && !fourBit) {
            found.add("qlora(…) trains on a base in 4 bits, but the model was loaded with dense weights; load it with"
                    + " quantize(QuantSettings.nf4()), or train with lora(…)");
        }
        return found;
    }
}
