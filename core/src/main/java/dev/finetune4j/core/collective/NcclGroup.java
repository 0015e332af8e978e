package dev.finetune4j.core.collective;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceException;
import dev.finetune4j.core.tensor.CaptureLock;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.util.HexFormat;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantLock;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.nccl;
import org.bytedeco.cuda.nccl.ncclComm;
import org.bytedeco.cuda.nccl.ncclUniqueId;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.cuda.CUDAGuard;
import org.bytedeco.pytorch.cuda.CUDAStream;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.bytedeco.pytorch.global.torch_cuda;
import org.jspecify.annotations.Nullable;

/**
 * <a href="https://docs.nvidia.com/deeplearning/nccl/">NCCL</a>, for tensors of GPUs, one GPU to each rank. Operations are enqueued
 * on the current stream behind the work that makes their values, so that neither events nor a stream of their own are needed.
 */
final class NcclGroup implements ProcessGroup {
    private static final int ID_BYTES = 128;
    private static final long ABORT_SECONDS = 2;

    private final ComputeDevice device;
    private final ncclComm communicator;
    private final Runnable check;
    /** Held while an operation is enqueued, so that none is while the communicator goes. */
    private final ReentrantLock enqueueing = new ReentrantLock();

    private boolean connected;
    /** Whichever of abort and close comes first acts alone. */
    private final AtomicBoolean gone = new AtomicBoolean();

    private NcclGroup(ComputeDevice device, ncclComm communicator, Runnable check) {
        this.device = device;
        this.communicator = communicator;
        this.check = check;
    }

    /**
     * Connects with all others, which waits for them.
     *
     * @param check throws when a rank was lost
     */
    static NcclGroup connect(Rendezvous.Notes notes, int rank, int size, ComputeDevice device, Runnable check) {
        TorchRuntime.require(device);
        try {
            Loader.load(nccl.class);
        } catch (LinkageError e) {
            throw new DeviceException(
                    "the ranks of a training on GPUs need NCCL (libnccl.so.2), which the system does not have; install"
                            + " it beside CUDA: " + e.getMessage(),
                    e);
        }
        return new NcclGroup(
                device,
                Connecting.await("NCCL", () -> init(notes, rank, size, device), nccl::ncclCommAbort, check),
                check);
    }

    private static ncclComm init(Rendezvous.Notes notes, int rank, int size, ComputeDevice device) {
        // It allocates memory of the GPU, which the captures of other threads must not meet.
        try (CaptureLock quiet = CaptureLock.acquire();
                CUDAGuard current = new CUDAGuard((byte) device.index());
                TensorScope scope = new TensorScope()) {
            ncclUniqueId id = new ncclUniqueId();
            BytePointer bytes = new BytePointer(id).capacity(ID_BYTES);
            if (rank == 0) {
                check(nccl.ncclGetUniqueId(id), "beginning");
                byte[] made = new byte[ID_BYTES];
                bytes.get(made);
                notes.write("nccl", HexFormat.of().formatHex(made));
            } else {
                bytes.put(HexFormat.of().parseHex(notes.read("nccl")));
            }
            ncclComm made = new ncclComm();
            check(
                    nccl.ncclCommInitRank(made, size, id, rank),
                    "connecting " + device + " with the GPUs of the other ranks (each needs one of its own)");
            return scope.release(made);
        }
    }

    private static void check(int result, String doing) {
        if (result != nccl.ncclSuccess) {
            throw new DeviceException("NCCL, " + doing + ": "
                    + nccl.ncclGetErrorString(result).getString() + " (" + result
                    + "); NCCL_DEBUG=WARN tells more");
        }
    }

    @Override
    public void sum(Tensor values) {
        enqueue(
                values,
                (count, type, stream) -> check(
                        nccl.ncclAllReduce(
                                values.data_ptr(), values.data_ptr(), count, type, nccl.ncclSum, communicator, stream),
                        "all-reduce"));
    }

    @Override
    public void broadcast(Tensor values) {
        enqueue(
                values,
                (count, type, stream) -> check(
                        nccl.ncclBroadcast(values.data_ptr(), values.data_ptr(), count, type, 0, communicator, stream),
                        "broadcast"));
    }

    @FunctionalInterface
    private interface Operation {
        void on(long count, int type, @Nullable CUstream_st stream);
    }

    private void enqueue(Tensor values, Operation operation) {
        if (connected) {
            enqueueHere(values, operation);
            return;
        }
        // The first operation makes the connections, and allocates for them.
        try (CaptureLock quiet = CaptureLock.acquire()) {
            enqueueHere(values, operation);
        }
        connected = true;
    }

    private void enqueueHere(Tensor values, Operation operation) {
        enqueueing.lock();
        try (CUDAGuard current = new CUDAGuard((byte) device.index());
                TensorScope scope = new TensorScope();
                CUDAStream stream = torch_cuda.getCurrentCUDAStream((byte) device.index())) {
            if (gone.get()) {
                check.run();
                throw new IllegalStateException("the ranks are not connected any more");
            }
            operation.on(values.numel(), type(values), stream.stream());
        } finally {
            enqueueing.unlock();
        }
    }

    private static int type(Tensor values) {
        ScalarType type = Tensors.typeOf(values);
        return switch (type) {
            case Float -> nccl.ncclFloat32;
            case Double -> nccl.ncclFloat64;
            case BFloat16 -> nccl.ncclBfloat16;
            case Int -> nccl.ncclInt32;
            case Long -> nccl.ncclInt64;
            case Byte -> nccl.ncclUint8;
            default -> throw new IllegalArgumentException("values of the type " + type + " are not added over ranks");
        };
    }

    @Override
    public void abort() {
        if (!gone.compareAndSet(false, true)) {
            return;
        }
        boolean quiet = false;
        try {
            // Connecting for the first operation may wait for the rank that is lost; then aborting is what ends it.
            quiet = enqueueing.tryLock(ABORT_SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        try {
            nccl.ncclCommAbort(communicator);
        } finally {
            if (quiet) {
                enqueueing.unlock();
            }
        }
    }

    @Override
    public void close() {
        if (gone.compareAndSet(false, true)) {
            nccl.ncclCommDestroy(communicator);
        }
    }
}
