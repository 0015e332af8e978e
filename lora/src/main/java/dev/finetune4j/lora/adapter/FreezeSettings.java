package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.message.SetOnce;
import java.util.ArrayList;
import java.util.List;

/**
 * Freeze tuning: the weights of some layers are trained themselves, in float32, and all others stay as they are; as
 * LLaMA-Factory's {@code finetuning_type: freeze}. Immutable. The trained copies are saved as an adapter of PEFT's LN tuning, which
 * exchanges modules of any kind.
 *
 * @param layers how many layers are trained ({@code freeze_trainable_layers}), at least 1
 * @param first whether these are the first ones; the last ones otherwise
 * @param modules parts of these layers, by names such as {@code mlp} or {@code q_proj} ({@code freeze_trainable_modules}); empty for
 *     all
 * @param extraModules modules outside of the layers that are trained too, such as {@code embed_tokens}, {@code norm} or {@code
 *     lm_head} ({@code freeze_extra_modules})
 */
public record FreezeSettings(int layers, boolean first, List<String> modules, List<String> extraModules)
        implements AdapterSettings {
    /** @throws SettingsException naming every value that cannot work */
    public FreezeSettings {
        modules = List.copyOf(modules);
        extraModules = List.copyOf(extraModules);
        List<String> problems = new ArrayList<>();
        if (layers < 1) {
            problems.add("freeze tuning trains at least 1 layer, but " + layers + " was asked for; 2 are usual");
        }
        if (modules.stream().anyMatch(String::isBlank) || extraModules.stream().anyMatch(String::isBlank)) {
            problems.add("the name of a module for freeze tuning is empty; mlp, self_attn and input_layernorm are usual"
                    + " in the layers, and embed_tokens, norm and lm_head beside them");
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** Starts with the last two layers, all of their modules and nothing beside them. */
    public static Builder builder() {
        return new Builder();
    }

    /** The last two layers. */
    public static FreezeSettings defaults() {
        return builder().build();
    }

    /** Starts with these values, each of which may be set anew. */
    public Builder toBuilder() {
        Builder builder = new Builder();
        builder.layers = layers;
        builder.first = first;
        builder.modules = modules;
        builder.extraModules = extraModules;
        return builder;
    }

    /** Collects the values. Each is set once; a second call is an {@link IllegalStateException}. Not thread-safe. */
    public static final class Builder {
        private final SetOnce once = new SetOnce();
        private int layers = 2;
        private boolean first;
        private List<String> modules = List.of();
        private List<String> extraModules = List.of();

        private Builder() {}

        /** Trains the last layers; the last 2 by default. */
        public Builder lastLayers(int count) {
            layers = once.set("layers", count);
            first = false;
            return this;
        }

        /** Trains the first layers instead of the last ones. */
        public Builder firstLayers(int count) {
            layers = once.set("layers", count);
            first = true;
            return this;
        }

        /** The parts of the layers that are trained, such as {@code "mlp", "input_layernorm"}; all by default. */
        public Builder modules(String... names) {
            modules = once.set("modules", List.of(names));
            return this;
        }

        /** Modules outside of the layers that are trained too, such as {@code "embed_tokens", "norm"}; none by default. */
        public Builder extraModules(String... names) {
            extraModules = once.set("extraModules", List.of(names));
            return this;
        }

        /**
         * Checks the values.
         *
         * @throws SettingsException naming every one that cannot work
         */
        public FreezeSettings build() {
            return new FreezeSettings(layers, first, modules, extraModules);
        }
    }
}
