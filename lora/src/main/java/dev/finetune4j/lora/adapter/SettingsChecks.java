package dev.finetune4j.lora.adapter;

import java.util.ArrayList;
import java.util.List;

/** What the settings of several kinds demand. */
final class SettingsChecks {
    private SettingsChecks() {}

    /** What is wrong with a number of virtual tokens. */
    static List<String> virtualTokens(int count) {
        return count >= 1
                ? List.of()
                : List.of("the number of virtual tokens must be at least 1, but is " + count + "; 20 is usual");
    }

    /** What is wrong with the names of modules to save; PEFT reads them as regular expressions too. */
    static List<String> modulesToSave(List<String> names) {
        List<String> problems = new ArrayList<>();
        for (String name : names) {
            String problem = PathPattern.problem(name);
            if (problem != null) {
                problems.add("\"" + name + "\" is no name of a module to be trained whole: it " + problem);
            }
            if (name.isEmpty()) {
                problems.add(
                        "the name of a module to be trained whole is empty; lm_head, embed_tokens and norm are usual");
            }
        }
        return problems;
    }
}
