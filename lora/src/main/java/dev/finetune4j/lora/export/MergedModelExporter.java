package dev.finetune4j.lora.export;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.LazyTensor;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.DenseEmbedding;
import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.LinearSpec;
import dev.finetune4j.core.nn.ModuleTransform;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.nn.TiedHead;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A model with an adapter merged into its weights. The weights come from the checkpoint, not from a base in memory, which
 * may be quantized: each is read, merged in float32 and rounded once, one at a time. Only when the checkpoint itself is in 4
 * bits, the adapter is merged into what the codes stand for.
 */
public final class MergedModelExporter {
    /** How much the log-probability of a likely token may change: what rounding each weight once leaves, and no more. */
    private static final Map<Precision, Double> ALLOWED = Map.of(Precision.FP32, 1e-3, Precision.BF16, 1.0);

    private final PretrainedFolder source;
    private final WeightSource weights;
    private final ModuleTransform merging;
    private final Placement placement;
    private final LinearFactory factory;
    private final ScalarType type;
    private final Map<String, LazyTensor> tensors = new LinkedHashMap<>();

    private MergedModelExporter(
            PretrainedFolder source,
            WeightSource weights,
            ModuleTransform merging,
            ComputeDevice device,
            Precision precision) {
        this.source = source;
        this.weights = weights;
        this.merging = merging;
        this.placement = new Placement(device, Precision.FP32, Precision.FP32);
        this.factory =
                source.files().isFourBit() ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
        this.type = Tensors.typeOf(precision);
    }

    /**
     * Merges an adapter into a model and writes the result.
     *
     * @param files the small files, and the base's checkpoint
     * @param record what {@code finetune4j.json} shall say
     * @param folder made if absent; not the checkpoint's own. The model or adapter that is there is replaced as a whole, or
     *     stays when writing fails
     * @param writer of the format
     * @param options whether 4 bits are merged into, and on which prompts the result is checked
     * @throws IllegalStateException when the adapter is of a kind that cannot be merged, or is closed
     * @throws SettingsException when the folder is the checkpoint's own, or the model has no place for a bias of the adapter
     * @throws FineTune4jException when the folder cannot be written
     */
    public static void write(
            ChatFiles files,
            JsonNode record,
            PeftAdapter adapter,
            Path folder,
            ModelWriter writer,
            MergeOptions options) {
        PretrainedFolder source = files.source();
        requireOther(source.path(), folder);
        requireDense(source, options);
        try (WeightSource weights = source.files().weights();
                TensorScope scope = new TensorScope()) {
            ComputeDevice device =
                    Tensors.deviceOf(adapter.parameters().values().iterator().next());
            MergedModelExporter exporter =
                    new MergedModelExporter(source, weights, adapter.merging(), device, writer.precision());
            exporter.requirePlaceForBiases(adapter);
            boolean tied = exporter.collect();
            MergeCheck check = options.prompts().isEmpty()
                    ? null
                    : new MergeCheck(
                            source,
                            adapter,
                            files.encoder(),
                            options.prompts(),
                            Objects.requireNonNull(ALLOWED.get(writer.precision())));
            writer.write(new ModelContent(exporter.tensors, tied, files, record, check), folder);
        }
    }

    private static void requireDense(PretrainedFolder source, MergeOptions options) {
        if (source.files().isFourBit() && !options.intoFourBit()) {
            throw new SettingsException(
                    List.of(source.path() + " holds weights in 4 bits, and a model merged from them keeps"
                            + " their rounding; merge into the 16-bit model that they were made of, or allow it with"
                            + " MergeSettings.defaults().allowFourBit()"));
        }
    }

    /** Writes a model as its checkpoint has it, without an adapter; else as the other method. */
    public static void write(ChatFiles files, JsonNode record, Path folder, ModelWriter writer) {
        PretrainedFolder source = files.source();
        requireOther(source.path(), folder);
        try (WeightSource weights = source.files().weights();
                TensorScope scope = new TensorScope()) {
            MergedModelExporter exporter = new MergedModelExporter(
                    source, weights, new ModuleTransform() {}, ComputeDevice.cpu(), writer.precision());
            boolean tied = exporter.collect();
            writer.write(new ModelContent(exporter.tensors, tied, files, record, null), folder);
        }
    }

    private static void requireOther(Path source, Path folder) {
        try {
            if (Files.exists(folder) && Files.isSameFile(source, folder)) {
                throw new SettingsException(
                        List.of(folder + " is the base's own folder, whose weights merging reads while it"
                                + " writes; choose another folder"));
            }
        } catch (IOException e) {
            throw new FineTune4jException(folder + " could not be looked at (" + e + "); choose another folder", e);
        }
    }

    /** A bias that the adapter adds needs one of the base to go to. */
    private void requirePlaceForBiases(PeftAdapter adapter) {
        Map<String, LinearSpec> specs = source.linearSpecs();
        List<String> withoutPlace = adapter.addedBiases().stream()
                .filter(path -> !specs.containsKey(path) || !specs.get(path).bias())
                .toList();
        if (!withoutPlace.isEmpty()) {
            throw new SettingsException(List.of("the adapter has a bias for linears that have none in this model ("
                    + String.join(", ", withoutPlace) + "), so it cannot be merged; keep it as an adapter"));
        }
    }

    /** Names all tensors of the merged model; whether the head still shares the embedding's weight. */
    private boolean collect() {
        ModuleNames modules = source.moduleNames();
        Map<String, LinearSpec> specs = source.linearSpecs();
        modules.embeddings()
                .forEach(path -> add(path + ".weight", () -> embedding(path).denseWeight()));
        Set<String> biased = source.biasedNorms();
        modules.norms().forEach(path -> {
            boolean bias = biased.contains(path);
            add(path + ".weight", () -> norm(path, bias).weight());
            if (bias) {
                add(
                        path + ".bias",
                        () -> Objects.requireNonNull(norm(path, true).bias()));
            }
        });
        source.routers().forEach(path -> add(path + ".weight", () -> read(path + ".weight")));
        specs.forEach((path, spec) -> {
            tensors.put(
                    spec.weightName(),
                    LazyTensor.of(
                            type,
                            new long[] {spec.outFeatures(), spec.inFeatures()},
                            () -> ofLinear(spec, Linear::denseWeight)));
            if (spec.bias()) {
                add(spec.biasName(), () -> ofLinear(spec, Linear::bias));
            }
        });
        for (String path : modules.linears()) {
            if (!specs.containsKey(path)) {
                return shares(path, modules.embeddings().iterator().next());
            }
        }
        return false;
    }

    private void add(String name, Supplier<Tensor> merged) {
        tensors.put(name, LazyTensor.of(type, weights.info(name).shape(), () -> rounded(merged.get())));
    }

    private Tensor rounded(Tensor merged) {
        return Tensors.as(merged.detach(), type);
    }

    private Embedding embedding(String path) {
        return merging.embedding(path, new DenseEmbedding(read(path + ".weight"), 1));
    }

    /** Neither epsilon nor form has a part in what is written, but only a centered norm has a bias. */
    private RmsNorm norm(String path, boolean bias) {
        Tensor added = bias ? read(path + ".bias") : null;
        return merging.norm(path, new RmsNorm(read(path + ".weight"), added, 0, false, bias));
    }

    /** A tensor of a merged linear, apart from the linear, which is freed at once. */
    private Tensor ofLinear(LinearSpec spec, Function<Linear, @Nullable Tensor> part) {
        try (Linear plain = factory.create(spec, weights, placement)) {
            Tensor tensor = part.apply(merging.linear(spec.name(), plain));
            if (tensor == null) {
                throw new IllegalStateException("the merged linear " + spec.name() + " has lost a tensor");
            }
            return tensor.detach().to(type, false, true, new MemoryFormatOptional());
        }
    }

    private Tensor read(String name) {
        return Tensors.convert(weights.read(name), placement.device(), ScalarType.Float);
    }

    /** A head that shares the embedding's weight gets one of its own when only one of them, or each otherwise, was changed. */
    private boolean shares(String head, String table) {
        try (TensorScope scope = new TensorScope()) {
            DenseEmbedding plain = new DenseEmbedding(read(table + ".weight"), 1);
            TiedHead tied = new TiedHead(plain.weight());
            Embedding changed = merging.embedding(table, plain);
            Linear projection = merging.linear(head, tied);
            boolean untouched = changed == plain && projection == tied;
            if (untouched || torch.equal(changed.denseWeight(), projection.denseWeight())) {
                return true;
            }
        }
        tensors.put(
                head + ".weight",
                LazyTensor.of(
                        type,
                        weights.info(table + ".weight").shape(),
                        () -> rounded(merging.linear(head, new TiedHead(read(table + ".weight")))
                                .denseWeight())));
        return false;
    }
}
