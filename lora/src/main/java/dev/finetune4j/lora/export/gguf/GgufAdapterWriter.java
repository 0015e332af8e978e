package dev.finetune4j.lora.export.gguf;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.GgmlType;
import dev.finetune4j.core.io.GgufMetadata;
import dev.finetune4j.core.io.GgufTensor;
import dev.finetune4j.core.io.LazyTensor;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.ModelConfig.Experts;
import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.adapter.BiasTraining;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.PeftNames;
import dev.finetune4j.lora.adapter.lora.ExpertFactors;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.SortedMap;
import java.util.TreeMap;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Writes a LoRA adapter as a GGUF file, which llama.cpp applies to the GGUF file of its base. The file holds one alpha for all
 * modules; what differs from it goes into the B of a module.
 */
public final class GgufAdapterWriter {
    private static final String A = ".lora_A.weight";
    private static final String B = ".lora_B.weight";
    private static final String EMBEDDING_A = ".lora_embedding_A";
    private static final String EMBEDDING_B = ".lora_embedding_B";
    private static final double NO_DIFFERENCE = 1e-9;

    /**
     * What is added to a weight.
     *
     * @param a shape (r, in); of an embedding (r, vocabulary)
     * @param b shape (out, r)
     * @param scale factor on their product
     */
    private record Factors(Tensor a, Tensor b, double scale, boolean embedding) {
        long rank() {
            return a.size(0);
        }
    }

    private final ModelConfig config;
    private final Map<String, Factors> factors;
    private final TensorConversion conversion;
    private final GgmlType type;
    private final double alpha;

    private GgufAdapterWriter(PretrainedFolder base, LoraSettings settings, Map<String, Tensor> stored, GgmlType type) {
        this.config = base.config();
        this.type = type;
        this.conversion = new TensorConversion(config, Architecture.of(config.modelType()));
        this.factors = factors(settings, stored);
        ExpertFactors.of(settings, base.moduleNames(), stored)
                .forEach((path, ofExpert) ->
                        factors.put(path, new Factors(ofExpert.a(), ofExpert.b(), ofExpert.scale(), false)));
        Factors first = factors.values().iterator().next();
        this.alpha = first.scale() * first.rank();
    }

    /**
     * Writes an adapter.
     *
     * @param base the folder of the model that it was trained on
     * @param file made if absent; a GGUF file that is there is replaced, or stays when writing fails
     * @throws SettingsException naming all of the adapter that such a file cannot hold
     * @throws FineTune4jException when the file cannot be written
     * @throws IllegalStateException when the adapter is closed
     */
    public static void write(PretrainedFolder base, PeftAdapter adapter, GgmlType type, Path file) {
        GgufModelWriter.refuse(file, differences(adapter, base));
        try (TensorScope scope = new TensorScope()) {
            new GgufAdapterWriter(base, (LoraSettings) adapter.settings(), adapter.stored(), type).write(file);
        }
    }

    /**
     * What of an adapter on a base llama.cpp does not apply.
     *
     * @throws IllegalStateException when the adapter is closed
     */
    public static List<String> differences(PeftAdapter adapter, PretrainedFolder base) {
        List<String> found = new ArrayList<>();
        if (!(adapter.settings() instanceof LoraSettings lora)) {
            found.add("llama.cpp applies LoRA only, and this is another kind of adapter");
            return found;
        }
        if (lora.useDora()) {
            found.add("DoRA's magnitudes");
        }
        if (lora.loraBias() || lora.bias() != BiasTraining.NONE) {
            found.add("trained biases");
        }
        if (!lora.modulesToSave().isEmpty()) {
            found.add("modules that were trained whole (" + String.join(", ", lora.modulesToSave()) + ")");
        }
        if (!lora.trainableTokenIndices().isEmpty()) {
            found.add("rows of tokens that were trained themselves");
        }
        Architecture.of(base.config().modelType()).withoutFactors().stream()
                .filter(module -> adapter.parameters().keySet().stream().anyMatch(name -> name.contains(module)))
                .forEach(module ->
                        found.add("factors on " + module + ", at which llama.cpp stops in models of this type"));
        if (base.config().projections().tiedHead()) {
            for (String path : List.of(ModuleNames.EMBEDDING, ModuleNames.OUTPUT_HEAD)) {
                if (adapter.parameters().keySet().stream().anyMatch(name -> name.startsWith(PeftNames.PREFIX + path))) {
                    found.add(
                            "factors on " + path + ", whose weight is embedding and head at once in this model, so that"
                                    + " they would change both");
                }
            }
        }
        return found;
    }

    /** The factors of single modules, by path. */
    private static Map<String, Factors> factors(LoraSettings settings, Map<String, Tensor> stored) {
        Map<String, Factors> factors = new LinkedHashMap<>();
        stored.forEach((name, a) -> {
            boolean embedding = name.endsWith(EMBEDDING_A);
            if ((embedding || name.endsWith(A)) && !ExpertFactors.isStacked(name)) {
                String start = name.substring(0, name.length() - (embedding ? EMBEDDING_A : A).length());
                Tensor b = stored.get(start + (embedding ? EMBEDDING_B : B));
                if (b == null) {
                    throw new IllegalStateException("the adapter has " + name + " without its B");
                }
                String module = start.substring(PeftNames.PREFIX.length());
                factors.put(module, new Factors(a, b, settings.scaleOf(module), embedding));
            }
        });
        return factors;
    }

    private void write(Path file) {
        GgufMetadata metadata = new GgufMetadata()
                .text(
                        "general.architecture",
                        Architecture.of(config.modelType()).id())
                .text("general.type", "adapter")
                .text("adapter.type", "lora")
                .text("general.name", "LoRA adapter")
                .count("general.alignment", 32)
                .count("general.file_type", GgufModelWriter.fileType(type))
                .count("general.quantization_version", 2)
                .number("adapter.lora.alpha", alpha);
        List<GgufTensor> tensors = new ArrayList<>();
        Map<String, SortedMap<Integer, Factors>> experts = new LinkedHashMap<>();
        factors.forEach((module, found) -> {
            String name = conversion.module(module) + ".weight";
            OptionalInt expert = TensorConversion.indexInStack(module);
            if (expert.isPresent()) {
                experts.computeIfAbsent(name, none -> new TreeMap<>()).put(expert.getAsInt(), found);
            } else {
                add(tensors, module, name, found);
            }
        });
        experts.forEach((name, found) -> addStack(tensors, name, found));
        GgufModelWriter.write(file, metadata, tensors);
    }

    private void add(List<GgufTensor> tensors, String module, String name, Factors found) {
        Tensor a = found.embedding() ? found.a().t() : found.a();
        tensors.add(tensor(name + ".lora_a", List.of(lazy(a)), false));
        Tensor changed = scaled(conversion.rowsOf(module).apply(found.b()), found, found.rank());
        tensors.add(tensor(name + ".lora_b", List.of(lazy(changed)), false));
    }

    /** The factors of all experts as one stack: of those that have none or fewer columns, filled up with zeros. */
    private void addStack(List<GgufTensor> tensors, String name, SortedMap<Integer, Factors> found) {
        Experts experts = config.layerTypes().stream()
                .map(LayerType::experts)
                .filter(Objects::nonNull)
                .findFirst()
                .orElseThrow();
        long rank = found.values().stream().mapToLong(Factors::rank).max().orElseThrow();
        Factors any = found.values().iterator().next();
        Tensor noA = any.a().new_zeros(rank, any.a().size(1));
        Tensor noB = any.b().new_zeros(any.b().size(0), rank);
        List<LazyTensor> a = new ArrayList<>();
        List<LazyTensor> b = new ArrayList<>();
        for (int i = 0; i < experts.count(); i++) {
            Factors own = found.get(i);
            long missing = own == null ? 0 : rank - own.rank();
            a.add(lazy(own == null ? noA : torch.constant_pad_nd(own.a(), new long[] {0, 0, 0, missing})));
            b.add(lazy(own == null ? noB : scaled(torch.constant_pad_nd(own.b(), new long[] {0, missing}), own, rank)));
        }
        tensors.add(tensor(name + ".lora_a", a, true));
        tensors.add(tensor(name + ".lora_b", b, true));
    }

    /** B with what its scale differs from that which llama.cpp gives a stored rank. */
    private Tensor scaled(Tensor b, Factors found, long storedRank) {
        double factor = found.scale() * storedRank / alpha;
        return Math.abs(factor - 1) < NO_DIFFERENCE ? b : b.mul(new Scalar(factor));
    }

    private GgufTensor tensor(String name, List<LazyTensor> parts, boolean stacked) {
        return new GgufTensor(name, TensorConversion.fitting(type, parts.get(0).shape()), parts, stacked);
    }

    private static LazyTensor lazy(Tensor values) {
        return LazyTensor.of(
                ScalarType.Float, values.shape(), () -> values.detach().to(ScalarType.Float));
    }
}
