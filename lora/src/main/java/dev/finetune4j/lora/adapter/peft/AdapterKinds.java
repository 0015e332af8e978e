package dev.finetune4j.lora.adapter.peft;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.ia3.Ia3Kind;
import dev.finetune4j.lora.adapter.kind.AdapterKind;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.AdapterShape;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.lntuning.FreezeKind;
import dev.finetune4j.lora.adapter.lntuning.LnTuningKind;
import dev.finetune4j.lora.adapter.lora.LoraKind;
import dev.finetune4j.lora.adapter.prompt.PTuningKind;
import dev.finetune4j.lora.adapter.prompt.PrefixKind;
import dev.finetune4j.lora.adapter.prompt.PromptTuningKind;
import dev.finetune4j.lora.adapter.vera.VeraKind;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/** The kinds of adapters that there are: a new one is a line here. */
public final class AdapterKinds {
    private static final List<AdapterKind<?>> ALL = List.of(
            new LoraKind(),
            new Ia3Kind(),
            new PrefixKind(),
            new PTuningKind(),
            new PromptTuningKind(),
            new VeraKind(),
            new LnTuningKind(),
            new FreezeKind());

    private static final Map<Class<?>, AdapterKind<?>> BY_SETTINGS = new LinkedHashMap<>();

    static {
        ALL.forEach(kind -> BY_SETTINGS.put(kind.settings(), kind));
    }

    private AdapterKinds() {}

    /**
     * The kind with these settings.
     *
     * @throws IllegalArgumentException when the settings are not the library's own
     */
    @SuppressWarnings("unchecked") // the kind is found by the class of its settings
    public static <S extends AdapterSettings> AdapterKind<S> of(S settings) {
        AdapterKind<?> kind = BY_SETTINGS.get(settings.getClass());
        if (kind == null) {
            throw new IllegalArgumentException(settings.getClass().getName()
                    + " is not among the settings of adapters (there are "
                    + BY_SETTINGS.keySet().stream().map(Class::getSimpleName).collect(Collectors.joining(", "))
                    + "); use one of these");
        }
        return (AdapterKind<S>) kind;
    }

    /**
     * Compares settings with the modules of a model, which config.json alone gives.
     *
     * @throws SettingsException naming everything that does not exist there
     */
    public static void check(AdapterSettings settings, ModuleNames modules) {
        require(of(settings).problems(settings, modules));
    }

    /** Begins to compile what a training on a device will need; its base may still be read meanwhile. */
    public static void prepare(AdapterSettings settings, ComputeDevice device) {
        of(settings).prepare(settings, device);
    }

    private static void require(List<String> problems) {
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /**
     * How large an adapter on a model will be.
     *
     * @param base the model, or one of its shapes without weights ({@link
     *     dev.finetune4j.core.model.ModelLoader#meta}): no weight is looked at
     * @throws SettingsException when the settings do not fit the model
     */
    public static AdapterShape shape(AdapterSettings settings, CausalLM base) {
        check(settings, base.moduleNames());
        return of(settings).shape(settings, base);
    }

    /**
     * A fresh adapter. All kinds but those with virtual tokens change nothing yet.
     *
     * @throws SettingsException when the settings do not fit the model or lack a source
     */
    public static PeftAdapter create(CausalLM base, AdapterSettings settings, InitSources sources) {
        try (Lifetime.Use use = base.use()) {
            check(settings, base.moduleNames());
            return of(settings).create(settings, base, sources);
        }
    }

    /** The kind that a file calls so: of two with one format the first in the list. */
    public static Optional<AdapterKind<?>> ofPeftType(String type) {
        return ALL.stream().filter(kind -> kind.peftType().equals(type)).findFirst();
    }

    /** The classes of the settings of all kinds. */
    public static List<Class<?>> settings() {
        return List.copyOf(BY_SETTINGS.keySet());
    }

    /** What files call the kinds. */
    public static List<String> peftTypes() {
        return ALL.stream().<String>map(AdapterKind::peftType).distinct().toList();
    }
}
