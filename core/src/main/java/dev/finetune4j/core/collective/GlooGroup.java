package dev.finetune4j.core.collective;

import dev.finetune4j.core.DeviceException;
import dev.finetune4j.core.tensor.TensorScope;
import java.time.Duration;
import java.util.Collection;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.pytorch.GlooDeviceVector;
import org.bytedeco.pytorch.ProcessGroupGloo;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.Work;
import org.bytedeco.pytorch.global.torch_gloo;
import org.bytedeco.pytorch.gloo.Device;
import org.jspecify.annotations.Nullable;

/** c10d's Gloo, for tensors of the CPU. */
final class GlooGroup implements ProcessGroup {
    /** Of an operation; when a rank is lost, it is noticed long before. */
    private static final Duration TIMEOUT = Duration.ofMinutes(30);

    private static final long POLL_NANOS = 30_000;
    private static final int SPINS = 200;
    private static final String INTERFACE = "GLOO_SOCKET_IFNAME";

    /** Those in which an operation may wait for ever; freeing them would wait too. */
    private static final Collection<ProcessGroupGloo> ABANDONED = new ConcurrentLinkedQueue<>();

    private final ProcessGroupGloo group;
    private final Runnable check;
    /** Whichever of abort and close comes first acts alone. */
    private final AtomicBoolean gone = new AtomicBoolean();

    private GlooGroup(ProcessGroupGloo group, Runnable check) {
        this.group = group;
        this.check = check;
    }

    /**
     * Connects with all others, which waits for them.
     *
     * @param host this machine's address that the others reach
     * @param check throws when a rank was lost
     */
    static GlooGroup connect(Rendezvous.Notes notes, int rank, int size, String host, Runnable check) {
        try {
            Loader.load(torch_gloo.class);
        } catch (LinkageError e) {
            throw new DeviceException(
                    "the ranks of a training on the CPU need Gloo, which libtorch of this platform does not bring: "
                            + e.getMessage(),
                    e);
        }
        return new GlooGroup(
                Connecting.await("Gloo", () -> init(notes, rank, size, host), ProcessGroupGloo::close, check), check);
    }

    private static ProcessGroupGloo init(Rendezvous.Notes notes, int rank, int size, String host) {
        @Nullable String network = System.getenv(INTERFACE);
        boolean chosen = network != null && !network.isBlank();
        try (TensorScope scope = new TensorScope()) {
            Store store = notes.part("gloo");
            Device device = chosen
                    ? ProcessGroupGloo.createDeviceForInterface(network)
                    : ProcessGroupGloo.createDeviceForHostname(host);
            ProcessGroupGloo.Options options = ProcessGroupGloo.Options.create(Rendezvous.milliseconds(TIMEOUT));
            options.devices(new GlooDeviceVector(device));
            return scope.release(new ProcessGroupGloo(store, rank, size, options));
        } catch (RuntimeException e) {
            throw new DeviceException(
                    "Gloo cannot connect the ranks over "
                            + (chosen
                                    ? "the network interface " + network + " of " + INTERFACE
                                    : "the address " + host + " of this machine; " + INTERFACE
                                            + " may name another network interface")
                            + ": " + e.getMessage(),
                    e);
        }
    }

    @Override
    public void sum(Tensor values) {
        try (TensorScope scope = new TensorScope()) {
            await(group.allreduce(new TensorVector(values)));
        }
    }

    @Override
    public void broadcast(Tensor values) {
        try (TensorScope scope = new TensorScope()) {
            await(group.broadcast(new TensorVector(values)));
        }
    }

    private void await(Work work) {
        for (int i = 0; !work.isCompleted(); i++) {
            if (i < SPINS) {
                Thread.onSpinWait();
            } else {
                check.run();
                LockSupport.parkNanos(POLL_NANOS);
            }
        }
        work._wait();
    }

    @Override
    public void abort() {
        if (gone.compareAndSet(false, true)) {
            ABANDONED.add(group);
        }
    }

    @Override
    public void close() {
        if (gone.compareAndSet(false, true)) {
            group.close();
        }
    }
}
