package dev.finetune4j.lora.adapter;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/** The kinds of adapters that there are: a new one is a line here. */
final class AdapterKinds {
    private static final List<AdapterKind<?>> ALL = List.of(
            new LoraKind(),
            new Ia3Kind(),
            new PrefixKind(),
            new PTuningKind(),
            new PromptTuningKind(),
            new VeraKind(),
            new LnTuningKind());

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
    static <S extends AdapterSettings> AdapterKind<S> of(S settings) {
        AdapterKind<?> kind = BY_SETTINGS.get(settings.getClass());
        if (kind == null) {
            throw new IllegalArgumentException(settings.getClass().getName()
                    + " is not among the settings of adapters (there are "
                    + BY_SETTINGS.keySet().stream().map(Class::getSimpleName).collect(Collectors.joining(", "))
                    + "); use one of these");
        }
        return (AdapterKind<S>) kind;
    }

    /** The kind that a file calls so. */
    static Optional<AdapterKind<?>> ofPeftType(String type) {
        return ALL.stream().filter(kind -> kind.peftType().equals(type)).findFirst();
    }

    /** What files call the kinds. */
    static List<String> peftTypes() {
        return ALL.stream().<String>map(AdapterKind::peftType).toList();
    }
}
