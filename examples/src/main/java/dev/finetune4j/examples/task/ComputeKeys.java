package dev.finetune4j.examples.task;

import dev.finetune4j.FineTuner;
import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.lora.parallel.DataParallel;
import org.jspecify.annotations.Nullable;

/**
 * What a task says of how it is computed.
 *
 * @param precision null for the device's fastest
 * @param onCpu whether no GPU is used
 * @param recomputes false when no block recomputes its activations
 */
record ComputeKeys(@Nullable Precision precision, boolean onCpu, boolean recomputes) {
    static ComputeKeys of(TaskFile task) {
        boolean bf16 = task.flag("bf16") || task.flag("pure_bf16");
        if (bf16 && task.flag("fp16")) {
            task.refuse("fp16", "is true beside bf16; take it out");
        } else if (task.flag("fp16")) {
            task.note(
                    "fp16",
                    "computed in bfloat16, which needs no scaled loss, and in float32 on processors that are faster in it");
        }
        return new ComputeKeys(
                bf16 ? Precision.BF16 : null,
                task.flag("use_cpu") || task.flag("no_cuda"),
                !task.flag("disable_gradient_checkpointing"));
    }

    /** How many processes train together, which torchrun's variables say. */
    static int processes() {
        return DataParallel.isLaunched() ? DataParallel.fromEnvironment().worldSize() : 1;
    }

    void apply(FineTuner.Builder builder) {
        if (precision != null) {
            builder.precision(precision);
        }
        if (onCpu) {
            builder.device(ComputeDevice.cpu());
        }
        if (!recomputes) {
            builder.activationCheckpointing(ActivationCheckpointing.none());
        }
        if (DataParallel.isLaunched()) {
            builder.dataParallel(DataParallel.fromEnvironment());
        }
    }
}
