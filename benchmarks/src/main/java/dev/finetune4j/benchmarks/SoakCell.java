package dev.finetune4j.benchmarks;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a long training on rows of many lengths leaves behind: memory of process and GPU after a quarter of the steps, when all
 * shapes have been seen, and after the last.
 */
final class SoakCell implements TrainingListener {
    private static final double MEBIBYTE = 1 << 20;
    private static final int SAMPLES = 20;

    private final ComputeDevice device;
    private final List<Sample> samples = new ArrayList<>();
    private int every = 1;

    /**
     * Memory after a step, in MiB.
     *
     * @param resident of the process
     * @param allocated in tensors on the GPU
     * @param reserved by libtorch from the driver
     */
    private record Sample(int step, double resident, double allocated, double reserved) {}

    SoakCell(ComputeDevice device) {
        this.device = device;
    }

    @Override
    public void onStart(int totalSteps, long trainableParameters) {
        every = Math.max(1, totalSteps / SAMPLES);
    }

    @Override
    public void onStep(StepReport report, Control control) {
        if (report.step() % every == 0) {
            boolean gpu = device.kind() == ComputeDevice.Kind.CUDA;
            CudaMemory memory = gpu ? CudaMemory.of(device) : new CudaMemory(0, 0, 0, 0);
            samples.add(new Sample(
                    report.step(),
                    TorchRuntime.residentBytes() / MEBIBYTE,
                    memory.allocated() / MEBIBYTE,
                    memory.reserved() / MEBIBYTE));
        }
    }

    /** Growth from the first quarter to the end. */
    Map<String, Object> growth() {
        Sample early = samples.get(samples.size() / 4);
        Sample last = samples.get(samples.size() - 1);
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("from_step", early.step());
        line.put("to_step", last.step());
        line.put("resident_mib", Math.round(last.resident()));
        line.put("resident_growth_mib", Math.round(last.resident() - early.resident()));
        line.put("allocated_growth_mib", Math.round(last.allocated() - early.allocated()));
        line.put("reserved_mib", Math.round(last.reserved()));
        line.put("reserved_growth_mib", Math.round(last.reserved() - early.reserved()));
        return line;
    }
}
