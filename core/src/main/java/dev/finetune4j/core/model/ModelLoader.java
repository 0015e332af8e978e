package dev.finetune4j.core.model;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.LinearSpec;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.Threads;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.util.Collections;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Makes a {@link CausalLM} from a Hugging Face model folder. Stateless. */
public final class ModelLoader {
    private static final Logger LOG = LoggerFactory.getLogger(ModelLoader.class);

    private ModelLoader() {}

    /**
     * Reads config.json and, where there are weights, from them whether the head shares the embedding's.
     *
     * @throws dev.finetune4j.core.ModelFileException when the model type or a value in it is not supported
     */
    public static ModelConfig readConfig(ModelFiles directory) {
        return HeadWeight.decide(ModelFamily.readConfig(directory), directory);
    }

    /** The module paths of all parts that the model will have, known from config.json alone. */
    public static ModuleNames moduleNames(ModelFiles directory) {
        return new ModelBuilder(ModelFamily.readConfig(directory)).weightSpecs().moduleNames();
    }

    /** The shapes of all projections that the weights hold, by module path; a head that shares the embedding is not there. */
    public static Map<String, LinearSpec> linearSpecs(ModelFiles directory) {
        return Collections.unmodifiableMap(
                new ModelBuilder(readConfig(directory)).weightSpecs().linears());
    }

    /**
     * A model of the folder's shapes without its weights: every tensor is one zero seen as many. It serves to ask what a
     * model will have before it is loaded; what it computes means nothing. It is as {@link #readConfig} says.
     */
    public static CausalLM meta(ModelFiles directory) {
        TorchRuntime.start();
        ModelBuilder decoder = new ModelBuilder(readConfig(directory));
        WeightSpecs specs = decoder.weightSpecs();
        try (WeightSource nothing = new MetaWeights(specs)) {
            return decoder.build(new WeightBinder(specs, nothing, LinearFactory.dense(), Placement.cpuFp32()));
        }
    }

    /**
     * Loads a model, one tensor at a time.
     *
     * @param directory the model folder
     * @param factory makes the linears: dense or quantized
     * @param placement device and precision
     * @throws dev.finetune4j.core.ModelFileException when the folder cannot be read or does not fit its config.json;
     *     all missing, misshapen and unexpected tensors are named at once, before any is read
     * @throws dev.finetune4j.core.DeviceException when the device is absent
     * @throws dev.finetune4j.core.OutOfDeviceMemoryException when its memory does not suffice
     */
    public static CausalLM load(ModelFiles directory, LinearFactory factory, Placement placement) {
        try (WeightSource weights = directory.weights()) {
            return load(directory, weights, factory, placement);
        }
    }

    /**
     * Loads a model whose weights come from elsewhere than its folder, which needs only a config.json then.
     *
     * @param weights borrowed
     * @see #load(ModelFiles, LinearFactory, Placement)
     */
    public static CausalLM load(
            ModelFiles directory, WeightSource weights, LinearFactory factory, Placement placement) {
        TorchRuntime.require(placement.device());
        if (placement.device().kind() == ComputeDevice.Kind.CPU) {
            TorchRuntime.shareThreads(placement.precision());
            CpuKernels.get();
        }
        try (Threads.Share share = Threads.share(placement.threads())) {
            return loadThere(directory, weights, factory, placement);
        }
    }

    private static CausalLM loadThere(
            ModelFiles directory, WeightSource weights, LinearFactory factory, Placement placement) {
        ConfigReader reader = ModelFamily.reader(directory);
        ModelConfig said = ModelFamily.readConfig(reader);
        ModelConfig config = HeadWeight.decide(said, weights);
        ModelBuilder decoder = new ModelBuilder(config);
        WeightSpecs specs = decoder.weightSpecs();
        WeightBinder.check(directory.folder().toString(), specs, weights, factory);
        sayWhatDiffers(reader, said, config);
        WeightBinder parts = new WeightBinder(specs, weights, factory, placement);
        try {
            return build(decoder, parts);
        } catch (RuntimeException e) {
            throw MemoryErrors.typed(e, placement.device(), "loading the model in " + directory.folder());
        }
    }

    private static void sayWhatDiffers(ConfigReader reader, ModelConfig said, ModelConfig config) {
        if (!reader.passedOver().isEmpty()) {
            LOG.warn(
                    "{}: passed over because they have no part in the numbers of a model of the type {}: {}",
                    reader.file(),
                    config.modelType(),
                    String.join(", ", reader.passedOver()));
        }
        if (said.projections().tiedHead() != config.projections().tiedHead()) {
            LOG.warn(
                    "{}: \"tie_word_embeddings\" is {}, but {}",
                    reader.file(),
                    said.projections().tiedHead(),
                    config.projections().tiedHead()
                            ? "the weights hold one table of token vectors, which serves as embedding and as head"
                            : "the weights hold a head that differs from the embedding, which is used");
        }
    }

    private static CausalLM build(ModelBuilder decoder, WeightBinder parts) {
        boolean done = false;
        try {
            CausalLM model = decoder.build(parts);
            done = true;
            return model;
        } finally {
            if (!done) {
                parts.close();
            }
        }
    }
}
