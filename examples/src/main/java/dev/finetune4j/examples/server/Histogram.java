package dev.finetune4j.examples.server;

import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.DoubleAdder;

/** How often values fell into buckets. Thread-safe; a reader may see a value in the count and not yet in the sum. */
final class Histogram {
    private final double[] bounds;
    private final AtomicLongArray counts;
    private final DoubleAdder sum = new DoubleAdder();

    /** @param bounds the highest value of each bucket, in order; what is higher falls into a last one */
    Histogram(double... bounds) {
        this.bounds = bounds.clone();
        this.counts = new AtomicLongArray(bounds.length + 1);
    }

    void observe(double value) {
        int bucket = 0;
        while (bucket < bounds.length && value > bounds[bucket]) {
            bucket++;
        }
        counts.incrementAndGet(bucket);
        sum.add(value);
    }

    /** Appends the lines of Prometheus' text form. */
    void write(StringBuilder out, String name, String labels) {
        long below = 0;
        for (int bucket = 0; bucket <= bounds.length; bucket++) {
            below += counts.get(bucket);
            String bound = bucket == bounds.length ? "+Inf" : String.valueOf(bounds[bucket]);
            out.append(name)
                    .append("_bucket{")
                    .append(labels)
                    .append(",le=\"")
                    .append(bound)
                    .append("\"} ");
            out.append(below).append('\n');
        }
        out.append(name)
                .append("_sum{")
                .append(labels)
                .append("} ")
                .append(sum.sum())
                .append('\n');
        out.append(name)
                .append("_count{")
                .append(labels)
                .append("} ")
                .append(below)
                .append('\n');
    }
}
