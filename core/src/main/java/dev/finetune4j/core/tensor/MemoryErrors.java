package dev.finetune4j.core.tensor;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceException;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.OutOfDeviceMemoryException;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Tells libtorch's lack of memory from its other errors. The binding throws all of them as {@link RuntimeException} with the
 * text of the native exception; one that passes through a Java callback of the backward pass keeps its text and nothing else.
 */
public final class MemoryErrors {
    private static final Logger LOG = LoggerFactory.getLogger(MemoryErrors.class);
    private static final Pattern SIGNS = Pattern.compile("CUDA out of memory"
            + "|CUDA error: out of memory"
            + "|CUDA_ERROR_OUT_OF_MEMORY"
            + "|CUBLAS_STATUS_ALLOC_FAILED"
            + "|CUDNN_STATUS_ALLOC_FAILED"
            + "|DefaultCPUAllocator: (?:can't allocate|not enough) memory"
            + "|std::bad_alloc");
    private static final Pattern BYTES =
            Pattern.compile("tried to allocate (?<bytes>\\d+) bytes", Pattern.CASE_INSENSITIVE);
    private static final Pattern UNITS =
            Pattern.compile("tried to allocate (?<number>[0-9.]+) (?<unit>[KMGT])iB", Pattern.CASE_INSENSITIVE);

    private MemoryErrors() {}

    /**
     * The exception to throw in the place of one that ended some work: the typed one when memory ran out, otherwise the same.
     * Call it when the scopes of the work are closed. On a GPU it gives the memory that the allocator holds without using it
     * back to the driver.
     *
     * @param action what was being done, such as {@code loading the model}
     */
    public static RuntimeException typed(RuntimeException thrown, ComputeDevice device, String action) {
        if (thrown instanceof OutOfDeviceMemoryException || !ranOut(thrown)) {
            return thrown;
        }
        @Nullable DeviceMemory memory = recover(device);
        return new OutOfDeviceMemoryException(
                device.toString(),
                action,
                requested(text(thrown)),
                memory == null ? null : memory.free(),
                memory == null ? null : memory.total(),
                thrown);
    }

    /** Whether memory ran out, by the exception's own text or that of one of its causes. */
    public static boolean ranOut(Throwable thrown) {
        return SIGNS.matcher(text(thrown)).find();
    }

    private static String text(Throwable thrown) {
        StringBuilder text = new StringBuilder();
        for (Throwable cause = thrown; cause != null; cause = cause.getCause()) {
            text.append(cause.getMessage()).append('\n');
        }
        return text.toString();
    }

    /** The bytes that the text says were asked for, or null. */
    static @Nullable Long requested(String text) {
        Matcher bytes = BYTES.matcher(text);
        if (bytes.find()) {
            String digits = bytes.group("bytes");
            return digits.length() > 18 ? null : Long.valueOf(digits);
        }
        Matcher units = UNITS.matcher(text);
        if (!units.find()) {
            return null;
        }
        int power = 1 + "KMGT".indexOf(units.group("unit").toUpperCase(Locale.ROOT));
        return Math.round(Double.parseDouble(units.group("number")) * Math.pow(1024, power));
    }

    private static @Nullable DeviceMemory recover(ComputeDevice device) {
        try {
            return FreeMemory.reclaimed(device);
        } catch (DeviceException | UnsatisfiedLinkError | NoClassDefFoundError e) {
            LOG.debug("the free memory of {} is not known: {}", device, e.getMessage());
            return null;
        }
    }
}
