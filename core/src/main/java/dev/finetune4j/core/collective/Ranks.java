package dev.finetune4j.core.collective;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.RankLostException;
import java.util.Arrays;
import org.bytedeco.pytorch.Tensor;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Several ranks, each in a process of its own. */
final class Ranks implements Communicator {
    private static final Logger LOG = LoggerFactory.getLogger(Ranks.class);

    private final Membership membership;
    private final Peers peers;
    private final ProcessGroup group;
    private final int localSize;

    private Ranks(Membership membership, Peers peers, int localSize, ProcessGroup group) {
        this.membership = membership;
        this.peers = peers;
        this.localSize = localSize;
        this.group = group;
    }

    static Ranks join(Membership membership, ComputeDevice device) {
        Rendezvous.Notes notes = Rendezvous.next(membership);
        Gathering gathered = Gathering.of(notes, membership);
        Peers peers = gathered.peers();
        try {
            boolean gpu = device.kind() == ComputeDevice.Kind.CUDA;
            // Before anything that a rank without it would let the others wait in.
            long host = Gathering.hostName().hashCode();
            int local = (int) Arrays.stream(peers.exchange(host))
                    .filter(other -> other == host)
                    .count();
            ProcessGroup group = gpu
                    ? NcclGroup.connect(notes, membership.rank(), membership.size(), device, peers::requireAll)
                    : GlooGroup.connect(
                            notes, membership.rank(), membership.size(), gathered.host(), peers::requireAll);
            peers.onLoss(group::abort);
            LOG.info("{} of {} trains on {}", Gathering.name(membership.rank()), membership.size(), device);
            return new Ranks(membership, peers, local, group);
        } catch (RuntimeException | Error e) {
            peers.fail(Gathering.name(membership.rank()) + " has failed: " + e);
            peers.close();
            throw e;
        }
    }

    @Override
    public int rank() {
        return membership.rank();
    }

    @Override
    public int size() {
        return membership.size();
    }

    @Override
    public int localSize() {
        return localSize;
    }

    @Override
    public void sum(Tensor values) {
        together(() -> group.sum(values));
    }

    @Override
    public void broadcast(Tensor values) {
        together(() -> group.broadcast(values));
    }

    /** When an operation fails because a rank is gone, the operation does not know which. */
    private void together(Runnable operation) {
        peers.requireAll();
        try {
            operation.run();
        } catch (RankLostException e) {
            throw e;
        } catch (RuntimeException e) {
            if (peers.findsLost()) {
                peers.requireAll();
            }
            throw new RankLostException(-1, "the ranks cannot add up their values any more: " + e.getMessage(), e);
        }
    }

    @Override
    public long[] exchange(long mine) {
        return peers.exchange(mine);
    }

    @Override
    public void requireAll() {
        peers.requireAll();
    }

    @Override
    public void fail(Throwable reason) {
        // After a loss the group was aborted already, which must not be done twice.
        if (peers.fail(Gathering.name(rank()) + " has failed: " + reason)) {
            group.abort();
        }
    }

    @Override
    public void close() {
        peers.close();
        group.close();
    }
}
