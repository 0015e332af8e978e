package dev.finetune4j.lora.export.gguf;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.GgmlType;
import dev.finetune4j.core.io.GgufMetadata;
import dev.finetune4j.core.io.GgufTensor;
import dev.finetune4j.core.io.GgufWriter;
import dev.finetune4j.core.io.LazyTensor;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.ModelConfig.Experts;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.lora.export.ModelContent;
import dev.finetune4j.lora.export.ModelWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Writes a model with its tokenizer and chat template as one GGUF file. Norms, biases and rotary factors are in float32 always.
 *
 * @param type number format of the matrices
 * @param contextLength longest text that the file is for, in tokens; 0 for as long as the model can
 */
public record GgufModelWriter(GgmlType type, int contextLength) implements ModelWriter {
    private static final String HEAD = ModuleNames.OUTPUT_HEAD + ".weight";

    @Override
    public Precision precision() {
        return Precision.FP32;
    }

    /**
     * @throws SettingsException naming all that llama.cpp would compute otherwise
     * @throws FineTune4jException when the file cannot be written
     */
    @Override
    public void write(ModelContent model, Path file) {
        PretrainedFolder source = model.files().source();
        ModelConfig config = source.config();
        boolean tied = model.tiedHead() == null ? config.projections().tiedHead() : model.tiedHead();
        Architecture architecture = Architecture.of(config.modelType());
        int context = contextLength == 0 ? config.maxPositions() : Math.min(contextLength, config.maxPositions());
        VocabularyMetadata vocabulary = new VocabularyMetadata(model.files(), config.vocabSize());
        Rotary rotary = Rotary.of(config, architecture);
        List<String> differences = architecture.differences(config, context);
        if (architecture.tiesHead() && !tied && config.projections().tiedHead()) {
            differences.add("a head of its own: llama.cpp's " + architecture.id()
                    + " has one that shares the embedding's weight, which this training has changed");
        }
        rotary.differences(differences, architecture, config);
        differences.addAll(vocabulary.differences());
        refuse(file, differences);

        GgufMetadata metadata = new GgufMetadata();
        general(metadata, architecture, vocabulary.name(nameOf(source.path())));
        hyperparameters(metadata, architecture, config, context);
        rotary.write(metadata, architecture, config);
        vocabulary.write(metadata);
        TensorConversion conversion = new TensorConversion(config, architecture);
        List<GgufTensor> tensors = new ArrayList<>(rotary.tensors(context));
        Map<String, SortedMap<Integer, LazyTensor>> stacks = new LinkedHashMap<>();
        model.tensors().forEach((name, values) -> {
            String path = name.substring(0, name.lastIndexOf('.'));
            OptionalInt index = TensorConversion.indexInStack(path);
            if (index.isPresent()) {
                stacks.computeIfAbsent(conversion.module(path) + ".weight", none -> new TreeMap<>())
                        .put(index.getAsInt(), values);
            } else if (!(tied && name.equals(HEAD))) {
                tensors.add(conversion.convert(name, values, type));
            }
        });
        stacks.forEach((name, values) -> tensors.add(TensorConversion.stack(name, List.copyOf(values.values()), type)));
        if (tied && architecture.needsHead()) {
            LazyTensor table = Objects.requireNonNull(model.tensors().get(ModuleNames.EMBEDDING + ".weight"));
            tensors.add(conversion.convert(HEAD, table, type));
        }
        write(file, metadata, tensors);
    }

    static void refuse(Path file, List<String> differences) {
        if (!differences.isEmpty()) {
            List<String> problems = new ArrayList<>();
            differences.forEach(difference -> problems.add(file + " cannot hold this as GGUF: " + difference));
            throw new SettingsException(problems);
        }
    }

    static void write(Path file, GgufMetadata metadata, List<GgufTensor> tensors) {
        Path folder = file.toAbsolutePath().getParent();
        try {
            if (folder != null) {
                Files.createDirectories(folder);
            }
        } catch (IOException e) {
            throw new FineTune4jException(folder + " cannot be made (" + e + "); choose another place", e);
        }
        GgufWriter.write(file, metadata, tensors);
    }

    private static String nameOf(Path folder) {
        Path name = folder.toAbsolutePath().normalize().getFileName();
        return name == null ? "model" : name.toString();
    }

    private void general(GgufMetadata metadata, Architecture architecture, String name) {
        metadata.text("general.architecture", architecture.id());
        metadata.text("general.type", "model");
        metadata.text("general.name", name);
        metadata.count("general.alignment", 32);
        metadata.count("general.file_type", fileType(type));
        metadata.count("general.quantization_version", 2);
    }

    /** llama.cpp's number for files whose matrices are of a type. */
    static int fileType(GgmlType type) {
        return switch (type) {
            case F32 -> 0;
            case F16 -> 1;
            case Q8_0 -> 7;
            case BF16 -> 32;
        };
    }

    private static void hyperparameters(
            GgufMetadata metadata, Architecture architecture, ModelConfig config, int context) {
        String key = architecture.id() + ".";
        metadata.count(key + "block_count", config.layers());
        metadata.count(key + "context_length", context);
        metadata.count(key + "embedding_length", config.hiddenSize());
        metadata.count(key + "feed_forward_length", config.intermediateSize());
        metadata.count(key + "vocab_size", config.vocabSize());
        experts(metadata, key, config);
        String attention = key + "attention.";
        metadata.count(attention + "head_count", config.attention().heads());
        metadata.count(attention + "head_count_kv", config.attention().kvHeads());
        metadata.count(attention + "key_length", config.attention().headDim());
        metadata.count(attention + "value_length", config.attention().headDim());
        String epsilon = config.norms().centered() ? "layer_norm_epsilon" : "layer_norm_rms_epsilon";
        metadata.number(attention + epsilon, config.norms().epsilon());
        if (architecture.hasWindows()) {
            metadata.count(attention + "sliding_window", architecture.window(config, context));
        } else if (architecture == Architecture.PHI3) {
            metadata.count(attention + "sliding_window", 0); // it has to be there
        }
        if (architecture == Architecture.GEMMA2) {
            metadata.number(key + "attn_logit_softcapping", config.attention().softCap());
            metadata.number(key + "final_logit_softcapping", config.finalLogitSoftcapping());
        }
        if (architecture == Architecture.STABLELM) {
            metadata.flag(key + "use_parallel_residual", config.norms().block().parallel());
        }
        multipliers(metadata, architecture, config);
    }

    private static void experts(GgufMetadata metadata, String key, ModelConfig config) {
        Experts experts = config.layerTypes().get(0).experts();
        if (experts == null) {
            return;
        }
        metadata.count(key + "expert_count", experts.count());
        metadata.count(key + "expert_used_count", experts.active());
        metadata.count(key + "expert_feed_forward_length", experts.innerSize());
        if (experts.sharedSize() > 0) {
            metadata.count(key + "expert_shared_feed_forward_length", experts.sharedSize());
        }
    }

    private static void multipliers(GgufMetadata metadata, Architecture architecture, ModelConfig config) {
        String key = architecture.id() + ".";
        if (architecture == Architecture.GRANITE) {
            metadata.number(key + "embedding_scale", config.embeddingScale());
            metadata.number(key + "residual_scale", config.residualMultiplier());
            metadata.number(key + "attention.scale", config.attention().scale());
            metadata.number(key + "logit_scale", config.logitsScaling()); // by which they are divided
        } else if (architecture.scalesLogits()) {
            metadata.number(key + "logit_scale", 1 / config.logitsScaling());
        }
    }
}
