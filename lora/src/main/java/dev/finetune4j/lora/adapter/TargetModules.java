package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.ModuleNames;
import java.util.List;

/** Which linears of a model get an adapter. Immutable. */
public sealed interface TargetModules {
    /** Whether the module with this path is meant. */
    boolean matches(String path);

    /**
     * Every linear but the projection to the vocabulary and those of single experts among many, which transformers has as parameters;
     * PEFT's {@code "all-linear"}.
     */
    record AllLinear() implements TargetModules {
        @Override
        public boolean matches(String path) {
            return !ModuleNames.isOutputHead(path) && !ModuleNames.isEmbedding(path) && !ModuleNames.isOfExpert(path);
        }
    }

    /**
     * The linears whose module path is one of the names or ends with a dot and one of them, as in PEFT.
     *
     * @param names such as {@code q_proj} or {@code layers.0.self_attn.q_proj}
     */
    record Named(List<String> names) implements TargetModules {
        public Named {
            names = List.copyOf(names);
            if (names.isEmpty()) {
                throw new SettingsException(List.of("the list of target modules is empty; name at least one,"
                        + " such as \"q_proj\", or leave it out to adapt all linears"));
            }
        }

        @Override
        public boolean matches(String path) {
            return names.stream().anyMatch(name -> matches(path, name));
        }

        /** Whether a name means a module path. */
        static boolean matches(String path, String name) {
            return path.equals(name) || path.endsWith("." + name);
        }
    }

    /**
     * The linears whose whole module path matches a regular expression, as PEFT reads {@code target_modules} when it is a
     * text.
     *
     * @param regex such as {@code .*layers\\.1\\..*(q|v)_proj}
     */
    record Matching(String regex) implements TargetModules {
        public Matching {
            String problem = PathPattern.problem(regex);
            if (problem != null) {
                throw new SettingsException(List.of("the target modules \"" + regex + "\": the text " + problem));
            }
        }

        @Override
        public boolean matches(String path) {
            return PathPattern.of(regex).matches(path);
        }
    }

    /** No linear: where only parameters of experts are meant, {@link LoraSettings#targetParameters}. */
    record None() implements TargetModules {
        @Override
        public boolean matches(String path) {
            return false;
        }
    }

    /** No linear. */
    static TargetModules none() {
        return new None();
    }

    /** The linears whose whole module path matches the regular expression. */
    static TargetModules matching(String regex) {
        return new Matching(regex);
    }

    /** Every linear but the projection to the vocabulary. */
    static TargetModules allLinear() {
        return new AllLinear();
    }

    /** The linears with these names or path endings. */
    static TargetModules named(String... names) {
        return new Named(List.of(names));
    }
}
