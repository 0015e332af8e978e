package dev.finetune4j.core.grammar;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;

/** Finds the rules that no finite text is of. */
final class EmptyRules {
    private EmptyRules() {}

    /** Those among a rule and all that it contains. */
    static Set<Rule> of(Rule root) {
        Set<Rule> seen = Collections.newSetFromMap(new IdentityHashMap<>());
        List<Rule> all = new ArrayList<>();
        Deque<Rule> open = new ArrayDeque<>(List.of(root));
        while (!open.isEmpty()) {
            Rule rule = open.remove();
            if (seen.add(rule)) {
                all.add(rule);
                open.addAll(parts(rule));
            }
        }
        Set<Rule> some = Collections.newSetFromMap(new IdentityHashMap<>());
        boolean moved = true;
        while (moved) {
            moved = false;
            // What a rule is made of mostly stands behind it.
            for (int i = all.size() - 1; i >= 0; i--) {
                Rule rule = all.get(i);
                if (!some.contains(rule) && hasText(rule, some)) {
                    some.add(rule);
                    moved = true;
                }
            }
        }
        Set<Rule> empty = new HashSet<>(all);
        all.forEach(rule -> {
            if (some.contains(rule)) {
                empty.remove(rule);
            }
        });
        return empty.isEmpty() ? Set.of() : empty;
    }

    private static List<Rule> parts(Rule rule) {
        if (rule instanceof Rule.Sequence sequence) {
            return sequence.rules;
        }
        if (rule instanceof Rule.Choice choice) {
            return choice.rules;
        }
        if (rule instanceof Rule.Repeat repeat) {
            return List.of(repeat.rule());
        }
        return rule instanceof Rule.Lazy lazy ? List.of(lazy.get()) : List.of();
    }

    private static boolean hasText(Rule rule, Set<Rule> some) {
        if (rule instanceof Rule.Choice choice) {
            return choice.rules.stream().anyMatch(some::contains);
        }
        return (rule instanceof Rule.Repeat repeat && repeat.min() <= 0) || some.containsAll(parts(rule));
    }
}
