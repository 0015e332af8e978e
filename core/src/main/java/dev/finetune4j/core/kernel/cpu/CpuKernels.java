package dev.finetune4j.core.kernel.cpu;

import dev.finetune4j.core.DeviceException;
import dev.finetune4j.core.tensor.Threads;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;
import org.bytedeco.javacpp.Loader;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The kernels of the CPU, at the best level that the processor has or the one that the system property {@value #PROPERTY}
 * names: {@code portable}, {@code neon}, {@code avx2}, {@code avx512} or {@code avx512-bf16}; {@code off} leaves all to
 * libtorch. They share one set of threads, of which a call takes as many as {@link TorchRuntime#threads()} says. Sizes and
 * types are checked before anything goes down to native code, because nothing checks them there; what fails there, as for
 * lack of memory, comes out as an exception.
 *
 * <p>Thread-safe.
 */
public final class CpuKernels {
    /** The system property that forces a level. */
    public static final String PROPERTY = "finetune4j.cpu";

    private static final Logger LOG = LoggerFactory.getLogger(CpuKernels.class);
    private static final String OFF = "off";

    private final CpuLevel level;
    private final FourBitKernels fourBit;
    private final ElementKernels elements;
    private final TokenKernels tokens;
    private final GemmKernels products;
    private final AttentionKernels attention;

    private CpuKernels(CpuLevel level) {
        this.level = level;
        this.fourBit = new FourBitKernels(level);
        this.elements = new ElementKernels(level);
        this.tokens = new TokenKernels(level);
        this.products = new GemmKernels(level);
        this.attention = new AttentionKernels(level);
    }

    private static final class Holder {
        private static final @Nullable CpuKernels FOUND;
        /** Kept, because what a class's start throws comes out as an error, and only once. */
        private static final @Nullable DeviceException REFUSED;

        static {
            CpuKernels found = null;
            DeviceException refused = null;
            try {
                found = find(System.getProperty(PROPERTY, ""));
            } catch (DeviceException e) {
                refused = e;
            }
            FOUND = found;
            REFUSED = refused;
        }
    }

    /**
     * The kernels of this process, if there are any.
     *
     * @throws DeviceException if the system property asks for what this machine or this build does not have
     */
    public static Optional<CpuKernels> get() {
        DeviceException refused = Holder.REFUSED;
        if (refused != null) {
            throw new DeviceException(String.valueOf(refused.getMessage()), refused);
        }
        return Optional.ofNullable(Holder.FOUND);
    }

    /** The kernels of one level, if this machine runs it. */
    public static Optional<CpuKernels> of(CpuLevel level) {
        return get().isPresent() && CpuNative.cpu_runs(level.number)
                ? Optional.of(new CpuKernels(level))
                : Optional.empty();
    }

    private static @Nullable CpuKernels find(String wanted) {
        String name = wanted.trim().toLowerCase(Locale.ROOT);
        if (name.equals(OFF)) {
            LOG.info("CPU kernels are switched off; libtorch computes");
            return null;
        }
        TorchRuntime.start();
        try {
            CpuNative.load();
        } catch (UnsatisfiedLinkError | NoClassDefFoundError e) {
            String reason = CpuNative.failure().explain(List.of(e));
            if (!name.isEmpty()) {
                throw new DeviceException(
                        "the system property " + PROPERTY + " asks for " + name + ", but " + reason
                                + "; or leave the property out",
                        e);
            }
            if (CpuNative.isBuilt()) {
                LOG.warn("{}; libtorch computes, more slowly", reason);
            } else {
                LOG.info("no CPU kernels for {} in this build; libtorch computes, more slowly", Loader.getPlatform());
            }
            LOG.debug("the kernels' library", e);
            return null;
        }
        CpuLevel level = name.isEmpty() ? best() : forced(name);
        LOG.info("CPU kernels: {}", level.label());
        Threads.leaveToKernels();
        return new CpuKernels(level);
    }

    private static CpuLevel best() {
        CpuLevel best = CpuLevel.PORTABLE;
        for (CpuLevel level : CpuLevel.values()) {
            best = CpuNative.cpu_runs(level.number) ? level : best;
        }
        return best;
    }

    private static CpuLevel forced(String name) {
        String running = Arrays.stream(CpuLevel.values())
                .filter(level -> CpuNative.cpu_runs(level.number))
                .map(CpuLevel::label)
                .collect(Collectors.joining(", "));
        return CpuLevel.ofLabel(name)
                .filter(level -> CpuNative.cpu_runs(level.number))
                .orElseThrow(() -> new DeviceException("the system property " + PROPERTY + " asks for " + name
                        + ", which this machine does not run; it runs " + running + ", and " + OFF
                        + " leaves all to libtorch"));
    }

    /** The instructions that these kernels use. */
    public CpuLevel level() {
        return level;
    }

    /** The element-wise kernels. */
    public ElementKernels elements() {
        return elements;
    }

    /** The kernels for one token. */
    public TokenKernels tokens() {
        return tokens;
    }

    /** The products of dense matrices. */
    public GemmKernels products() {
        return products;
    }

    /** The attention of whole sequences. */
    public AttentionKernels attention() {
        return attention;
    }

    /** Whether bfloat16 numbers are multiplied as such, by the pair, and not widened first. */
    public boolean multipliesPairs() {
        return CpuNative.cpu_has_pairs(level.number);
    }

    /** The kernels for 4-bit weights. */
    public FourBitKernels fourBit() {
        return fourBit;
    }
}
