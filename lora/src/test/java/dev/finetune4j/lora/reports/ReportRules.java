package dev.finetune4j.lora.reports;

import java.nio.file.Path;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Stream;

/** Which checks an input gets, by what its expected.json states and by what lies beside it. */
final class ReportRules {
    /** Fails when the outcome is another than the right one. */
    @FunctionalInterface
    interface Check {
        /**
         * Checks an input.
         *
         * @param folder where all files of the input are
         */
        void run(ReportFolder report, Path folder) throws Exception;
    }

    /**
     * One rule.
     *
     * @param name what it looks at
     * @param applies to which inputs
     */
    record Rule(String name, Predicate<ReportFolder> applies, Check check) {}

    private static final List<Rule> RULES = List.of(
            new Rule("logits", states("ids", "last_logits", "sum"), NumberChecks::logits),
            new Rule("greedy", states("prompt", "greedy"), NumberChecks::greedy),
            new Rule("roles", states("text", "ids_transformers", "role_token_ids"), TextChecks::roles),
            new Rule("chat", states("text", "ids").and(has("messages.json")), TextChecks::chat),
            new Rule(
                    "tokens",
                    states("text", "ids")
                            .and(has("messages.json").negate())
                            .and(states("last_logits").negate()),
                    TextChecks::tokens),
            new Rule("answers", has("messages.json"), TextChecks::answers),
            new Rule("outcome", states("outcome"), OutcomeChecks::outcome),
            new Rule(
                    "export",
                    states("want").and(states("outcome").negate()).and(ReportFolder::isModel),
                    ExportChecks::trainedAndMerged));

    private ReportRules() {}

    /** The rules that cover an input, at least one. */
    static List<Rule> of(ReportFolder report) {
        return RULES.stream().filter(rule -> rule.applies().test(report)).toList();
    }

    private static Predicate<ReportFolder> states(String... fields) {
        return report -> Stream.of(fields).allMatch(report.expected()::has);
    }

    private static Predicate<ReportFolder> has(String file) {
        return report -> report.has(file);
    }
}
