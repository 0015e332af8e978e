package dev.finetune4j.core.hub;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Tells the threads of a download that it is to end. Thread-safe. */
final class Stop {
    private final String model;
    private final CountDownLatch latch = new CountDownLatch(1);

    Stop(String model) {
        this.model = model;
    }

    void set() {
        latch.countDown();
    }

    boolean isSet() {
        return latch.getCount() == 0;
    }

    /** @throws HubException when the download is to end */
    void check() {
        if (isSet()) {
            throw new HubException(
                    HubException.Reason.CANCELLED,
                    "the download of " + model
                            + " was stopped; what has come is kept, and the next call goes on from there");
        }
    }

    /** Waits, in a thread that nobody interrupts. */
    void sleep(Duration time) {
        try {
            latch.await(time.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            set();
        }
        check();
    }
}
