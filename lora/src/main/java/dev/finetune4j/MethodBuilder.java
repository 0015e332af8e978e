package dev.finetune4j;

import dev.finetune4j.core.message.SetOnce;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.quant.QuantSettings;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Collects what is chosen of the method, and builds it. Not thread-safe. */
final class MethodBuilder {
    private final SetOnce once;
    private @Nullable Supplier<TuningMethod> method;
    private @Nullable QuantSettings quantization;
    private @Nullable Double loraPlus;

    /** @param once the builder's calls so far */
    MethodBuilder(SetOnce once) {
        this.once = once;
    }

    void adapter(String call, Supplier<AdapterSettings> settings) {
        choose(call, () -> new TuningMethod.WithAdapter(settings.get(), null));
    }

    /** @param choice asked at the end, when all else is chosen */
    void choose(String call, Supplier<TuningMethod> choice) {
        once.set("method", call);
        method = () -> choice.get().with(quantization, loraPlus);
    }

    /** Takes the method of an earlier training as it was. */
    void repeat(String source, TuningMethod then) {
        once.set("method", source);
        method = () -> then;
    }

    void quantize(QuantSettings form) {
        quantization = once.set("quantize", form);
    }

    void loraPlus(double ratio) {
        loraPlus = once.set("loraPlus", ratio);
    }

    /** Whether the form of the base was chosen apart from the method. */
    boolean isQuantizationChosen() {
        return quantization != null;
    }

    /** The method; null when there is none that works, for reasons that have joined the others. */
    @Nullable
    TuningMethod build(SettingsProblems problems) {
        if (method == null) {
            problems.add("no method was chosen; call qlora(…), lora(…), full() or another");
            return null;
        }
        return problems.collect(method);
    }
}
