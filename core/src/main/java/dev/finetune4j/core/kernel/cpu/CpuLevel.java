package dev.finetune4j.core.kernel.cpu;

import java.util.Locale;
import java.util.Optional;

/** The sets of vector instructions for which there are kernels, from the plainest. */
public enum CpuLevel {
    /** Plain C++. */
    PORTABLE(0),
    /** 64-bit ARM. */
    NEON(1),
    /** x86-64 with AVX2, FMA and F16C. */
    AVX2(2),
    /** x86-64 with AVX-512 F, BW, VL and DQ. */
    AVX512(3),
    /** The same with products of bfloat16 numbers. */
    AVX512_BF16(4);

    /** The number in {@code levels.h}. */
    final int number;

    CpuLevel(int number) {
        this.number = number;
    }

    /** The name in the system property {@value CpuKernels#PROPERTY}. */
    public String label() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    static Optional<CpuLevel> ofLabel(String label) {
        for (CpuLevel level : values()) {
            if (level.label().equals(label)) {
                return Optional.of(level);
            }
        }
        return Optional.empty();
    }
}
