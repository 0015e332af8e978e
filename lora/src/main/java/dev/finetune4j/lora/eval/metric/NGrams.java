package dev.finetune4j.lora.eval.metric;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The n-grams of a text with how often each occurs. Stateless. */
final class NGrams {
    private NGrams() {}

    static Map<List<String>, Integer> of(List<String> tokens, int n) {
        Map<List<String>, Integer> counts = new HashMap<>();
        for (int i = 0; i + n <= tokens.size(); i++) {
            counts.merge(tokens.subList(i, i + n), 1, Integer::sum);
        }
        return counts;
    }

    /** How many n-grams two texts share, each as often as both have it. */
    static int shared(Map<List<String>, Integer> first, Map<List<String>, Integer> second) {
        int shared = 0;
        for (Map.Entry<List<String>, Integer> entry : first.entrySet()) {
            shared += Math.min(entry.getValue(), second.getOrDefault(entry.getKey(), 0));
        }
        return shared;
    }
}
