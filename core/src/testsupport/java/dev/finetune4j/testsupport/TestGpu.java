package dev.finetune4j.testsupport;

import dev.finetune4j.core.ComputeDevice;

/** The GPU of the tests that need one: the first, or the one whose number {@code -Dfinetune4j.gpu} says. */
public final class TestGpu {
    private TestGpu() {}

    public static ComputeDevice device() {
        return ComputeDevice.cuda(Integer.getInteger("finetune4j.gpu", 0));
    }
}
