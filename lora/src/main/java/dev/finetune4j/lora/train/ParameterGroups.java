package dev.finetune4j.lora.train;

import org.bytedeco.pytorch.Tensor;

/** Sorts the parameters of a training into groups. */
@FunctionalInterface
public interface ParameterGroups {
    /** All parameters in one group. */
    ParameterGroups ONE = (name, parameter) -> ParameterGroup.usual();

    /**
     * The group of one parameter.
     *
     * @param name its name, for an adapter that in a PEFT file
     * @param parameter read for its shape only
     */
    ParameterGroup groupOf(String name, Tensor parameter);
}
