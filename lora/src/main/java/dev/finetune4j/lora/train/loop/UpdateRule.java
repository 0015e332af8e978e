package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.kernel.OptimizerKernels.GradientClip;
import dev.finetune4j.lora.train.Optimizer;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * What an optimizer does with clipped gradients, and what it keeps for that: one update per group of parameters. Closing frees
 * what is kept.
 */
interface UpdateRule extends AutoCloseable {
    /**
     * The numbers of a step for one group.
     *
     * @param weightDecay decoupled; 0 for none
     * @param number of the step, from 1
     */
    record Step(double learningRate, double weightDecay, int number) {}

    /**
     * Moves the parameters of a group and clears their gradients; changes nothing but these when the loss or the norm is not
     * finite. What is made on the way belongs to the caller's scope.
     */
    void update(FlatParameters.Slice slice, Step step, GradientClip clip);

    /**
     * What is kept of a parameter, by its name in PyTorch's state of the optimizer. The tensors are views of what the next step
     * reads, on the device of the parameters, and belong to the caller's scope: copying into them restores a state.
     */
    Map<String, Tensor> state(FlatParameters.Slot slot);

    @Override
    void close();

    /** The rule of an optimizer before its first step. */
    static UpdateRule of(Optimizer optimizer, FlatParameters parameters) {
        if (optimizer instanceof Optimizer.AdamW8bit eightBit) {
            return new AdamW8bitRule(parameters, eightBit);
        }
        if (optimizer instanceof Optimizer.Adafactor adafactor) {
            return new AdafactorRule(parameters, adafactor);
        }
        if (optimizer instanceof Optimizer.Lion lion) {
            return new LionRule(parameters, lion);
        }
        return new AdamWRule(parameters, (Optimizer.AdamW) optimizer);
    }
}
