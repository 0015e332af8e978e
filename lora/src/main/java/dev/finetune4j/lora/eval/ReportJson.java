package dev.finetune4j.lora.eval;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.lora.eval.Comparison.Role;
import dev.finetune4j.lora.eval.EvalResult.Interval;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import java.util.Locale;

/** Writes a report for programs; a figure that is no number is left out. Stateless. */
final class ReportJson {
    private static final int FORMAT = 1;
    private static final ObjectMapper JSON = new ObjectMapper();

    private ReportJson() {}

    static String of(EvalReport report) {
        ObjectNode root = JSON.createObjectNode();
        root.put("format", FORMAT);
        root.put("title", report.title());
        root.put("passed", report.isPassed());
        if (report.find(Role.TASK).isPresent()) {
            put(root, "success", report.success());
            if (report.find(Role.TRAINED).isPresent()) {
                put(root, "overfitting", report.overfitting());
                report.overfittingInterval().ifPresent(interval -> put(root, "overfitting", interval));
            }
        }
        if (report.find(Role.GENERAL).isPresent()) {
            put(root, "retention", report.retention());
            report.retentionInterval().ifPresent(interval -> put(root, "retention", interval));
        }
        ArrayNode checks = root.putArray("checks");
        report.checks().forEach(check -> {
            ObjectNode node = checks.addObject();
            node.put("figure", name(check.figure()));
            if (!check.task().isEmpty()) {
                node.put("task", check.task());
            }
            node.put("bound", name(check.bound()));
            put(node, "limit", check.limit());
            put(node, "actual", check.actual());
            node.put("passed", check.isPassed());
        });
        ArrayNode tasks = root.putArray("tasks");
        report.comparisons().forEach(comparison -> add(tasks.addObject(), comparison));
        TrainingReport training = report.training();
        if (training != null) {
            add(root.putObject("training"), training);
        }
        try {
            return JSON.writerWithDefaultPrettyPrinter().writeValueAsString(root) + "\n";
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e); // of numbers and texts
        }
    }

    private static void add(ObjectNode node, Comparison comparison) {
        Metric metric = comparison.base().metric();
        node.put("name", comparison.name());
        node.put("role", name(comparison.role()));
        node.put("metric", metric.name());
        node.put("kind", name(metric.kind()));
        add(node.putObject("base"), comparison.base(), comparison.baseInterval());
        add(node.putObject("tuned"), comparison.tuned(), comparison.tunedInterval());
        put(node, "difference", comparison.difference());
        ObjectNode test = node.putObject("test");
        test.put("method", name(comparison.test().method()));
        test.put("better", comparison.test().better());
        test.put("worse", comparison.test().worse());
        put(test, "p_value", comparison.test().pValue());
        ArrayNode items = node.putArray("items");
        for (int i = 0; i < comparison.base().total(); i++) {
            EvalResult.Item base = comparison.base().items().get(i);
            EvalResult.Item tuned = comparison.tuned().items().get(i);
            ObjectNode item = items.addObject();
            item.put("prompt", base.prompt());
            base.references().forEach(item.putArray("references")::add);
            item.put("base_answer", base.answer());
            put(item, "base_score", base.score());
            item.put("tuned_answer", tuned.answer());
            put(item, "tuned_score", tuned.score());
        }
    }

    private static void add(ObjectNode node, EvalResult result, Interval interval) {
        put(node, "value", result.value());
        put(node, "low", interval.low());
        put(node, "high", interval.high());
        node.put("interval", name(interval.method()));
        node.put("items", result.total());
    }

    private static void add(ObjectNode node, TrainingReport training) {
        node.put("outcome", training.outcome().name());
        ArrayNode steps = node.putArray("loss");
        for (StepReport step : training.steps()) {
            ObjectNode point = steps.addObject();
            point.put("step", step.step());
            put(point, "loss", step.loss());
        }
        ArrayNode evaluations = node.putArray("eval_loss");
        for (TrainingReport.Evaluation evaluation : training.evaluations()) {
            ObjectNode point = evaluations.addObject();
            point.put("step", evaluation.step());
            put(point, "loss", evaluation.loss());
        }
    }

    private static String name(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT);
    }

    private static void put(ObjectNode node, String name, Interval interval) {
        put(node, name + "_low", interval.low());
        put(node, name + "_high", interval.high());
    }

    private static void put(ObjectNode node, String name, double value) {
        if (Double.isFinite(value)) {
            node.put(name, value);
        }
    }
}
