package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.lora.train.Optimizer;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.testsupport.Needs;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Where a training with AdamW's moments in 8 bits ends: within 1 % of the loss with moments in float32. */
class EightBitOutcomeTest {
    private static final boolean LONG = Boolean.getBoolean("finetune4j.long");
    private static final int LAST = 10;

    @Test
    void theIdentityIsLearnedAsWell() {
        Dataset rows = Dataset.read(Bundled.identityDataset()).bind(Map.of("name", "张三", "author", "某某公司"));
        compare(rows, LONG ? 60 : 25);
    }

    @ParameterizedTest
    @ValueSource(strings = {"alpaca_en_demo.json", "alpaca_zh_demo.json"})
    void otherRowsToo(String file) {
        Needs.that(LONG, "two more data sets are for -Dfinetune4j.long=true");
        compare(Dataset.read(Needs.shared("fixtures/datasets/" + file)), 100);
    }

    private static void compare(Dataset rows, int steps) {
        double wide = finalLoss(rows, steps, Optimizer.adamW());
        double narrow = finalLoss(rows, steps, Optimizer.adamW8bit());
        assertTrue(wide > 0.01, "there is something left to compare");
        assertEquals(1, narrow / wide, 0.01, narrow + " instead of " + wide);
    }

    /** The mean of the last steps, whose rows are the same ones in both trainings. */
    private static double finalLoss(Dataset rows, int steps, Optimizer optimizer) {
        try (FineTunedModel tuned = FineTuner.builder()
                .model(Bundled.baseModel())
                .lora(l -> l.rank(32).alpha(32))
                .dataset(rows)
                .maxSequenceLength(256)
                .truncation(Truncation.PROPORTIONAL)
                .training(t -> t.maxSteps(steps).batchSize(8).optimizer(optimizer))
                .device(ComputeDevice.cpu())
                .train()) {
            List<StepReport> all = tuned.report().steps();
            return all.subList(all.size() - LAST, all.size()).stream()
                    .mapToDouble(StepReport::loss)
                    .average()
                    .orElseThrow();
        }
    }
}
