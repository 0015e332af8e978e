package dev.finetune4j.core.model;

import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.Threads;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Makes a {@link CausalLM} from a Hugging Face model folder. Stateless. */
public final class ModelLoader {
    private static final Logger LOG = LoggerFactory.getLogger(ModelLoader.class);

    private ModelLoader() {}

    /**
     * A model of the folder's shapes without its weights: every tensor is one zero seen as many. It serves to ask what a
     * model will have before it is loaded; what it computes means nothing. It is as {@link PretrainedFolder#config()} says.
     */
    public static CausalLM meta(PretrainedFolder folder) {
        TorchRuntime.start();
        ModelBuilder decoder = new ModelBuilder(folder.config());
        WeightSpecs specs = decoder.weightSpecs();
        try (WeightSource nothing = new MetaWeights(specs)) {
            LinearFactory dense = LinearFactory.dense();
            // Each apart, so that nothing is copied into a stack.
            LinearFactory apart = (spec, weights, placement) -> dense.create(spec, weights, placement);
            return decoder.build(new WeightBinder(specs, nothing, apart, Placement.cpuFp32()));
        }
    }

    /**
     * A model with a few of the folder's blocks, at least one of each {@link ModelConfig.LayerType}, and made-up weights. What it
     * computes means nothing; but to compute it the kernels and libraries are needed that the whole model will need.
     *
     * @param vocabulary tokens that it knows, at most
     * @throws dev.finetune4j.core.OutOfDeviceMemoryException when the device's memory does not suffice
     */
    public static CausalLM miniature(
            PretrainedFolder folder, int vocabulary, LinearFactory factory, Placement placement) {
        TorchRuntime.require(placement.device());
        ModelBuilder decoder = new ModelBuilder(folder.config().miniature(vocabulary));
        WeightSpecs specs = decoder.weightSpecs();
        try (WeightSource weights = new UniformWeights(specs, placement.device())) {
            return build(decoder, new WeightBinder(specs, weights, factory, placement));
        } catch (RuntimeException e) {
            throw MemoryErrors.typed(e, placement.device(), "making a small model like that in " + folder.path());
        }
    }

    /**
     * Loads a model, one tensor at a time.
     *
     * @param folder the model folder
     * @param factory makes the linears: dense or quantized
     * @param placement device and precision
     * @throws dev.finetune4j.core.ModelFileException when the folder cannot be read or does not fit its config.json;
     *     all missing, misshapen and unexpected tensors are named at once, before any is read
     * @throws dev.finetune4j.core.DeviceException when the device is absent
     * @throws dev.finetune4j.core.OutOfDeviceMemoryException when its memory does not suffice
     */
    public static CausalLM load(PretrainedFolder folder, LinearFactory factory, Placement placement) {
        try (WeightSource weights = folder.files().weights()) {
            return load(folder, weights, folder.config(), factory, placement);
        }
    }

    /**
     * Loads a model whose weights come from elsewhere than its folder, which needs only a config.json then.
     *
     * @param weights borrowed
     * @see #load(PretrainedFolder, LinearFactory, Placement)
     */
    public static CausalLM load(
            PretrainedFolder folder, WeightSource weights, LinearFactory factory, Placement placement) {
        return load(folder, weights, folder.configWith(weights), factory, placement);
    }

    private static CausalLM load(
            PretrainedFolder folder,
            WeightSource weights,
            ModelConfig config,
            LinearFactory factory,
            Placement placement) {
        TorchRuntime.require(placement.device());
        DeviceKernels.of(placement.device())
                .prepare(placement.precision(), config.attention().headDim());
        try (Threads.Share share = Threads.share(placement.threads())) {
            return loadThere(folder, weights, config, factory, placement);
        }
    }

    private static CausalLM loadThere(
            PretrainedFolder folder,
            WeightSource weights,
            ModelConfig config,
            LinearFactory factory,
            Placement placement) {
        ModelBuilder decoder = new ModelBuilder(config);
        WeightSpecs specs = decoder.weightSpecs();
        WeightBinder.check(folder.path().toString(), specs, weights, factory);
        sayWhatDiffers(folder, config);
        WeightBinder parts = new WeightBinder(specs, weights, factory, placement);
        try {
            return build(decoder, parts);
        } catch (RuntimeException e) {
            throw MemoryErrors.typed(e, placement.device(), "loading the model in " + folder.path());
        }
    }

    private static void sayWhatDiffers(PretrainedFolder folder, ModelConfig config) {
        Path file = folder.path().resolve("config.json");
        if (!folder.ignoredKeys().isEmpty()) {
            LOG.warn(
                    "{}: passed over because they have no part in the numbers of a model of the type {}: {}",
                    file,
                    config.modelType(),
                    String.join(", ", folder.ignoredKeys()));
        }
        boolean declared = folder.declared().projections().tiedHead();
        if (declared != config.projections().tiedHead()) {
            LOG.warn(
                    "{}: \"tie_word_embeddings\" is {}, but {}",
                    file,
                    declared,
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
