package dev.finetune4j.core.collective;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.RankLostException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.io.IOException;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Ranks that are threads of one process; they do not know. */
@Timeout(60)
class CommunicatorTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();

    @FunctionalInterface
    private interface Work<T> {
        T with(Communicator ranks);
    }

    private static <T> List<Future<T>> start(int size, Work<T> work) throws IOException {
        int port;
        try (ServerSocket probe = new ServerSocket(0)) {
            port = probe.getLocalPort();
        }
        ExecutorService threads = Executors.newFixedThreadPool(size);
        List<Future<T>> results = new ArrayList<>();
        for (int rank = 0; rank < size; rank++) {
            Membership one = new Membership(rank, size, "127.0.0.1", port, false, Duration.ofSeconds(30));
            results.add(threads.submit(() -> {
                try (Communicator ranks = Communicator.join(one, CPU)) {
                    return work.with(ranks);
                }
            }));
        }
        threads.shutdown();
        return results;
    }

    private static <T> T result(Future<T> future) throws ExecutionException, InterruptedException, TimeoutException {
        return future.get(30, TimeUnit.SECONDS);
    }

    private record Sums(float[] sum, float[] first, long[] all, double numbers, boolean any, boolean none, long of) {}

    @Test
    void allRanksGetTheSame() throws Exception {
        List<Future<Sums>> results = start(3, ranks -> {
            try (TensorScope scope = new TensorScope()) {
                Tensor values = Tensors.ofFloats(CPU, new float[] {ranks.rank() + 1, 10}, 2);
                ranks.sum(values);
                Tensor own = Tensors.ofFloats(CPU, new float[] {ranks.rank() + 5}, 1);
                ranks.broadcast(own);
                ranks.requireSame("the number", 7);
                ranks.requireSame("the name", "seven");
                assertEquals(3, ranks.localSize());
                ranks.requireAll();
                return new Sums(
                        Tensors.toFloats(values),
                        Tensors.toFloats(own),
                        ranks.exchange(100L * ranks.rank()),
                        ranks.sum(0.1 * ranks.rank()),
                        ranks.any(ranks.rank() == 2),
                        ranks.any(false),
                        ranks.ofFirst(ranks.rank() + 40));
            }
        });
        for (Future<Sums> future : results) {
            Sums found = result(future);
            assertArrayEquals(new float[] {6, 30}, found.sum());
            assertArrayEquals(new float[] {5}, found.first());
            assertArrayEquals(new long[] {0, 100, 200}, found.all());
            assertEquals(0.1 + 0.2, found.numbers());
            assertTrue(found.any());
            assertFalse(found.none());
            assertEquals(40, found.of());
        }
    }

    @Test
    void whatOneFailsWithEndsAllWithItsName() throws Exception {
        List<Future<Object>> results = start(3, ranks -> {
            if (ranks.rank() == 1) {
                ranks.fail(new IllegalStateException("out of patience"));
                throw new IllegalStateException("out of patience");
            }
            try (TensorScope scope = new TensorScope()) {
                if (ranks.rank() == 2) {
                    return ranks.exchange(1);
                }
                ranks.sum(Tensors.ones(CPU, org.bytedeco.pytorch.global.torch.ScalarType.Float, 4));
                return ranks;
            }
        });
        for (int rank : List.of(0, 2)) {
            ExecutionException thrown = assertThrows(ExecutionException.class, () -> result(results.get(rank)));
            RankLostException lost = (RankLostException) thrown.getCause();
            assertEquals(1, lost.rank());
            assertTrue(
                    lost.getMessage().startsWith("rank 1 (")
                            && lost.getMessage().contains("out of patience"),
                    lost.getMessage());
        }
    }

    @Test
    void anOperationThatALossEndsLeavesNoNativeObjects() throws Exception {
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch counted = new CountDownLatch(1);
        List<Future<Long>> results = start(2, ranks -> {
            try (TensorScope scope = new TensorScope()) {
                Tensor values = Tensors.ones(CPU, org.bytedeco.pytorch.global.torch.ScalarType.Float, 4);
                ranks.sum(values);
                if (ranks.rank() == 1) {
                    begun.await();
                    // The other one's operation has begun by then.
                    TimeUnit.MILLISECONDS.sleep(200);
                    ranks.fail(new IllegalStateException("out of patience"));
                    // Frees nothing meanwhile.
                    counted.await();
                    return 0L;
                }
                long before = Pointer.totalCount();
                begun.countDown();
                assertThrows(RankLostException.class, () -> ranks.sum(values));
                long left = Pointer.totalCount() - before;
                counted.countDown();
                return left;
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        });
        long left = result(results.get(0));
        // The collector may free objects of other tests.
        assertTrue(left <= 0, left + " native objects");
        result(results.get(1));
    }

    @Test
    void aDifferenceIsNamed() throws Exception {
        List<Future<Object>> results = start(2, ranks -> {
            ranks.requireSame("the number of steps", 5 + ranks.rank());
            return ranks;
        });
        for (Future<Object> future : results) {
            ExecutionException thrown = assertThrows(ExecutionException.class, () -> result(future));
            SettingsException wrong = (SettingsException) thrown.getCause();
            assertTrue(
                    wrong.getMessage().contains("the number of steps is 5 on rank 0 and 6 on rank 1"),
                    wrong.getMessage());
        }
    }

    @Test
    void aDifferenceOfTextsHasThisRanksText() throws Exception {
        List<Future<Object>> results = start(2, ranks -> {
            ranks.requireSame("the schedule", ranks.rank() == 0 ? "linear" : "cosine");
            return ranks;
        });
        for (int rank = 0; rank < 2; rank++) {
            Future<Object> future = results.get(rank);
            ExecutionException thrown = assertThrows(ExecutionException.class, () -> result(future));
            SettingsException wrong = (SettingsException) thrown.getCause();
            assertTrue(
                    wrong.getMessage()
                            .contains("the schedule is not the same on rank 1 as on rank 0, and "
                                    + (rank == 0 ? "linear" : "cosine") + " on rank " + rank),
                    wrong.getMessage());
        }
    }

    @Test
    void whoDoesNotComeIsNamed() throws IOException {
        int port;
        try (ServerSocket probe = new ServerSocket(0)) {
            port = probe.getLocalPort();
        }
        Membership first = new Membership(0, 3, "127.0.0.1", port, false, Duration.ofSeconds(1));
        RankLostException lost = assertThrows(RankLostException.class, () -> Communicator.join(first, CPU));
        assertTrue(lost.getMessage().contains("rank 1, rank 2 of 3 have not come"), lost.getMessage());

        int free;
        try (ServerSocket probe = new ServerSocket(0)) {
            free = probe.getLocalPort();
        }
        Membership second = new Membership(1, 2, "127.0.0.1", free, false, Duration.ofSeconds(1));
        lost = assertThrows(RankLostException.class, () -> Communicator.join(second, CPU));
        assertTrue(lost.getMessage().contains("nobody answers at 127.0.0.1:" + free), lost.getMessage());
    }

    @Test
    void theOnlyRankAgreesWithItself() {
        try (Communicator alone =
                Communicator.join(new Membership(0, 1, "nowhere", 1, false, Duration.ofSeconds(1)), CPU)) {
            assertArrayEquals(new long[] {3}, alone.exchange(3));
            assertEquals(0.5, alone.sum(0.5));
            alone.requireAll();
        }
    }
}
