package dev.finetune4j.lora.adapter.layer;

import dev.finetune4j.core.model.ModuleNames;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How large an adapter will be and what it will put around the modules of a model, before either exists.
 *
 * @param trained shapes of the tensors that are trained
 * @param frozenValues how many more the adapter holds, such as factors that are subtracted from its base
 * @param footprints what a pass keeps of each adapted projection and norm, by module path
 * @param trainsEmbedding whether rows of the embedding are trained, so that every block has a gradient for its input
 * @param virtualTokens how many positions stand before the first token
 * @param prefix whether these are among the keys of each layer only, so that they do not go through the model
 */
public record AdapterShape(
        List<long[]> trained,
        long frozenValues,
        Map<String, Footprint> footprints,
        boolean trainsEmbedding,
        int virtualTokens,
        boolean prefix) {
    /** Memory that a pass takes because of the adapter on a projection or norm. */
    public interface Footprint {
        /** Whether the gradients of what is trained need the input. */
        boolean savesInput();

        /** Whether it runs forward and backward by itself, so that a norm before it can bring its input back. */
        default boolean isFused() {
            return false;
        }

        /**
         * Bytes per token that it saves for the backward pass beside its input.
         *
         * @param in width of the input
         * @param out width of the output
         * @param number bytes of a number in the pass
         */
        default long savedBytes(long in, long out, int number) {
            return 0;
        }

        /** Bytes per token that it makes on the way forward and lets go at the end of the block. */
        default long temporaryBytes(long in, long out, int number) {
            return 0;
        }

        /** Bytes for each number of the weight that it makes for the time of its product, beside a dense copy of a packed one. */
        default long weightCopyBytes(int number) {
            return 0;
        }
    }

    /** The weight is replaced by a copy that is trained. */
    public record Trained() implements Footprint {
        @Override
        public boolean savesInput() {
            return true;
        }

        /** The weight in the precision of the pass, and its gradient. */
        @Override
        public long weightCopyBytes(int number) {
            return (long) number + Float.BYTES;
        }
    }

    public AdapterShape {
        trained = List.copyOf(trained);
        footprints = Collections.unmodifiableMap(new LinkedHashMap<>(footprints));
    }

    /** The shape of no adapter. */
    public static AdapterShape none() {
        return new AdapterShape(List.of(), 0, Map.of(), false, 0, false);
    }

    /** That of layers on single modules. */
    public static AdapterShape ofLayers(List<AdapterLayerSpec> specs) {
        List<long[]> trained = new ArrayList<>();
        long frozen = 0;
        boolean embedding = false;
        Map<String, Footprint> footprints = new LinkedHashMap<>();
        for (AdapterLayerSpec spec : specs) {
            embedding |= spec.modules().stream().anyMatch(ModuleNames::isEmbedding);
            trained.addAll(spec.trained().values());
            frozen += values(spec.frozen());
            Footprint footprint = spec.footprint();
            if (footprint != null) {
                spec.modules().forEach(path -> footprints.put(path, footprint));
            }
        }
        return new AdapterShape(trained, frozen, footprints, embedding, 0, false);
    }

    /** How many numbers are trained. */
    public long trainedValues() {
        return values(trained);
    }

    /** How many numbers tensors of these shapes hold. */
    public static long values(Collection<long[]> shapes) {
        return shapes.stream()
                .mapToLong(shape -> Arrays.stream(shape).reduce(1, Math::multiplyExact))
                .sum();
    }
}
