package dev.finetune4j.lora.adapter;

import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * A part that an adapter is to have on modules, before its tensors are there: what they are called, which shapes they
 * have, how they start. Made from settings and a base; used to create, to check, to read and to measure an adapter.
 */
interface PartPlan {
    /** The module paths on which the part sits. The first gives its tensors their names. */
    List<String> modules();

    /** Shape of each tensor that a file holds, by the end of its name there. */
    Map<String, long[]> shapes();

    /** Those among them that are trained. */
    default Map<String, long[]> trained() {
        return shapes();
    }

    /** Shapes of what the part holds beside, which is not trained. */
    default List<long[]> frozen() {
        return List.of();
    }

    /** The whole name in a file of one of the tensors. */
    default String nameOf(String part) {
        return AdapterFiles.tensorName(modules().get(0), part);
    }

    /** What becomes of the projection or norm on which the part sits; null when nothing that a pass keeps. */
    default AdapterOutline.@Nullable Change change() {
        return null;
    }

    /** A part that has not been trained yet. Its tensors belong to the caller's scope. */
    ModulePart start(StartContext context);

    /** The part with these tensors, by the end of their names. What is made beside them belongs to the caller's scope. */
    ModulePart of(Map<String, Tensor> tensors);

    /** The same plan when the file brings the weight of a module along, as it was without the starting factors. */
    default PartPlan onResidual(String module) {
        return this;
    }
}
