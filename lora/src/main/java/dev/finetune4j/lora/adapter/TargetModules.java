package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import java.util.List;

/** Which linears of a model get an adapter. Immutable. */
public sealed interface TargetModules {
    /** Every linear but the projection to the vocabulary; PEFT's {@code "all-linear"}. */
    record AllLinear() implements TargetModules {}

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

        /** Whether a whole module path matches. */
        boolean matches(String path) {
            return PathPattern.of(regex).matches(path);
        }
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
