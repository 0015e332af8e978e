package dev.finetune4j.examples.cli;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine;

/** Says what this machine and this program have, what is wrong, and what helps. */
@CommandLine.Command(
        name = "env",
        description =
                "Says what this machine has for the library, what is wrong, and what helps; exit code 1 when something is.",
        mixinStandardHelpOptions = true)
final class EnvCommand implements Callable<Integer> {
    @CommandLine.Mixin
    private Output output = new Output();

    @Override
    public Integer call() {
        Findings findings = Findings.of();
        if (output.isJson()) {
            Map<String, Object> values = new LinkedHashMap<>();
            findings.all().forEach(finding -> values.put(finding.name(), finding.value()));
            List<Map<String, String>> problems = new ArrayList<>();
            for (Findings.Finding finding : findings.problems()) {
                problems.add(Map.of("name", finding.name(), "problem", finding.problem()));
            }
            output.out().println(new Json().put("environment", values).put("problems", problems));
        } else {
            findings.all()
                    .forEach(finding -> output.out()
                            .println(String.format(Locale.ROOT, "%-20s%s", finding.name(), finding.value())));
            findings.problems().forEach(finding -> output.out().println("\n! " + finding.problem()));
            output.out().println(findings.problems().isEmpty() ? "\nnothing is wrong" : "");
        }
        return findings.problems().isEmpty() ? 0 : Finetune4j.FAILED;
    }
}
