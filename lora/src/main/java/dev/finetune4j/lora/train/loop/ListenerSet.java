package dev.finetune4j.lora.train.loop;

import dev.finetune4j.lora.train.TrainingListener;
import java.util.List;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The listeners of a training. What one of them throws is logged and keeps nothing from the others. Immutable. */
public final class ListenerSet {
    private static final Logger LOG = LoggerFactory.getLogger(ListenerSet.class);

    private final List<TrainingListener> listeners;

    public ListenerSet(List<TrainingListener> listeners) {
        this.listeners = List.copyOf(listeners);
    }

    /** Tells an event to all, in order. */
    public void tell(Consumer<TrainingListener> event) {
        for (TrainingListener listener : listeners) {
            try {
                event.accept(listener);
            } catch (RuntimeException | Error e) {
                // Whatever it was ended with the listener's own call; what is trained must not be lost for it.
                LOG.warn("a training listener failed; the training goes on", e);
            }
        }
    }

    /** Tells that a phase begins. */
    public void enter(TrainingListener.Phase phase) {
        tell(listener -> listener.onPhase(phase));
    }
}
