package dev.finetune4j.core.kernel.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class CudaPreloadTest {
    @Test
    void jobsRunOnceInAThreadOfTheirOwnAndOneThatFailsIsPassedOver() throws InterruptedException {
        BlockingQueue<String> done = new LinkedBlockingQueue<>();
        String name = "a test";
        List<Runnable> jobs = List.of(
                () -> {
                    throw new IllegalStateException("no such kernel");
                },
                () -> done.add(Thread.currentThread().getName()));
        CudaPreload.once(name, jobs);
        CudaPreload.once(name, jobs);
        String thread = done.poll(20, TimeUnit.SECONDS);
        assertNotEquals(Thread.currentThread().getName(), thread);
        assertEquals("finetune4j preload", thread);
        CudaPreload.once(name + " of another name", List.of(() -> done.add("other")));
        assertEquals("other", done.poll(20, TimeUnit.SECONDS));
        assertTrue(done.isEmpty());
    }
}
