package dev.finetune4j.core.message;

import java.util.Locale;

/** Writes numbers of bytes for people: {@code 512 B}, {@code 3.4 KiB}, {@code 11.3 GiB}. Stateless. */
public final class ByteCount {
    private static final String[] UNITS = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

    private ByteCount() {}

    /** The number with one digit behind the point, in the largest unit of which there is at least one. */
    public static String text(long bytes) {
        if (Math.abs(bytes) < 1024) {
            return bytes + " B";
        }
        double value = bytes;
        int unit = -1;
        while (Math.abs(value) >= 1024 && unit + 1 < UNITS.length) {
            value /= 1024;
            unit++;
        }
        return String.format(Locale.ROOT, "%.1f %s", value, UNITS[unit]);
    }
}
