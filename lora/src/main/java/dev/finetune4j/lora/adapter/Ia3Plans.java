package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The parts that (IA)³ settings ask for on a base. */
final class Ia3Plans {
    private Ia3Plans() {}

    /** @throws SettingsException when no module matches */
    static List<PartPlan> of(Ia3Settings settings, BaseModules base) {
        Set<String> targets =
                settings.modules().matchingSome(base.names(), base.names().linears(), settings.trainedWhole());
        List<PartPlan> plans = new ArrayList<>(TrainedModules.plans(base, settings.trainedWhole()));
        for (String path : targets) {
            Linear linear = Objects.requireNonNull(base.linears().get(path));
            plans.add(new OnLinear(path, linear, settings.rescalesInput(path)));
        }
        return plans;
    }

    private record OnLinear(String path, Linear linear, boolean ofInput) implements PartPlan {
        @Override
        public List<String> modules() {
            return List.of(path);
        }

        private long[] shape() {
            return ofInput ? new long[] {1, linear.inFeatures()} : new long[] {linear.outFeatures(), 1};
        }

        @Override
        public Map<String, long[]> shapes() {
            return Map.of(Ia3Part.FACTORS, shape());
        }

        @Override
        public ModulePart start(StartContext context) {
            return new Ia3Part(Tensors.ones(context.device(), ScalarType.Float, shape()), ofInput);
        }

        @Override
        public ModulePart of(Map<String, Tensor> tensors) {
            return new Ia3Part(Objects.requireNonNull(tensors.get(Ia3Part.FACTORS)), ofInput);
        }
    }
}
