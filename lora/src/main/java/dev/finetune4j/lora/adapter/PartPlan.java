package dev.finetune4j.lora.adapter;

import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * A part that an adapter is to have on a module, before its tensors are there: what they are called, which shapes they
 * have, how they start. Made from settings and a base; used to create, to check and to read an adapter.
 */
interface PartPlan {
    /** The module paths on which the part sits. The first gives its tensors their names. */
    List<String> modules();

    /** Shape of each tensor, by the end of its name in a file. */
    Map<String, long[]> shapes();

    /** A part that has not been trained yet. Its tensors belong to the caller's scope. */
    ModulePart start(StartContext context);

    /** The part with these tensors, by the end of their names. What is made beside them belongs to the caller's scope. */
    ModulePart of(Map<String, Tensor> tensors);

    /** The same plan when the file brings the weight of a module along, as it was without the starting factors. */
    default PartPlan onResidual(String module) {
        return this;
    }
}
