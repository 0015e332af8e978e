package dev.finetune4j.lora.export.gguf;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.GgmlType;
import dev.finetune4j.core.io.GgufMetadata;
import dev.finetune4j.core.io.GgufTensor;
import dev.finetune4j.core.io.LazyTensor;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.adapter.BiasTraining;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.PeftNames;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
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

    private final PretrainedFolder base;
    private final LoraSettings settings;
    private final Map<String, Tensor> stored;
    private final TensorConversion conversion;
    private final GgmlType type;
    private final double alpha;

    private GgufAdapterWriter(PretrainedFolder base, LoraSettings settings, Map<String, Tensor> stored, GgmlType type) {
        ModelConfig config = base.config();
        this.base = base;
        this.settings = settings;
        this.stored = stored;
        this.type = type;
        this.conversion = new TensorConversion(config, Architecture.of(config.modelType()));
        String first = modules().keySet().iterator().next();
        this.alpha = settings.scaleOf(first) * rank(first);
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

    /** The names of A and B by module. */
    private Map<String, String> modules() {
        Map<String, String> modules = new LinkedHashMap<>();
        stored.keySet().forEach(name -> {
            for (String end : List.of(A, EMBEDDING_A)) {
                if (name.endsWith(end)) {
                    modules.put(name.substring(PeftNames.PREFIX.length(), name.length() - end.length()), end);
                }
            }
        });
        return modules;
    }

    private Tensor tensor(String module, String end) {
        Tensor found = stored.get(PeftNames.PREFIX + module + end);
        if (found == null) {
            throw new IllegalStateException("the adapter has no " + module + end);
        }
        return found;
    }

    private long rank(String module) {
        String end = modules().get(module);
        return tensor(module, end == null ? A : end).size(0);
    }

    private void write(Path file) {
        GgufMetadata metadata = new GgufMetadata()
                .text(
                        "general.architecture",
                        Architecture.of(base.config().modelType()).id())
                .text("general.type", "adapter")
                .text("adapter.type", "lora")
                .text("general.name", "LoRA adapter")
                .count("general.alignment", 32)
                .count("general.file_type", GgufModelWriter.fileType(type))
                .count("general.quantization_version", 2)
                .number("adapter.lora.alpha", alpha);
        List<GgufTensor> tensors = new ArrayList<>();
        modules().forEach((module, end) -> add(tensors, module, end.equals(EMBEDDING_A)));
        GgufModelWriter.write(file, metadata, tensors);
    }

    private void add(List<GgufTensor> tensors, String module, boolean embedding) {
        String name = conversion.module(module) + ".weight";
        Tensor a = tensor(module, embedding ? EMBEDDING_A : A); // (r, in), or (r, V)
        Tensor b = tensor(module, embedding ? EMBEDDING_B : B); // (out, r)
        long[] shape = embedding ? new long[] {a.size(1), a.size(0)} : a.shape();
        tensors.add(lazy(name + ".lora_a", embedding ? a.t() : a, shape));
        double factor = settings.scaleOf(module) * a.size(0) / alpha;
        UnaryOperator<Tensor> rows = conversion.rowsOf(module);
        Tensor changed = rows.apply(b);
        tensors.add(lazy(
                name + ".lora_b",
                Math.abs(factor - 1) < NO_DIFFERENCE ? changed : changed.mul(new Scalar(factor)),
                b.shape()));
    }

    private GgufTensor lazy(String name, Tensor values, long[] shape) {
        return new GgufTensor(
                name,
                TensorConversion.fitting(type, shape),
                LazyTensor.of(ScalarType.Float, shape, () -> values.detach().to(ScalarType.Float)));
    }
}
