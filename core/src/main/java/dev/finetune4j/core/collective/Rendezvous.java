package dev.finetune4j.core.collective;

import dev.finetune4j.core.RankLostException;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.bytedeco.javacpp.SizeTPointer;
import org.bytedeco.javacpp.chrono.Milliseconds;
import org.bytedeco.pytorch.PrefixStore;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.TCPStore;
import org.bytedeco.pytorch.TCPStoreOptions;
import org.jspecify.annotations.Nullable;

/**
 * Where the ranks of one training leave each other notes while they are joining: c10d's TCPStore, which rank 0 serves, or torchrun.
 *
 * <p>A process keeps its store until it ends. The trainings that it does one after the other count up, so that each finds
 * its own notes and nobody asks a server that is just closing. Thread-safe.
 */
final class Rendezvous {
    /** Of this process; the port of a server is the process's too. */
    private static final Map<String, Rendezvous> OPEN = new HashMap<>();

    /** A process group frees its store although the binding has not counted it; who frees it a second time spoils the heap. */
    private static final Collection<Store> TAKEN_OVER = new ConcurrentLinkedQueue<>();

    /** After a failure torchrun starts all ranks anew, but keeps its store with the notes of those that were. */
    private static final String ATTEMPT = Objects.requireNonNullElse(System.getenv("TORCHELASTIC_RESTART_COUNT"), "0");

    private @Nullable Store store;
    private int trainings;

    private Rendezvous() {}

    /** The notes of one training. */
    static final class Notes {
        private final Membership membership;
        private final Store store;
        private final String prefix;

        private Notes(Membership membership, Store store, String prefix) {
            this.membership = membership;
            this.store = store;
            this.prefix = prefix;
        }

        void write(String key, String value) {
            try {
                store.set(prefix + key, value);
            } catch (RuntimeException e) {
                throw gone(membership, e);
            }
        }

        /** Waits until somebody has written it. */
        String read(String key) {
            try {
                return store.get_to_str(prefix + key);
            } catch (RuntimeException e) {
                throw gone(membership, e);
            }
        }

        /** A part of the store for a process group, which takes it over: it must not be closed. */
        Store part(String name) {
            try (TensorScope scope = new TensorScope()) {
                Store part = scope.release(new PrefixStore(prefix + name, store));
                TAKEN_OVER.add(part);
                return part;
            }
        }
    }

    /**
     * The notes of the next training of this process.
     *
     * @throws RankLostException if there is no store within the time for joining
     */
    static Notes next(Membership membership) {
        TorchRuntime.start();
        Rendezvous place;
        synchronized (OPEN) {
            place = OPEN.computeIfAbsent(membership.place() + " as " + membership.rank(), key -> new Rendezvous());
        }
        return place.nextNotes(membership);
    }

    private synchronized Notes nextNotes(Membership membership) {
        Store open = store;
        if (open == null) {
            open = connect(membership);
            store = open;
        }
        return new Notes(membership, open, "finetune4j/" + ATTEMPT + "/" + trainings++ + "/");
    }

    private static Store connect(Membership membership) {
        boolean serves = membership.rank() == 0 && !membership.hosted();
        try (TensorScope scope = new TensorScope()) {
            TCPStoreOptions options = new TCPStoreOptions();
            options.port((short) membership.port())
                    .isServer(serves)
                    .waitWorkers(false)
                    .timeout(milliseconds(membership.joining()));
            options.numWorkers(new SizeTPointer(1).put(membership.size()));
            return scope.release(new TCPStore(membership.address(), options));
        } catch (RuntimeException e) {
            if (serves) {
                throw new RankLostException(
                        0,
                        "rank 0 cannot serve the store of the ranks on port " + membership.port()
                                + "; choose a free one as MASTER_PORT: " + firstLine(e),
                        e);
            }
            throw gone(membership, e);
        }
    }

    static Milliseconds milliseconds(Duration duration) {
        return new Milliseconds(duration.toMillis());
    }

    private static RankLostException gone(Membership membership, RuntimeException cause) {
        return new RankLostException(
                0,
                "rank " + membership.rank() + " does not find the others: nobody answers at " + membership.place()
                        + " (MASTER_ADDR and MASTER_PORT), or not all have come within "
                        + membership.joining().toSeconds() + " s: " + firstLine(cause),
                cause);
    }

    private static String firstLine(RuntimeException e) {
        return String.valueOf(e.getMessage()).lines().findFirst().orElse("");
    }
}
