package dev.finetune4j;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.OutOfDeviceMemoryException;
import dev.finetune4j.core.message.ByteCount;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.plan.estimate.MemoryPlanner;
import dev.finetune4j.quant.QuantSettings;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Refuses what is known not to fit before memory is touched. On the CPU that is the only moment: Linux hands out memory that
 * it does not have, and ends the whole process when it is used. On a GPU running out is an error that can be caught, so there
 * only what is exact is refused: all that does not depend on the batch.
 *
 * @param ignored whether the user wants to try all the same
 */
record MemoryCheck(boolean ignored) {
    private static final Logger LOG = LoggerFactory.getLogger(MemoryCheck.class);
    private static final String ALL_THE_SAME = "; to try it all the same, call ignoreMemoryPlan()";

    /** @throws OutOfDeviceMemoryException when the plan does not fit and that is not ignored */
    void training(MemoryPlan plan, ComputeDevice device) {
        if (plan.fits()) {
            LOG.debug("memory: {}", plan);
            return;
        }
        boolean certain = device.kind() == ComputeDevice.Kind.CPU
                || plan.bytes().resident() > plan.memory().free();
        if (certain && !ignored) {
            throw refused(device, "training", plan.peak(), plan.memory(), plan.advice());
        }
        LOG.warn("the training may run out of memory: {}", plan);
    }

    /**
     * The same for a model that is loaded to be used.
     *
     * @param quantization form of the weights; null to leave them as they are in the folder
     * @throws OutOfDeviceMemoryException when the weights are more than what is free and that is not ignored
     */
    void loading(
            PretrainedFolder folder, @Nullable QuantSettings quantization, Placement placement, DeviceMemory memory) {
        long weights = MemoryPlanner.weightBytes(folder, quantization, placement);
        if (weights <= memory.free()) {
            return;
        }
        if (!ignored) {
            String smaller = quantization == null && !folder.files().isFourBit()
                    ? "keep it in 4 bits with LanguageModel.loader(folder).quantize(QuantSettings.nf4()), "
                    : "";
            throw refused(
                    placement.device(),
                    "loading the model in " + folder.path(),
                    weights,
                    memory,
                    smaller + "take a smaller model, or free memory that other programs hold");
        }
        LOG.warn(
                "the weights of {} take {}, but {} has only {}",
                folder.path(),
                ByteCount.text(weights),
                placement.device(),
                memory);
    }

    private static OutOfDeviceMemoryException refused(
            ComputeDevice device, String action, long needed, DeviceMemory memory, String advice) {
        return OutOfDeviceMemoryException.planned(
                device.toString(), action, needed, memory.free(), memory.total(), advice + ALL_THE_SAME);
    }
}
