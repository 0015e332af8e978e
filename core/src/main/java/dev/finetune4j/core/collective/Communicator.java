package dev.finetune4j.core.collective;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.RankLostException;
import dev.finetune4j.core.SettingsException;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.Tensor;

/**
 * What the ranks of a training do together. All of them call the same methods in the same order, each from its training thread.
 *
 * <p>Every method but {@link #fail} and {@link #close} throws {@link RankLostException} when a rank was lost; from then on all of them do.
 */
public interface Communicator extends AutoCloseable {
    /** Of a training in one process, where there is nobody to agree with. */
    static Communicator alone() {
        return Alone.INSTANCE;
    }

    /**
     * Joins the others and waits for them.
     *
     * @param device on which the tensors are; each rank has one of its own where it is a GPU
     * @throws RankLostException if not all of them come
     * @throws dev.finetune4j.core.DeviceException if there is no library for collective operations on that device
     */
    static Communicator join(Membership membership, ComputeDevice device) {
        return membership.size() == 1 ? alone() : Ranks.join(membership, device);
    }

    /** Which rank this is, counted from 0. */
    int rank();

    /** How many ranks there are. */
    int size();

    /** How many of them are on this machine, by its name, and share its memory. */
    int localSize();

    /** Whether this rank speaks and writes for all. */
    default boolean isFirst() {
        return rank() == 0;
    }

    /**
     * All-reduce: adds up the values of all ranks, in place. On a GPU it is enqueued on the current stream, and nobody waits for it.
     *
     * @param values contiguous, of one shape and type on all ranks, on the device of the ranks
     */
    void sum(Tensor values);

    /** Overwrites the values with those of rank 0, as {@link #sum} does with the sum. */
    void broadcast(Tensor values);

    /** What each rank has handed over, in order; waits for the slowest. The device is not asked. */
    long[] exchange(long mine);

    /** Whether any rank says so. */
    default boolean any(boolean mine) {
        return Arrays.stream(exchange(mine ? 1 : 0)).anyMatch(said -> said != 0);
    }

    /** What rank 0 has handed over. */
    default long ofFirst(long mine) {
        return exchange(mine)[0];
    }

    /** The sum over the ranks, in their order, so that all get the same. */
    default double sum(double mine) {
        return Arrays.stream(exchange(Double.doubleToRawLongBits(mine)))
                .mapToDouble(Double::longBitsToDouble)
                .sum();
    }

    /**
     * Checks that the ranks have the same.
     *
     * @param what it is, for the message
     * @throws SettingsException if they have not
     */
    default void requireSame(String what, long mine) {
        long[] all = exchange(mine);
        for (int i = 1; i < all.length; i++) {
            if (all[i] != all[0]) {
                throw new SettingsException(List.of(
                        "the ranks do not train the same: " + what + " is " + all[0] + " on rank 0 and " + all[i]
                                + " on rank " + i + "; start all with the same program, model, data and settings"));
            }
        }
    }

    /** The same for texts, of which the message has this rank's. */
    default void requireSame(String what, String mine) {
        long[] all = exchange(mine.hashCode());
        for (int i = 1; i < all.length; i++) {
            if (all[i] != all[0]) {
                throw new SettingsException(List.of("the ranks do not train the same: " + what + " is not the same on"
                        + " rank " + i + " as on rank 0, and " + mine + " on rank " + rank()
                        + "; start all with the same program, model, data and settings"));
            }
        }
    }

    /** Checks that no rank was lost; what a GPU has added up since may be wrong otherwise. */
    void requireAll();

    /** Tells the others that this rank ends without having finished, and why. */
    void fail(Throwable reason);

    /** Leaves; waits until the others leave too, unless one was lost or this one has failed. */
    @Override
    void close();
}
