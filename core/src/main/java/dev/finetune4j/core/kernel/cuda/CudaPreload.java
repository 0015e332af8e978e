package dev.finetune4j.core.kernel.cuda;

import dev.finetune4j.core.ComputeDevice;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Gets ready what the first pass of a process would wait for (kernels to be compiled and loaded, libraries to be woken up) in
 * threads of its own, while a model is read from its file. Whoever needs a part earlier waits for that part alone.
 */
public final class CudaPreload {
    private static final Logger LOG = LoggerFactory.getLogger(CudaPreload.class);
    private static final Set<String> BEGUN = ConcurrentHashMap.newKeySet();

    private CudaPreload() {}

    /**
     * Compiles and loads the kernels of some sources, once in a process.
     *
     * @param owner a class of the package that holds the resources
     * @param resources names of the sources, as for {@link CudaModule#of}
     */
    public static void modules(Class<?> owner, ComputeDevice device, String... resources) {
        once(
                owner.getName() + String.join(" ", resources) + device,
                List.of(resources).stream()
                        .<Runnable>map(resource -> () -> CudaModule.of(owner, resource, device))
                        .toList());
    }

    /**
     * Does some jobs one after another in a thread of their own, once in a process. One that fails is left to whoever needs it,
     * who then hears why.
     *
     * @param name of the jobs
     */
    public static void once(String name, List<Runnable> jobs) {
        if (!BEGUN.add(name)) {
            return;
        }
        Thread thread = new Thread(() -> run(jobs), "finetune4j preload");
        thread.setDaemon(true);
        thread.start();
        // A library must not be at work while its process ends.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> end(thread), "finetune4j preload end"));
    }

    private static void run(List<Runnable> jobs) {
        for (Runnable job : jobs) {
            if (Thread.currentThread().isInterrupted()) {
                return;
            }
            try {
                job.run();
            } catch (RuntimeException e) {
                LOG.debug("left to the first who needs it: {}", e.toString());
            }
        }
    }

    private static void end(Thread thread) {
        thread.interrupt();
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
