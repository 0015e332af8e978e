package dev.finetune4j.examples.cli;

import dev.finetune4j.FineTuner;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.lora.plan.MemoryPlan;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** Says how much memory a training takes, and whether it fits. Loads nothing. */
@CommandLine.Command(
        name = "plan",
        description =
                "Says how much memory a training takes and whether it fits; exit code 3 when it does not. Loads nothing.",
        mixinStandardHelpOptions = true)
final class PlanCommand implements Callable<Integer> {
    /** The methods that differ in memory. */
    enum Method {
        QLORA,
        LORA,
        FULL
    }

    @CommandLine.Mixin
    private Output output = new Output();

    @CommandLine.Parameters(
            index = "0",
            paramLabel = "MODEL",
            description = "A folder, or the id of a model that a cache has.")
    private String model = "";

    @CommandLine.Option(
            names = "--method",
            description = "One of ${COMPLETION-CANDIDATES}; ${DEFAULT-VALUE} by default.")
    private Method method = Method.QLORA;

    @CommandLine.Option(names = "--rank", description = "Of the adapter; ${DEFAULT-VALUE} by default.")
    private int rank = 16;

    @CommandLine.Option(names = "--batch-size", description = "Examples in a batch; ${DEFAULT-VALUE} by default.")
    private int batchSize = 4;

    @CommandLine.Option(
            names = "--max-length",
            description = "Tokens of the longest example; ${DEFAULT-VALUE} by default.")
    private int maxLength = 2048;

    @CommandLine.Option(names = "--device", description = "cpu, cuda or cuda:N; the best one by default.")
    private @Nullable String device;

    @Override
    public Integer call() {
        FineTuner.Builder builder =
                FineTuner.builder().model(model).maxSequenceLength(maxLength).training(t -> t.batchSize(batchSize));
        switch (method) {
            case QLORA -> builder.qlora(q -> q.rank(rank));
            case LORA -> builder.lora(l -> l.rank(rank));
            case FULL -> builder.full();
            default -> throw new IllegalStateException(method.name());
        }
        if (device != null) {
            builder.device(Devices.parse(device));
        }
        MemoryPlan plan = builder.plan();
        output.out().println(output.isJson() ? json(plan) : plan.describe());
        return plan.fits() ? 0 : Finetune4j.DOES_NOT_FIT;
    }

    private static Json json(MemoryPlan plan) {
        Map<String, Long> items = new LinkedHashMap<>();
        plan.items().forEach(item -> items.put(item.name(), item.bytes()));
        return new Json()
                .put("device", plan.device())
                .put("rows", plan.rows())
                .put("tokens", plan.tokens())
                .put("bytes", items)
                .put("peak", plan.peak())
                .put("free", plan.memory().free())
                .put("fits", plan.fits())
                .put("advice", plan.advice());
    }

    /** The devices by PyTorch's names. */
    static final class Devices {
        private Devices() {}

        static ComputeDevice parse(String name) {
            if (name.equals("cpu")) {
                return ComputeDevice.cpu();
            }
            if (name.matches("cuda(:\\d{1,3})?")) {
                return ComputeDevice.cuda(name.length() > 5 ? Integer.parseInt(name.substring(5)) : 0);
            }
            throw new IllegalArgumentException("the device " + name + " is not known; expected cpu, cuda or cuda:N");
        }
    }
}
