package dev.finetune4j.lora.adapter.modules;

import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.BiasTraining;
import dev.finetune4j.lora.adapter.layer.AdaptedLinear;
import dev.finetune4j.lora.adapter.layer.AdapterLayer;
import dev.finetune4j.lora.adapter.layer.AdapterLayerSpec;
import dev.finetune4j.lora.adapter.layer.BaseModules;
import dev.finetune4j.lora.adapter.layer.InitContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A copy of the bias of a linear or a norm that is trained in its place.
 *
 * @param name the end of its name in a file: {@code bias}, or {@code base_layer.bias} where the linear has an adapter
 * @param bias shape (out), or that of the norm, float32
 */
public record TrainableBias(String name, Tensor bias) implements AdapterLayer {
    @Override
    public Map<String, Tensor> trained() {
        return Map.of(name, bias);
    }

    @Override
    public Linear wrap(Linear base) {
        return new Biased(base, bias);
    }

    @Override
    public RmsNorm wrap(RmsNorm base) {
        return base.with(base.weight(), bias);
    }

    /**
     * Plans the training of biases.
     *
     * @param adapted the linears that have an adapter
     * @param modulesToSave names of modules that are trained themselves, their biases with them
     */
    public static List<AdapterLayerSpec> specs(
            BaseModules base, BiasTraining bias, Set<String> adapted, List<String> modulesToSave) {
        Set<String> whole = Set.copyOf(ModulesToSave.matching(base.names(), modulesToSave));
        List<AdapterLayerSpec> specs = new ArrayList<>();
        base.linears().forEach((path, linear) -> {
            boolean trained = bias == BiasTraining.ALL || (bias == BiasTraining.LORA_ONLY && adapted.contains(path));
            if (trained && linear.bias() != null && !whole.contains(path)) {
                specs.add(new Spec(path, linear.bias(), adapted.contains(path)));
            }
        });
        base.norms().forEach((path, norm) -> {
            if (bias == BiasTraining.ALL && norm.bias() != null && !whole.contains(path)) {
                specs.add(new Spec(path, norm.bias(), false));
            }
        });
        return specs;
    }

    /** Plans the training of one bias, which is the base's. */
    private record Spec(String module, Tensor own, boolean adapted) implements AdapterLayerSpec {
        private String name() {
            return adapted ? "base_layer.bias" : "bias";
        }

        @Override
        public List<String> modules() {
            return List.of(module);
        }

        @Override
        public Map<String, long[]> shapes() {
            return Map.of(name(), own.shape());
        }

        @Override
        public AdapterLayer init(InitContext context) {
            return new TrainableBias(
                    name(), own.detach().to(ScalarType.Float, false, true, new MemoryFormatOptional()));
        }

        @Override
        public AdapterLayer of(Map<String, Tensor> tensors) {
            return new TrainableBias(name(), Objects.requireNonNull(tensors.get(name())));
        }
    }

    /** The linear with the trained bias: what it adds is the difference, so that any form of the weight can be beneath. */
    private static final class Biased extends AdaptedLinear {
        private final Tensor trained;

        Biased(Linear base, Tensor trained) {
            super(base);
            this.trained = trained;
        }

        @Override
        public Tensor forward(Tensor x) {
            Tensor y = base.forward(x);
            Tensor own = Tensors.as(Objects.requireNonNull(base.bias()), ScalarType.Float);
            return y.add(Tensors.as(trained.sub(own), Tensors.typeOf(y)));
        }

        @Override
        public Tensor bias() {
            return trained;
        }
    }
}
