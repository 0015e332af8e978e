package dev.finetune4j.benchmarks;

import dev.finetune4j.core.kernel.cuda.CudaMemory;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.cuda.cudart.CUctx_st;
import org.bytedeco.cuda.cupti.CUpti_Activity;
import org.bytedeco.cuda.cupti.CUpti_ActivityKernel11;
import org.bytedeco.cuda.cupti.CUpti_ActivityMemcpy6;
import org.bytedeco.cuda.cupti.CUpti_ActivityMemset4;
import org.bytedeco.cuda.cupti.CUpti_BuffersCallbackCompleteFunc;
import org.bytedeco.cuda.cupti.CUpti_BuffersCallbackRequestFunc;
import org.bytedeco.cuda.global.cupti;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerPointer;
import org.bytedeco.javacpp.SizeTPointer;
import org.jspecify.annotations.Nullable;

/**
 * Writes down all kernels, copies and settings of memory that a GPU does, each kernel of a captured graph too, by the activity
 * records of <a href="https://docs.nvidia.com/cupti/">CUPTI</a>. There is one for each process, because CUPTI has one owner.
 *
 * <p>It must be on while graphs are captured: CUPTI may not know the kernels of a graph that was made before. The time of work
 * that is not to be written down is best measured while it is {@link #off()}.
 */
final class KernelTrace {
    private static final long BUFFER_BYTES = 8L << 20;
    private static final int[] ACTIVITIES = {
        cupti.CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, cupti.CUPTI_ACTIVITY_KIND_MEMCPY, cupti.CUPTI_ACTIVITY_KIND_MEMSET
    };
    private static final int TO_DEVICE = 1;
    private static final int TO_HOST = 2;
    private static final int WITHIN_DEVICE = 8;

    private static @Nullable KernelTrace ofProcess;

    /** CUPTI is missing or refuses; the message says what was looked for or done. */
    static final class UnavailableException extends RuntimeException {
        private static final long serialVersionUID = 1;

        UnavailableException(String message, @Nullable Throwable cause) {
            super(message, cause);
        }
    }

    /** Gives CUPTI memory, in whichever thread launches a kernel. */
    private static final class Request extends CUpti_BuffersCallbackRequestFunc {
        @Override
        @SuppressWarnings("rawtypes") // The binding declares it so.
        public void call(PointerPointer buffer, SizeTPointer size, SizeTPointer records) {
            // Not a pointer that the caller's scope would free; null tells CUPTI to drop records, which it counts.
            Pointer memory = Pointer.malloc(BUFFER_BYTES);
            buffer.put(0, memory);
            size.put(0, memory == null || memory.isNull() ? 0 : BUFFER_BYTES);
            records.put(0, 0);
        }
    }

    /** Takes a buffer back with the records in it, in a thread of CUPTI. */
    private static final class Complete extends CUpti_BuffersCallbackCompleteFunc {
        private final transient KernelTrace owner;

        Complete(KernelTrace owner) {
            this.owner = owner;
        }

        @Override
        public void call(CUctx_st context, int stream, BytePointer buffer, long size, long validSize) {
            owner.read(buffer, validSize);
            Pointer.free(buffer);
        }
    }

    // CUPTI has their addresses to the end of the process.
    private final Request request = new Request();
    private final Complete complete = new Complete(this);
    private final List<TracedKernel> records = new ArrayList<>();
    private boolean keeping;
    private long since;
    private @Nullable String failure;

    private KernelTrace() {}

    /**
     * The trace of this process, switched on; to be called before work is captured as graphs.
     *
     * @throws UnavailableException if CUPTI is missing or refuses
     */
    static synchronized KernelTrace ofProcess() {
        KernelTrace known = ofProcess;
        if (known == null) {
            load();
            known = new KernelTrace();
            check(cupti.cuptiActivityRegisterCallbacks(known.request, known.complete), "registering for records");
            ofProcess = known;
        }
        known.on();
        return known;
    }

    private static void load() {
        try {
            Loader.load(cupti.class);
        } catch (LinkageError e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            throw new UnavailableException(
                    "CUPTI cannot be loaded: jnicupti (in org.bytedeco:cuda with the platform as classifier) and"
                            + " libcupti.so.13 (in extras/CUPTI/lib64 of the CUDA 13 toolkit) were looked for in the class"
                            + " path, java.library.path and LD_LIBRARY_PATH: "
                            + cause.getMessage(),
                    e);
        }
    }

    /** The version of the running CUPTI, such as 130001 for that of CUDA 13.0. */
    static int version() {
        int[] version = new int[1];
        check(cupti.cuptiGetVersion(version), "asking for the version");
        return version[0];
    }

    /** Switches it on; records go nowhere before {@link #begin()}. */
    void on() {
        for (int activity : ACTIVITIES) {
            check(cupti.cuptiActivityEnable(activity), "switching activity " + activity + " on");
        }
    }

    /** Waits for the GPU and switches it off. */
    void off() {
        CudaMemory.synchronize();
        check(cupti.cuptiActivityFlushAll(cupti.CUPTI_ACTIVITY_FLAG_FLUSH_FORCED), "asking for the records");
        for (int activity : ACTIVITIES) {
            check(cupti.cuptiActivityDisable(activity), "switching activity " + activity + " off");
        }
    }

    /** Begins to keep records, of what is asked of the GPU from now on. It must be off. */
    void begin() {
        long[] now = new long[1];
        check(cupti.cuptiGetTimestamp(now), "asking for the time");
        synchronized (records) {
            records.clear();
            // Buffers of earlier work may still be on their way.
            since = now[0];
            keeping = true;
        }
        on();
    }

    /**
     * Waits for the GPU and switches it off.
     *
     * @return what the GPU did since {@link #begin()}, in no order
     * @throws UnavailableException if records are missing or cannot be read
     */
    List<TracedKernel> end() {
        off();
        try (SizeTPointer dropped = new SizeTPointer(1)) {
            dropped.put(0, 0);
            check(cupti.cuptiActivityGetNumDroppedRecords(null, 0, dropped), "asking for lost records");
            if (dropped.get() > 0) {
                throw new UnavailableException("CUPTI lost " + dropped.get() + " records: trace fewer steps", null);
            }
        }
        synchronized (records) {
            keeping = false;
            if (failure != null) {
                throw new UnavailableException(failure, null);
            }
            return List.copyOf(records);
        }
    }

    private void read(BytePointer buffer, long validSize) {
        synchronized (records) {
            if (!keeping) {
                return;
            }
            // An exception cannot leave a callback.
            try {
                CUpti_Activity record = new CUpti_Activity((Pointer) null);
                int result = cupti.cuptiActivityGetNextRecord(buffer, validSize, record);
                while (result == cupti.CUPTI_SUCCESS) {
                    keep(record);
                    result = cupti.cuptiActivityGetNextRecord(buffer, validSize, record);
                }
                if (result != cupti.CUPTI_ERROR_MAX_LIMIT_REACHED) {
                    check(result, "reading a record");
                }
            } catch (RuntimeException | LinkageError e) {
                failure = e.getMessage() == null ? e.toString() : e.getMessage();
            }
        }
    }

    /**
     * Keeps a record. Newer versions add fields behind those that are read here, which have stood in their places since
     * CUDA 11: begin and end in bytes 16 and 24 of all three, a kernel's name in byte 104.
     */
    private void keep(CUpti_Activity record) {
        TracedKernel kept;
        switch (record.kind()) {
            case cupti.CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, cupti.CUPTI_ACTIVITY_KIND_KERNEL -> {
                CUpti_ActivityKernel11 kernel = new CUpti_ActivityKernel11(record);
                BytePointer name = kernel.name();
                kept = new TracedKernel(
                        name == null || name.isNull() ? "without a name" : name.getString(),
                        kernel.start(),
                        kernel.end());
            }
            case cupti.CUPTI_ACTIVITY_KIND_MEMCPY -> {
                CUpti_ActivityMemcpy6 copy = new CUpti_ActivityMemcpy6(record);
                kept = new TracedKernel("[memory copied " + direction(copy.copyKind()) + "]", copy.start(), copy.end());
            }
            case cupti.CUPTI_ACTIVITY_KIND_MEMSET -> {
                CUpti_ActivityMemset4 set = new CUpti_ActivityMemset4(record);
                kept = new TracedKernel("[memory set]", set.start(), set.end());
            }
            default -> {
                return;
            }
        }
        if (kept.start() == 0 || kept.end() < kept.start()) {
            throw new IllegalStateException("CUPTI gives no time for " + kept);
        }
        if (kept.start() >= since) {
            records.add(kept);
        }
    }

    private static String direction(int kind) {
        return switch (kind) {
            case TO_DEVICE -> "to the GPU";
            case TO_HOST -> "to the host";
            case WITHIN_DEVICE -> "on the GPU";
            default -> "otherwise, kind " + kind;
        };
    }

    private static void check(int result, String doing) {
        if (result != cupti.CUPTI_SUCCESS) {
            BytePointer text = new BytePointer((Pointer) null);
            cupti.cuptiGetResultString(result, text);
            throw new UnavailableException(
                    "CUPTI (libcupti.so.13) failed in " + doing + ": error " + result + ", "
                            + (text.isNull() ? "unknown" : text.getString()),
                    null);
        }
    }
}
