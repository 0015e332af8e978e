package dev.finetune4j.lora.adapter.layer;

import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The specification of an {@link AdapterLayer}, before its tensors are there: what they are called, which shapes they
 * have, how they are initialized. Made from settings and a base; used to create, to check, to read and to measure an adapter.
 */
public interface AdapterLayerSpec {
    /** The module paths on which the layer sits. The first gives its tensors their names. */
    List<String> modules();

    /** Shape of each tensor that a file holds, by the end of its name there. */
    Map<String, long[]> shapes();

    /** Those among them that are trained. */
    default Map<String, long[]> trained() {
        return shapes();
    }

    /** Shapes of what the layer holds beside, which is not trained. */
    default List<long[]> frozen() {
        return List.of();
    }

    /** The whole name in a file of one of the tensors. */
    default String nameOf(String layer) {
        return PeftNames.tensorName(modules().get(0), layer);
    }

    /** What a pass keeps because of the layer on its projection or norm; null when nothing. */
    default AdapterShape.@Nullable Footprint footprint() {
        return null;
    }

    /** A layer that has not been trained yet. Its tensors belong to the caller's scope. */
    AdapterLayer init(InitContext context);

    /** The layer with these tensors, by the end of their names. What is made beside them belongs to the caller's scope. */
    AdapterLayer of(Map<String, Tensor> tensors);

    /** The same spec when the file brings the weight of a module along, as it is after the initial factors were subtracted. */
    default AdapterLayerSpec onResidual(String module) {
        return this;
    }
}
