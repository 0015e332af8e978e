package dev.finetune4j.core;

import dev.finetune4j.core.message.ByteCount;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * The memory of a device did not suffice, or was known beforehand not to suffice ({@link #planned}). What the failed work held has been freed by the time this arrives, and the process
 * can go on: the same work can be tried again with less, for which {@link #advice()} says what helps.
 */
public class OutOfDeviceMemoryException extends DeviceException {
    private static final long serialVersionUID = 1L;
    private static final String USUAL_ADVICE =
            "use smaller batches or shorter texts, keep the base in 4 bits, or free memory";

    private final String device;
    private final String action;
    private final @Nullable Long requested;
    private final @Nullable Long free;
    private final @Nullable Long total;
    private final String advice;

    /**
     * @param device which device, such as {@code cuda:0}
     * @param action what was being done, such as {@code training step 3 with 4 x 2048 tokens}
     * @param requested bytes that could not be had; null when libtorch did not say
     * @param free bytes that were free once the work had been given up; null when not known
     * @param total bytes that the device has; null when not known
     * @param cause what libtorch said
     */
    public OutOfDeviceMemoryException(
            String device,
            String action,
            @Nullable Long requested,
            @Nullable Long free,
            @Nullable Long total,
            Throwable cause) {
        this(
                describe(device, action, requested, free, total),
                device,
                action,
                requested,
                free,
                total,
                USUAL_ADVICE,
                cause);
    }

    private OutOfDeviceMemoryException(
            String what,
            String device,
            String action,
            @Nullable Long requested,
            @Nullable Long free,
            @Nullable Long total,
            String advice,
            @Nullable Throwable cause) {
        super(what + "; " + advice, cause);
        this.device = device;
        this.action = action;
        this.requested = requested;
        this.free = free;
        this.total = total;
        this.advice = advice;
    }

    /**
     * Work that was not begun because it is known not to fit.
     *
     * @param action what was to be done, such as {@code training}
     * @param needed bytes that it takes
     * @param free bytes that the device has free
     * @param total bytes that the device has
     * @param advice what to change
     */
    public static OutOfDeviceMemoryException planned(
            String device, String action, long needed, long free, long total, String advice) {
        String what = action + " takes more memory than " + device + " has (" + ByteCount.text(needed) + ", and "
                + ByteCount.text(free) + " of " + ByteCount.text(total)
                + " are free), so it was not begun and nothing was loaded";
        return new OutOfDeviceMemoryException(what, device, action, needed, free, total, advice, null);
    }

    private static String describe(
            String device, String action, @Nullable Long requested, @Nullable Long free, @Nullable Long total) {
        StringBuilder text = new StringBuilder("out of memory on " + device + " while " + action);
        if (requested != null) {
            text.append(": ").append(ByteCount.text(requested)).append(" more could not be had");
        }
        if (free != null && total != null) {
            text.append(" (without this work ").append(ByteCount.text(free)).append(" of ");
            text.append(ByteCount.text(total)).append(" are free)");
        }
        return text.toString();
    }

    /** The same with advice that knows the work better. */
    public OutOfDeviceMemoryException withAdvice(String better) {
        OutOfDeviceMemoryException advised = new OutOfDeviceMemoryException(
                describe(device, action, requested, free, total), device, action, requested, free, total, better, this);
        advised.setStackTrace(getStackTrace());
        return advised;
    }

    /** Which device, such as {@code cuda:0}. */
    public String device() {
        return device;
    }

    /** What was being done. */
    public String action() {
        return action;
    }

    /** Bytes that could not be had, or that the work takes in all if it was not begun; empty when libtorch did not say. */
    public OptionalLong requestedBytes() {
        return optional(requested);
    }

    /** Bytes that were free once the work had been given up, or before it was to begin; empty when not known. */
    public OptionalLong freeBytes() {
        return optional(free);
    }

    /** Bytes that the device has; empty when not known. */
    public OptionalLong totalBytes() {
        return optional(total);
    }

    /** What to change before the next try. */
    public String advice() {
        return advice;
    }

    private static OptionalLong optional(@Nullable Long value) {
        return value == null ? OptionalLong.empty() : OptionalLong.of(value);
    }
}
