package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.model.CausalLM;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How large an adapter will be and what it will put around the modules of a model, before either exists.
 *
 * @param trainedValues how many numbers are trained
 * @param frozenValues how many more the adapter holds, such as the factors that its base goes without
 * @param changes what happens to each projection and norm, by module path; those that stay as they are are not there
 * @param virtualTokens how many positions stand before the first token
 * @param amongKeys whether these are among the keys of each layer only, so that they do not go through the model
 */
public record AdapterOutline(
        long trainedValues, long frozenValues, Map<String, Change> changes, int virtualTokens, boolean amongKeys) {
    /** What an adapter does to a projection or norm, by what a pass keeps and makes because of it. */
    public interface Change {
        /** Whether the gradients of what is trained need the input. */
        boolean keepsInput();

        /** Whether it runs forward and backward by itself, so that a norm before it can bring its input back. */
        default boolean isFused() {
            return false;
        }

        /**
         * Bytes per token that it keeps for the backward pass beside its input.
         *
         * @param in width of the input
         * @param out width of the output
         * @param number bytes of a number in the pass
         */
        default long kept(long in, long out, int number) {
            return 0;
        }

        /** Bytes per token that it makes on the way forward and lets go at the end of the block. */
        default long temporary(long out, int number) {
            return 0;
        }

        /** Bytes for each number of the weight that it makes for the time of its product, beside a dense copy of a packed one. */
        default long copies(int number) {
            return 0;
        }
    }

    /** The weight is replaced by a copy that is trained. */
    public record Trained() implements Change {
        @Override
        public boolean keepsInput() {
            return true;
        }

        /** The weight in the precision of the pass, and its gradient. */
        @Override
        public long copies(int number) {
            return (long) number + Float.BYTES;
        }
    }

    public AdapterOutline {
        changes = Collections.unmodifiableMap(new LinkedHashMap<>(changes));
    }

    /** The outline of no adapter. */
    public static AdapterOutline none() {
        return new AdapterOutline(0, 0, Map.of(), 0, false);
    }

    /**
     * The outline of an adapter on a model.
     *
     * @param base the model, or one of its shapes without weights ({@link
     *     dev.finetune4j.core.model.ModelLoader#meta}): no weight is looked at
     * @throws dev.finetune4j.core.SettingsException when the settings do not fit the model
     */
    public static AdapterOutline of(AdapterSettings settings, CausalLM base) {
        settings.check(base.moduleNames());
        return AdapterKinds.of(settings).outline(settings, base);
    }

    /** That of parts on single modules. */
    static AdapterOutline ofParts(List<PartPlan> plans) {
        long trained = 0;
        long frozen = 0;
        Map<String, Change> changes = new LinkedHashMap<>();
        for (PartPlan plan : plans) {
            trained += values(plan.trained().values());
            frozen += values(plan.frozen());
            Change change = plan.change();
            if (change != null) {
                plan.modules().forEach(path -> changes.put(path, change));
            }
        }
        return new AdapterOutline(trained, frozen, changes, 0, false);
    }

    /** How many numbers tensors of these shapes hold. */
    static long values(Collection<long[]> shapes) {
        return shapes.stream()
                .mapToLong(shape -> Arrays.stream(shape).reduce(1, Math::multiplyExact))
                .sum();
    }
}
