package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.hub.ModelSource;
import dev.finetune4j.lora.plan.MemoryPlan;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The memory that a plan counts on. */
class TrainingPlanTest {
    @TempDir
    private Path folder;

    @Test
    void processesOfOneMachineShareItsMemory() {
        TuningChoices choices = new TuningChoices();
        choices.base.source(ModelSource.local(Fixtures.tinyChatModel(folder.resolve("model"))));
        choices.method.choose("full", TuningMethod.Full::new);
        choices.compute.device(ComputeDevice.cpu());
        TrainingPlan alone = TrainingPlan.open(choices.tuning(List.of()));
        TrainingPlan four = new TrainingPlan(alone.tuning(), alone.folder(), alone.device(), 4);

        MemoryPlan all = alone.longest();
        for (TrainingPlan each : List.of(four, four.with(alone.tuning()))) {
            MemoryPlan share = each.longest();
            assertEquals(all.memory().total() / 4, share.memory().total());
            // What is free changes from one moment to the next.
            assertTrue(share.memory().free() < all.memory().free() / 2, share.memory() + " of " + all.memory());
            assertEquals(all.peak(), share.peak());
        }
    }
}
