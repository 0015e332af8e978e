package dev.finetune4j.examples.cli;

import dev.finetune4j.Adapter;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.lora.eval.AnswerMetric;
import dev.finetune4j.lora.eval.EvalReport;
import dev.finetune4j.lora.eval.EvalTask;
import dev.finetune4j.lora.eval.Evaluation;
import dev.finetune4j.lora.eval.Segmenter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** Judges what was trained against its base. */
@CommandLine.Command(
        name = "eval",
        description = {
            "Asks the base and what was trained the same questions, and judges: was the task learned, in phrasings that it was",
            "not trained on; is general ability retained; was it learned, or only by heart? Exit code 4 when a limit is missed.",
            "A trainer_log.jsonl beside what was trained gives the report its curve of the loss."
        },
        mixinStandardHelpOptions = true)
final class EvalCommand implements Callable<Integer> {
    /** How an answer is compared with the one of its row. */
    enum Rule {
        CONTAINS(AnswerMetric::contains),
        EXACT(AnswerMetric::exactMatch),
        REGEX(AnswerMetric::regex),
        BLEU4(AnswerMetric::bleu4),
        ROUGE_L(() -> AnswerMetric.rougeL(Segmenter.characters()));

        private final Supplier<AnswerMetric> metric;

        Rule(Supplier<AnswerMetric> metric) {
            this.metric = metric;
        }
    }

    /** The languages of reports. */
    enum Language {
        EN(Locale.ENGLISH),
        ZH(Locale.CHINESE);

        private final Locale locale;

        Language(Locale locale) {
            this.locale = locale;
        }
    }

    /** What was trained: one of the two. */
    static final class Tuned {
        @CommandLine.Option(names = "--adapter", paramLabel = "PATH", description = "An adapter on the model.")
        @Nullable
        Path adapter;

        @CommandLine.Option(
                names = "--tuned",
                paramLabel = "MODEL",
                description = "A whole model, as full fine-tuning or merging makes it.")
        @Nullable
        String model;
    }

    @CommandLine.Mixin
    private Output output = new Output();

    @CommandLine.Mixin
    private ModelOptions model = new ModelOptions();

    @CommandLine.ArgGroup(multiplicity = "0..1")
    private Tuned tuned = new Tuned();

    @CommandLine.Option(
            names = "--task",
            required = true,
            paramLabel = "DATA",
            description =
                    "Questions on what was to be learned, in new phrasings: rows whose output is what a right answer has.")
    private String task = "";

    @CommandLine.Option(
            names = "--trained",
            paramLabel = "DATA",
            description = "The same in phrasings of the training, for the over-fitting check.")
    private @Nullable String trained;

    @CommandLine.Option(
            names = "--general",
            paramLabel = "DATA",
            description = "Questions on something else; forty of general knowledge by default.")
    private @Nullable String general;

    @CommandLine.Option(
            names = "--held-out",
            paramLabel = "DATA",
            description = "Rows whose perplexity is told beside the verdicts.")
    private @Nullable String heldOut;

    @CommandLine.Option(
            names = "--rule",
            description = "How answers are judged: ${COMPLETION-CANDIDATES}; ${DEFAULT-VALUE} by default.")
    private Rule rule = Rule.CONTAINS;

    @CommandLine.Option(
            names = "--placeholder",
            paramLabel = "NAME=VALUE",
            description = "What stands for {{NAME}} in the rows; may be repeated.")
    private Map<String, String> placeholders = Map.of();

    @CommandLine.Option(
            names = "--min-success",
            description = "Least share of the task that has to be right; ${DEFAULT-VALUE} by default.")
    private double minSuccess = 0.8;

    @CommandLine.Option(
            names = "--min-retention",
            description = "Least share of the general ability that has to be left; ${DEFAULT-VALUE} by default.")
    private double minRetention = 0.9;

    @CommandLine.Option(
            names = "--max-overfitting",
            description = "How much better trained phrasings may do; ${DEFAULT-VALUE} by default.")
    private double maxOverfitting = 0.2;

    @CommandLine.Option(names = "--max-new-tokens", description = "Of an answer; ${DEFAULT-VALUE} by default.")
    private int maxNewTokens = 256;

    @CommandLine.Option(names = "--title", description = "What stands over the report.")
    private @Nullable String title;

    @CommandLine.Option(
            names = "--output",
            paramLabel = "FOLDER",
            description = "Write evaluation.json, evaluation.md and evaluation.html there.")
    private @Nullable Path folder;

    @CommandLine.Option(
            names = "--language",
            description = "Of the report: ${COMPLETION-CANDIDATES}; ${DEFAULT-VALUE} by default.")
    private Language language = Language.EN;

    @Override
    public Integer call() {
        model.read(output);
        if (tuned.adapter == null && tuned.model == null) {
            if (model.adapters().isEmpty()) {
                throw new IllegalArgumentException(
                        "it is not said what was trained; add --adapter PATH, or --tuned MODEL for a whole model");
            }
        }
        List<Path> adapters =
                tuned.adapter != null ? List.of(tuned.adapter) : tuned.model == null ? model.adapters() : List.of();
        EvalReport measured = compare(evaluation(adapters), adapters);
        Path trainedFolder =
                adapters.isEmpty() ? Path.of(String.valueOf(tuned.model)) : adapters.get(adapters.size() - 1);
        EvalReport report =
                RecordedTraining.of(trainedFolder).map(measured::withTraining).orElse(measured);
        if (folder != null) {
            report.save(folder, language.locale);
        }
        output.out().println(output.isJson() ? json(report) : text(report));
        return report.isPassed() ? 0 : Finetune4j.NOT_PASSED;
    }

    private EvalReport compare(Evaluation evaluation, List<Path> adapters) {
        try (LanguageModel base = model.load()) {
            if (!adapters.isEmpty()) {
                try (Adapter adapter = AdapterSum.load(base, adapters)) {
                    return evaluation.compare(base, adapter);
                }
            }
            try (LanguageModel other = model.load(String.valueOf(tuned.model))) {
                return evaluation.compare((ChatModel) base, other);
            }
        }
    }

    private Evaluation evaluation(List<Path> adapters) {
        String trainedName = adapters.isEmpty()
                ? String.valueOf(tuned.model)
                : adapters.stream().map(Path::toString).collect(Collectors.joining(" + "));
        Evaluation.Builder builder = Evaluation.builder()
                .title(title == null ? trainedName + " and " + model.name() : title)
                .task(questions("task, new phrasings", task))
                .general(general == null ? EvalTask.generalKnowledge() : questions("general ability", general))
                .minSuccess(minSuccess)
                .minRetention(minRetention);
        if (trained != null) {
            builder.trained(questions("task, trained phrasings", trained)).maxOverfitting(maxOverfitting);
        }
        if (heldOut != null) {
            builder.also(EvalTask.perplexity("held-out rows", rows(heldOut)));
        }
        return builder.build();
    }

    private EvalTask questions(String name, String data) {
        return EvalTask.questions(
                name,
                rows(data),
                rule.metric.get(),
                GenerationSettings.builder().maxNewTokens(maxNewTokens).build());
    }

    private Dataset rows(String data) {
        return DataCommand.dataset(data).bind(placeholders);
    }

    /** Verdict, limits and figures; the answers are in the files. */
    private String text(EvalReport report) {
        String whole = report.markdown(language.locale);
        int answers = whole.indexOf("\n## ");
        return (answers < 0 ? whole : whole.substring(0, answers)).strip();
    }

    private Json json(EvalReport report) {
        List<Map<String, Object>> checks = new ArrayList<>();
        report.checks()
                .forEach(check -> checks.add(Map.of(
                        "figure", check.figure().name(),
                        "limit", check.limit(),
                        "actual", check.actual(),
                        "passed", check.isPassed())));
        return new Json()
                .put("passed", report.isPassed())
                .put("success", report.success())
                .put("retention", report.retention())
                .put("overfitting", trained == null ? null : report.overfitting())
                .put("checks", checks)
                .put("folder", folder == null ? null : folder.toString());
    }
}
