package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.examples.basemodel.FactBook;
import dev.finetune4j.examples.basemodel.IdentityExam;
import dev.finetune4j.examples.basemodel.Language;
import dev.finetune4j.lora.eval.ComparisonReport;
import dev.finetune4j.lora.eval.EvalCase;
import dev.finetune4j.lora.eval.EvalSuite;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What DPO teaches the bundled model shows in questions that it was not trained on, and general facts stay. */
class HeldOutPreferenceTest {
    private static final String NAME = "张三";
    private static final String AUTHOR = "某某公司";

    private static Dataset pairs() {
        Dataset wanted = Dataset.read(Bundled.identityDataset()).bind(Map.of("name", NAME, "author", AUTHOR));
        try (LanguageModel base = LanguageModel.load(Bundled.baseModel())) {
            return Dataset.of(wanted.examples().stream()
                    .map(row -> {
                        String question = row.texts().get(0);
                        return PreferenceExample.of(question, row.texts().get(1), base.ask(question));
                    })
                    .toList());
        }
    }

    private static EvalSuite unseen() {
        List<EvalCase> cases = IdentityExam.paraphrases().stream()
                .map(asked -> new EvalCase(
                        asked.question(), answer -> IdentityExam.success(answer, asked.kind(), NAME, AUTHOR)))
                .toList();
        return new EvalSuite("unseen phrasings", cases, 64);
    }

    private static EvalSuite facts() {
        List<EvalCase> cases = FactBook.load().facts().stream()
                .flatMap(fact -> Stream.of(Language.values())
                        .map(language -> new EvalCase(fact.in(language).examQuestion(), fact.in(language)::isSaidBy)))
                .toList();
        return new EvalSuite("general facts", cases, 64);
    }

    @Test
    void preferencesCarryOverAndFactsStay() {
        try (FineTunedModel tuned = FineTuner.builder()
                .model(Bundled.baseModel())
                .dataset(pairs())
                .lora(l -> l.rank(16).alpha(32))
                .dpo(d -> d.beta(0.1).sftWeight(1))
                .training(t -> t.epochs(3).learningRate(1e-3))
                .device(ComputeDevice.cpu())
                .train()) {
            ComparisonReport report = ComparisonReport.compare(
                    tuned.base(), tuned, unseen(), facts(), new EvalSuite("none", List.of(), 1));
            assertEquals(0, report.taskBefore().correct());
            assertTrue(report.success() >= 0.85, report.table());
            assertTrue(report.retention() >= 0.95, report.table());
            assertEquals(1, tuned.report().meanMetrics(10).get("rewards/accuracies"));
        }
    }
}
