package dev.finetune4j.core.hub;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/** Counts what the threads of a download bring. Thread-safe, but for {@link #snapshot}, which one thread calls. */
final class ProgressCounter {
    /** For how long a byte counts in the rate. */
    private static final double WINDOW_SECONDS = 3;

    private final String model;
    private final AtomicLong bytes = new AtomicLong();
    private final AtomicLong received = new AtomicLong();
    private final AtomicInteger files = new AtomicInteger();
    private volatile DownloadProgress.Phase phase = DownloadProgress.Phase.LISTING;
    private volatile long totalBytes;
    private volatile int totalFiles;
    private long lastTime = System.nanoTime();
    private long lastReceived;
    private double rate;

    ProgressCounter(String model) {
        this.model = model;
    }

    void phase(DownloadProgress.Phase next) {
        phase = next;
    }

    void total(int newFiles, long newBytes) {
        totalFiles = newFiles;
        totalBytes = newBytes;
        phase = DownloadProgress.Phase.DOWNLOADING;
    }

    /** @param count that the partial files have grown or shrunk by */
    void grown(long count) {
        bytes.addAndGet(count);
    }

    /** @param count that came over the network */
    void received(long count) {
        received.addAndGet(Math.max(0, count));
    }

    void finishedFile() {
        files.incrementAndGet();
    }

    DownloadProgress snapshot() {
        long now = System.nanoTime();
        double seconds = (now - lastTime) / 1e9;
        if (seconds > 0.05) {
            long count = received.get();
            double weight = Math.min(1, seconds / WINDOW_SECONDS);
            rate += weight * ((count - lastReceived) / seconds - rate);
            lastTime = now;
            lastReceived = count;
        }
        return new DownloadProgress(model, phase, bytes.get(), totalBytes, files.get(), totalFiles, rate);
    }
}
