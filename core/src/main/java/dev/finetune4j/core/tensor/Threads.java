package dev.finetune4j.core.tensor;

import dev.finetune4j.core.Precision;
import org.bytedeco.openblas.global.openblas_full;
import org.bytedeco.pytorch.global.torch;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How many threads one operation on the CPU may use: the number of the process ({@link TorchRuntime#setThreads}), unless the
 * work that the calling thread is at has a number of its own.
 *
 * <p>Our own kernels ask for it at each call and share one pool of threads, which wait without taking a processor. Beside
 * them libtorch and OpenBLAS keep to the calling thread: each has a pool whose threads spin while they wait, and two pools of
 * all processors fight for them. Without kernels one of the two gets the threads, by the format of the model that was loaded
 * last: OpenBLAS in float32, libtorch (oneDNN) in bfloat16. OpenBLAS has one number for the process; libtorch keeps one for
 * each thread, so it is told anew wherever a pass begins ({@link #share}). Thread-safe.
 */
public final class Threads {
    private static final Logger LOG = LoggerFactory.getLogger(Threads.class);

    private static volatile int process = 1;
    private static volatile boolean kernels;
    private static volatile Precision main = Precision.FP32;

    /** The numbers of one thread: that of the work that it is at, 0 for none, and what libtorch was told last. */
    private static final class Own {
        private int work;
        private int torch;
    }

    private static final ThreadLocal<Own> OWN = ThreadLocal.withInitial(Own::new);

    private Threads() {}

    /** What is held while a thread is at work with a number of its own; close it in the thread that began it. */
    @FunctionalInterface
    public interface Share extends AutoCloseable {
        @Override
        void close();
    }

    /**
     * Begins work of the calling thread: a pass, or all of a training.
     *
     * @param number of threads that its operations may use; 0 leaves it at what held before
     */
    public static Share share(int number) {
        Own own = OWN.get();
        int before = own.work;
        if (number > 0) {
            own.work = number;
        }
        tellTorch(own);
        return () -> own.work = before;
    }

    /** How many threads an operation of the calling thread may use. */
    static int number() {
        int work = OWN.get().work;
        return work > 0 ? work : process;
    }

    /** Sets the number of the process. */
    static void setProcess(int number) {
        process = number;
        tellLibraries();
    }

    /** The format of the large products, which decides between libtorch and OpenBLAS where there are no kernels. */
    static void setMain(Precision precision) {
        main = precision;
        tellLibraries();
    }

    /** Says that there are kernels of our own, which need the processors. */
    public static void leaveToKernels() {
        kernels = true;
        tellLibraries();
    }

    private static void tellLibraries() {
        try {
            openblas_full.openblas_set_num_threads(!kernels && main == Precision.FP32 ? process : 1);
        } catch (UnsatisfiedLinkError | NoClassDefFoundError e) {
            LOG.debug("OpenBLAS keeps its own number of threads: {}", e.getMessage());
        }
        tellTorch(OWN.get());
    }

    private static void tellTorch(Own own) {
        int wanted = kernels || main == Precision.FP32 ? 1 : (own.work > 0 ? own.work : process);
        if (own.torch != wanted) {
            torch.set_num_threads(wanted);
            own.torch = wanted;
        }
    }
}
