package dev.finetune4j.core.collective;

import dev.finetune4j.core.RankLostException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Keeps the hosts of the ranks in touch: each rank but the first has a connection to rank 0, on which both ends say now and then
 * that they live. Rank 0 collects the values of an exchange and tells all of who was lost. A process that is killed is noticed at
 * once, because its system closes the connection; one that hangs, after some seconds of silence. Thread-safe.
 */
final class Peers implements AutoCloseable {
    private static final Duration PULSE = Duration.ofSeconds(2);
    /** Until a rank of which nothing is heard is given up. */
    static final Duration SILENCE = Duration.ofSeconds(20);

    private static final Duration LEAVING = Duration.ofSeconds(60);
    private static final int MOST_TEXT = 2000;

    private final int rank;
    private final int size;
    private final List<PeerLink> links;
    private final Thread pulse;
    private final Object gate = new Object();
    /** What the others have handed over and nobody has taken, by rank; on rank 0. Guarded by the gate, as what follows. */
    private final List<Deque<Long>> values = new ArrayList<>();

    private final Deque<long[]> results = new ArrayDeque<>();
    private final Set<PeerLink> leaving = new HashSet<>();
    private boolean losing;
    private @Nullable RankLostException lost;
    private @Nullable Runnable onLoss;
    private boolean closed;

    /** @param links to all others on rank 0, else to rank 0 */
    Peers(int rank, int size, List<PeerLink> links) {
        this.rank = rank;
        this.size = size;
        this.links = List.copyOf(links);
        for (int i = 0; i < size; i++) {
            values.add(new ArrayDeque<>());
        }
        pulse = new Thread(this::beat, "finetune4j-rank-pulse");
        pulse.setDaemon(true);
        pulse.start();
        links.forEach(link -> link.listen(new Hearing()));
    }

    @SuppressWarnings("EmptyCatch")
    private void beat() {
        try {
            while (!Thread.interrupted()) {
                Thread.sleep(PULSE.toMillis());
                links.forEach(PeerLink::sendAlive);
            }
        } catch (InterruptedException e) {
            // That is how it ends.
        }
    }

    private final class Hearing implements PeerLink.Listener {
        @Override
        public void onValue(PeerLink from, long value) {
            synchronized (gate) {
                values.get(from.rank()).add(value);
                gate.notifyAll();
            }
        }

        @Override
        public void onAll(long[] all) {
            synchronized (gate) {
                results.add(all);
                gate.notifyAll();
            }
        }

        @Override
        public void onLost(int who, String message) {
            lose(new RankLostException(who, message, null));
        }

        @Override
        public void onLeaving(PeerLink from) {
            synchronized (gate) {
                leaving.add(from);
                gate.notifyAll();
            }
        }

        @Override
        public void onEnd(PeerLink from, String why) {
            synchronized (gate) {
                if (closed || leaving.contains(from)) {
                    return;
                }
            }
            lose(new RankLostException(from.rank(), from.name() + " was lost: it " + why, null));
        }
    }

    /** Tells those who do not know who was lost first, before this process knows and may end for it. */
    private void lose(RankLostException found) {
        synchronized (gate) {
            if (losing) {
                return;
            }
            losing = true;
        }
        if (rank == 0) {
            links.stream()
                    .filter(link -> link.rank() != found.rank())
                    .forEach(link -> link.sendLost(found.rank(), String.valueOf(found.getMessage())));
        }
        Runnable act;
        synchronized (gate) {
            lost = found;
            act = onLoss;
            gate.notifyAll();
        }
        if (act != null) {
            act.run();
        }
    }

    /** Lets something be done once when a rank is lost, on a thread of this class, or at once when one was. */
    void onLoss(Runnable action) {
        synchronized (gate) {
            if (lost == null) {
                onLoss = action;
                return;
            }
        }
        action.run();
    }

    /** @throws RankLostException if a rank was lost */
    void requireAll() {
        synchronized (gate) {
            throwLost();
        }
    }

    private void throwLost() {
        if (lost != null) {
            // Anew, so that it has the stack of who is told.
            throw new RankLostException(lost.rank(), String.valueOf(lost.getMessage()), lost);
        }
    }

    /**
     * Waits until it is known who was lost, when something else has failed that comes of it.
     *
     * @return whether it was found within the time in which a silent rank is
     */
    boolean findsLost() {
        return waitFor(() -> lost != null, SILENCE.plus(PULSE));
    }

    /** What all ranks have handed over; waits for them, as long as they live. */
    long[] exchange(long mine) {
        synchronized (gate) {
            throwLost();
        }
        if (rank != 0) {
            links.get(0).sendValue(mine);
            waitUntil(() -> !results.isEmpty());
            synchronized (gate) {
                return results.remove();
            }
        }
        waitUntil(this::haveAllSpoken);
        long[] all = new long[size];
        synchronized (gate) {
            all[0] = mine;
            links.forEach(link -> all[link.rank()] = values.get(link.rank()).remove());
        }
        links.forEach(link -> link.sendAll(all));
        return all;
    }

    private boolean haveAllSpoken() {
        return links.stream().noneMatch(link -> values.get(link.rank()).isEmpty());
    }

    /** Waits for what the others say, as long as they live and take part. What one said before another was lost is heard first: it may be why. */
    private void waitUntil(Condition said) {
        waitFor(() -> said.holds() || lost != null || !leaving.isEmpty(), null);
        PeerLink gone;
        synchronized (gate) {
            if (said.holds()) {
                return;
            }
            throwLost();
            gone = leaving.iterator().next();
        }
        lose(new RankLostException(
                gone.rank(),
                gone.name() + " has ended its training, although rank " + rank
                        + " has not; start all with the same program",
                null));
        requireAll();
    }

    @FunctionalInterface
    private interface Condition {
        boolean holds();
    }

    /** Waits at the gate, also where the thread is interrupted: that is for others to notice, who agree on it. */
    private boolean waitFor(Condition condition, @Nullable Duration most) {
        long end = most == null ? 0 : System.nanoTime() + most.toNanos();
        boolean interrupted = false;
        try {
            synchronized (gate) {
                while (!condition.holds()) {
                    long left = most == null ? Long.MAX_VALUE : end - System.nanoTime();
                    if (left <= 0) {
                        return false;
                    }
                    try {
                        gate.wait(most == null ? 0 : left / 1_000_000 + 1);
                    } catch (InterruptedException e) {
                        interrupted = true;
                    }
                }
                return true;
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /**
     * Tells the others that this rank fails; they are told no more.
     *
     * @return whether that was news: no rank was lost before
     */
    boolean fail(String message) {
        String text = message.length() > MOST_TEXT ? message.substring(0, MOST_TEXT) : message;
        synchronized (gate) {
            if (losing || closed) {
                return false;
            }
            losing = true;
            lost = new RankLostException(rank, text, null);
        }
        links.forEach(link -> link.sendLost(rank, text));
        return true;
    }

    /** Leaves when all do; at once when one was lost. */
    @Override
    public void close() {
        synchronized (gate) {
            if (closed) {
                return;
            }
        }
        if (rank != 0) {
            links.get(0).sendLeaving();
        }
        waitFor(() -> lost != null || leaving.containsAll(links), LEAVING);
        if (rank == 0) {
            links.forEach(PeerLink::sendLeaving);
        }
        synchronized (gate) {
            closed = true;
        }
        pulse.interrupt();
        links.forEach(PeerLink::close);
    }
}
