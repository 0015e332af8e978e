package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.examples.basemodel.FactBook;
import dev.finetune4j.examples.basemodel.IdentityExam;
import dev.finetune4j.examples.basemodel.Language;
import dev.finetune4j.lora.eval.EvalCase;
import dev.finetune4j.lora.eval.EvalReport;
import dev.finetune4j.lora.eval.EvalTask;
import dev.finetune4j.lora.eval.Evaluation;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.testsupport.Needs;
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

    private static EvalTask unseen() {
        List<EvalCase> cases = IdentityExam.paraphrases().stream()
                .map(asked -> EvalCase.of(
                        asked.question(), answer -> IdentityExam.success(answer, asked.kind(), NAME, AUTHOR)))
                .toList();
        return EvalTask.questions("unseen phrasings", cases);
    }

    private static EvalTask facts() {
        List<EvalCase> cases = FactBook.load().facts().stream()
                .flatMap(fact -> Stream.of(Language.values())
                        .map(language -> EvalCase.of(fact.in(language).examQuestion(), fact.in(language)::isSaidBy)))
                .toList();
        return EvalTask.questions("general facts", cases);
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
            EvalReport report = Evaluation.builder()
                    .task(unseen())
                    .general(facts())
                    .minSuccess(0.85)
                    .minRetention(0.95)
                    .build()
                    .compare(tuned.base(), tuned);
            assertEquals(0, report.of("unseen phrasings").base().correct());
            report.requirePassed();
            assertEquals(1, tuned.report().meanMetrics(10).get("rewards/accuracies"));
        }
    }

    /** The last question of each conversation of a published data set, and as much of both answers as the small model can hold. */
    private static Dataset published() {
        Dataset rows = Dataset.read(Needs.shared("fixtures/datasets/dpo_en_demo.json"));
        return Dataset.of(rows.examples().stream()
                .map(row -> {
                    List<String> texts = row.texts();
                    int last = texts.size() - 3;
                    return PreferenceExample.of(
                            beginning(texts.get(last), 100),
                            beginning(texts.get(last + 1), 600),
                            beginning(texts.get(last + 2), 600));
                })
                .toList());
    }

    private static String beginning(String text, int characters) {
        return text.substring(0, Math.min(text.length(), characters));
    }

    /** Eighty pairs of long English answers teach a toy little; but they raise its held-out accuracy above a guess and its loss falls. */
    @Test
    void publishedPairsAreToldApartWhereTheyWereHeldOutAndFactsStay() {
        Dataset.Split split = published().split(0.3, 3);
        try (FineTunedModel tuned = FineTuner.builder()
                .model(Bundled.baseModel())
                .dataset(split.train())
                .evaluation(split.heldOut())
                .truncation(Truncation.SKIP)
                .lora(l -> l.rank(16).alpha(32))
                .dpo(d -> d.beta(0.1))
                .training(t -> t.epochs(1).learningRate(2e-4))
                .device(ComputeDevice.cpu())
                .train()) {
            TrainingReport.Evaluation heldOut = tuned.report().evaluations().get(0);
            assertTrue(heldOut.metrics().get("rewards/accuracies") > 0.5, heldOut.toString());
            assertTrue(heldOut.loss() < Math.log(2), heldOut.toString());
            EvalReport report = Evaluation.builder().general(facts()).build().compare(tuned.base(), tuned);
            assertTrue(report.retention() >= 0.95, report.toString());
        }
    }
}
