package dev.finetune4j.testsupport;

import java.util.Comparator;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;

/** Counts the skipped tests of a run by reason and prints one line at its end, so that green never means "did not run". */
public final class SkipReport implements TestExecutionListener {
    private final Map<String, Long> reasons = new TreeMap<>();
    private Optional<TestPlan> plan = Optional.empty();

    @Override
    public void testPlanExecutionStarted(TestPlan started) {
        plan = Optional.of(started);
        reasons.clear();
    }

    @Override
    public synchronized void executionSkipped(TestIdentifier test, String reason) {
        count(test, reason);
    }

    @Override
    public synchronized void executionFinished(TestIdentifier test, TestExecutionResult result) {
        if (result.getStatus() == TestExecutionResult.Status.ABORTED) {
            count(test, result.getThrowable().map(Throwable::getMessage).orElse("no reason given"));
        }
    }

    private void count(TestIdentifier test, String reason) {
        long leaves = plan.orElseThrow().getDescendants(test).stream()
                .filter(TestIdentifier::isTest)
                .count();
        reasons.merge(reason.lines().findFirst().orElse("no reason given"), Math.max(1, leaves), Long::sum);
    }

    @Override
    public synchronized void testPlanExecutionFinished(TestPlan finished) {
        if (!reasons.isEmpty()) {
            System.out.println(line(reasons));
        }
    }

    /** Most frequent reason first. */
    static String line(Map<String, Long> reasons) {
        long all = reasons.values().stream().mapToLong(Long::longValue).sum();
        return reasons.entrySet().stream()
                .sorted(Map.Entry.<String, Long>comparingByValue(Comparator.reverseOrder())
                        .thenComparing(Map.Entry.comparingByKey()))
                .map(entry -> entry.getKey() + " (" + entry.getValue() + ")")
                .collect(Collectors.joining(", ", "skipped: " + all + " — ", ""));
    }
}
