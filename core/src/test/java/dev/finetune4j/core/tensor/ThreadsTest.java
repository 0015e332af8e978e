package dev.finetune4j.core.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class ThreadsTest {
    private final ExecutorService pool = Executors.newSingleThreadExecutor();
    private int before;

    @BeforeEach
    void note() {
        before = TorchRuntime.threads();
    }

    @AfterEach
    void restore() {
        TorchRuntime.setThreads(before);
        TorchRuntime.shareThreads(Precision.FP32);
        pool.shutdownNow();
    }

    private <T> T inPool(Callable<T> work) throws Exception {
        return pool.submit(work).get();
    }

    @Test
    void theNumberOfTheProcessHoldsForEveryThreadAlsoForThoseThatHaveComputedBefore() throws Exception {
        TorchRuntime.setThreads(1);
        assertEquals(1, inPool(TorchRuntime::threads));
        TorchRuntime.setThreads(3);
        assertEquals(3, TorchRuntime.threads());
        assertEquals(3, inPool(TorchRuntime::threads));
    }

    @Test
    void workWithANumberOfItsOwnKeepsItInItsThreadAndLeavesItBehind() throws Exception {
        TorchRuntime.setThreads(4);
        try (Threads.Share training = Threads.share(2)) {
            TorchRuntime.setThreads(5);
            assertEquals(2, TorchRuntime.threads());
            try (Threads.Share pass = Threads.share(0)) {
                assertEquals(2, TorchRuntime.threads(), "a pass of the training");
            }
            try (Threads.Share serving = Threads.share(1)) {
                assertEquals(1, TorchRuntime.threads(), "a pass of a model with its own number");
            }
            assertEquals(2, TorchRuntime.threads());
            assertEquals(5, inPool(TorchRuntime::threads), "others");
        }
        assertEquals(5, TorchRuntime.threads());
    }

    /** libtorch's number is one of the calling thread: one that has computed with another number must be told. */
    @Test
    void aPassTellsLibtorchWhatHoldsForItsThread() throws Exception {
        boolean kernels = CpuKernels.get().isPresent();
        for (Precision precision : new Precision[] {Precision.FP32, Precision.BF16, Precision.FP32, Precision.BF16}) {
            for (int threads : new int[] {1, 3}) {
                TorchRuntime.shareThreads(precision);
                TorchRuntime.setThreads(threads);
                int wanted = kernels || precision == Precision.FP32 ? 1 : threads;
                assertEquals(wanted, torchThreadsInPass());
                assertEquals(wanted, inPool(ThreadsTest::torchThreadsInPass));
            }
        }
    }

    private static int torchThreadsInPass() {
        try (Threads.Share pass = Threads.share(0)) {
            return torch.get_num_threads();
        }
    }
}
