package dev.finetune4j.lora.adapter.modules;

import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.nn.DenseEmbedding;
import dev.finetune4j.core.nn.DenseLinear;
import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.nn.TiedHead;
import dev.finetune4j.lora.adapter.layer.AdapterLayer;
import dev.finetune4j.lora.adapter.layer.AdapterLayerSpec;
import dev.finetune4j.lora.adapter.layer.AdapterShape;
import dev.finetune4j.lora.adapter.layer.BaseModules;
import dev.finetune4j.lora.adapter.layer.InitContext;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Supplier;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** Copies of whole modules that are trained in their place; PEFT's {@code modules_to_save}. */
public final class ModulesToSave {
    private static final String WEIGHT = "weight";
    private static final String BIAS = "bias";
    private static final AdapterShape.Footprint TRAINED = new AdapterShape.Trained();

    private ModulesToSave() {}

    /**
     * The modules that the names mean: those whose path, or that of a module around them, ends with a name.
     *
     * @throws SettingsException when a name means none
     */
    public static List<String> resolve(ModuleNames modules, List<String> names) {
        List<String> missed = names.stream()
                .filter(name -> modules.all().stream().noneMatch(path -> means(name, path)))
                .toList();
        if (!missed.isEmpty()) {
            throw new SettingsException(List.of("no module of the model is called " + String.join(", ", missed)
                    + ", to be trained whole; lm_head, embed_tokens and norm are usual"));
        }
        return matching(modules, names);
    }

    /** The same, where names that mean no module are passed over. */
    public static List<String> matching(ModuleNames modules, List<String> names) {
        return modules.all().stream()
                .filter(path -> names.stream().anyMatch(name -> means(name, path)))
                .toList();
    }

    /** Targets that would be trained whole too, which PEFT cannot load either. */
    public static List<String> conflicts(ModuleNames modules, Set<String> targets, List<String> names) {
        return matching(modules, names).stream()
                .filter(targets::contains)
                .map(path ->
                        "the module " + path + " is among the targets and the modules trained whole; leave it in one")
                .toList();
    }

    private static boolean means(String name, String path) {
        for (int end = path.length(); end > 0; end = path.lastIndexOf('.', end - 1)) {
            if (path.substring(0, end).endsWith(name)) {
                return true;
            }
        }
        return false;
    }

    public static List<AdapterLayerSpec> specs(BaseModules base, List<String> names) {
        List<AdapterLayerSpec> specs = new ArrayList<>();
        matching(base.names(), names).forEach(path -> specs.add(spec(base, path, WEIGHT)));
        return specs;
    }

    /**
     * Plans the copy of one module.
     *
     * @param weightName the end of its weight's name in a file
     */
    public static AdapterLayerSpec spec(BaseModules base, String path, String weightName) {
        Embedding embedding = base.embeddings().get(path);
        if (embedding != null) {
            long[] shape = {embedding.vocabulary(), embedding.width()};
            return new Spec(path, weightName, shape, embedding::denseWeight, null, null);
        }
        RmsNorm norm = base.norms().get(path);
        if (norm != null) {
            return new Spec(path, weightName, norm.weight().shape(), () -> copy(norm.weight()), norm.bias(), TRAINED);
        }
        Linear linear = Objects.requireNonNull(base.linears().get(path));
        if (linear.parameters().isEmpty() && !(linear instanceof TiedHead)) {
            throw new ModelFileException("the linear " + path + " is quantized, so no copy of it can be trained whole;"
                    + " adapt it with LoRA, or load the base without quantization");
        }
        long[] shape = {linear.outFeatures(), linear.inFeatures()};
        return new Spec(path, weightName, shape, linear::denseWeight, linear.bias(), TRAINED);
    }

    /** The name of a bias beside a weight. */
    private static String biasName(String weightName) {
        return weightName.substring(0, weightName.length() - WEIGHT.length()) + BIAS;
    }

    private static Tensor copy(Tensor tensor) {
        return tensor.detach().to(ScalarType.Float, false, true, new MemoryFormatOptional());
    }

    private record Spec(
            String path,
            String weightName,
            long[] shape,
            Supplier<Tensor> weight,
            @Nullable Tensor bias,
            AdapterShape.@Nullable Footprint footprint)
            implements AdapterLayerSpec {
        @Override
        public List<String> modules() {
            return List.of(path);
        }

        @Override
        public Map<String, long[]> shapes() {
            Map<String, long[]> shapes = new LinkedHashMap<>();
            shapes.put(weightName, shape);
            if (bias != null) {
                shapes.put(biasName(weightName), bias.shape());
            }
            return shapes;
        }

        @Override
        public AdapterLayer init(InitContext context) {
            return new Layer(weightName, weight.get(), bias == null ? null : copy(bias));
        }

        @Override
        public AdapterLayer of(Map<String, Tensor> tensors) {
            return new Layer(
                    weightName, Objects.requireNonNull(tensors.get(weightName)), tensors.get(biasName(weightName)));
        }
    }

    private record Layer(
            String weightName, Tensor weight, @Nullable Tensor bias) implements AdapterLayer {
        @Override
        public Map<String, Tensor> trained() {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            tensors.put(weightName, weight);
            if (bias != null) {
                tensors.put(biasName(weightName), bias);
            }
            return tensors;
        }

        @Override
        public Linear wrap(Linear base) {
            return new DenseLinear(weight, bias);
        }

        @Override
        public Embedding wrap(Embedding base) {
            return new DenseEmbedding(weight, base.scale());
        }

        @Override
        public RmsNorm wrap(RmsNorm base) {
            return base.with(weight, bias);
        }
    }
}
