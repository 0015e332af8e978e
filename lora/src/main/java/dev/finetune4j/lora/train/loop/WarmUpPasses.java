package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.OptimizerBatch;
import dev.finetune4j.lora.objective.Objective;
import dev.finetune4j.lora.train.TrainingSettings;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;

/**
 * Steps of a training that are done for what they leave behind in the process: compiled kernels, libraries that have found
 * theirs, and compiled bytecode. Nobody hears of them.
 *
 * @param model computes the hidden states
 * @param trainable what to train, by name
 * @param groups as of the training
 * @param objective what is minimized
 * @param settings as of the training
 */
public record WarmUpPasses(
        CausalLM model,
        Map<String, Parameter> trainable,
        ParameterGroups groups,
        Objective objective,
        TrainingSettings settings) {
    /**
     * Does the first steps of a training.
     *
     * @param loader of batches whose shapes are those of the training
     * @param most steps to do
     * @param cancelled asked before each step
     */
    public void run(BatchLoader loader, int most, BooleanSupplier cancelled) {
        try (ForwardBackward passes = new ForwardBackward(model, objective);
                TrainingState state =
                        TrainingState.initial(trainable, groups, passes.computeType(), loader.position(), settings)) {
            TrainingState.RandomState random = state.random();
            for (int i = 0; i < most && !cancelled.getAsBoolean(); i++) {
                OptimizerBatch dealt = loader.next();
                List<Batch> own =
                        dealt.microBatches().stream().map(this::folded).toList();
                OptimizerBatch step = new OptimizerBatch(List.of(own), 0, dealt.end());
                passes.clear();
                for (int j = 0; j < own.size(); j++) {
                    passes.run(own.get(j), objective.scale(step, j), random.draw(j));
                }
                state.optimizer()
                        .clipAndStep(passes.sums(), settings.maxGradNorm(), 0)
                        .get();
                random = random.after(settings.gradientAccumulation());
            }
        }
    }

    /** The same batch in a vocabulary that may be smaller than its own. */
    private Batch folded(Batch batch) {
        int vocabulary = model.config().vocabSize();
        return new Batch(
                batch.rows(),
                batch.length(),
                batch.padId() % vocabulary,
                batch.sequences().stream()
                        .map(sequence -> new Batch.Sequence(
                                sequence.tokens().folded(vocabulary),
                                sequence.example(),
                                sequence.start(),
                                sequence.shared()))
                        .toList());
    }
}
