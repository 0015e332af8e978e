package dev.finetune4j.benchmarks;

import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalDouble;
import java.util.Properties;

/**
 * What a machine can do at most, by {@code limits.c} or whatever else measured it: {@code DEVICE.TYPE.gflops} for
 * multiply-adds, {@code DEVICE.read.gbs} for reading memory, {@code DEVICE.copy.gbs} for reading and writing.
 */
record Limits(Properties values) {
    /** Nothing is known. */
    static Limits none() {
        return new Limits(new Properties());
    }

    static Limits read(Path file) throws IOException {
        Properties values = new Properties();
        try (Reader reader = Files.newBufferedReader(file)) {
            values.load(reader);
        }
        return new Limits(values);
    }

    /**
     * The shortest time in which the work could be done: that of its arithmetic or that of its traffic, whichever is longer.
     *
     * @return seconds; empty where the work has no such limit or a figure for it is missing
     */
    OptionalDouble seconds(Work work, String device, String type) {
        double arithmetic = part(work.flops(), device + "." + type + ".gflops");
        double reading = part(work.readBytes(), device + ".read.gbs");
        double copying = part(work.copiedBytes(), device + ".copy.gbs");
        double longest = Math.max(arithmetic, Math.max(reading, copying));
        return longest > 0 && Double.isFinite(longest) ? OptionalDouble.of(longest) : OptionalDouble.empty();
    }

    /** Infinite when the figure is missing. */
    private double part(double amount, String key) {
        String giga = values.getProperty(key);
        if (amount == 0) {
            return 0;
        }
        return giga == null ? Double.POSITIVE_INFINITY : amount / (Double.parseDouble(giga.trim()) * 1e9);
    }

    /** The figures of a device as a sentence's part; empty when there are none. */
    String describe(String device) {
        StringBuilder text = new StringBuilder();
        append(text, device + ".bf16.gflops", "GFLOP/s in bf16");
        append(text, device + ".fp32.gflops", "GFLOP/s in fp32");
        append(text, device + ".read.gbs", "GB/s read");
        append(text, device + ".copy.gbs", "GB/s copied (bytes read and written)");
        return text.toString();
    }

    private void append(StringBuilder text, String key, String unit) {
        String value = values.getProperty(key);
        if (value != null) {
            text.append(text.isEmpty() ? "" : ", ")
                    .append(value.trim())
                    .append(' ')
                    .append(unit);
        }
    }
}
