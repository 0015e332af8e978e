package dev.finetune4j.lora.export.gguf;

import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.ModelConfig.BlockNorms;
import dev.finetune4j.core.model.ModelConfig.HeadNorms;
import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.model.ModelConfig.Projections;
import dev.finetune4j.core.nn.RopeScaling;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;

/** A family of decoders as llama.cpp knows it: its name there, and what is fixed in its code and no key can change. */
enum Architecture {
    LLAMA("llama"),
    QWEN2("qwen2"),
    QWEN3("qwen3"),
    QWEN2MOE("qwen2moe"),
    QWEN3MOE("qwen3moe"),
    GEMMA("gemma"),
    GEMMA2("gemma2"),
    GEMMA3("gemma3"),
    PHI3("phi3"),
    SMOLLM3("smollm3"),
    GRANITE("granite"),
    OLMO2("olmo2"),
    CHATGLM("chatglm"),
    GLM4("glm4"),
    COMMAND_R("command-r"),
    COHERE2("cohere2"),
    STABLELM("stablelm"),
    STARCODER2("starcoder2");

    /** Number of blocks of the two models for which the code has another scale of the scores. */
    private static final int GEMMA2_27B = 46;

    private static final int GEMMA3_27B = 62;
    private static final int GEMMA3_PATTERN = 6;
    private static final int COHERE2_PATTERN = 4;
    private static final int SMOLLM3_PATTERN = 4;
    /** Number of blocks from which on the code takes it that queries and keys are normalised. */
    private static final int COMMAND_R_PLUS = 64;

    private static final Set<Architecture> TURN_NEIGHBOURS =
            EnumSet.of(LLAMA, SMOLLM3, GRANITE, CHATGLM, GLM4, COMMAND_R, COHERE2);
    private static final Set<Architecture> NORMS_BEHIND = EnumSet.of(GEMMA2, GEMMA3, OLMO2, GLM4);
    private static final Set<Architecture> SPARSE = EnumSet.of(QWEN2MOE, QWEN3MOE);
    private static final Set<Architecture> PARALLEL = EnumSet.of(COMMAND_R, COHERE2);
    private static final Set<Architecture> ONE_GATE_UP = EnumSet.of(PHI3, CHATGLM, GLM4);
    /** Whose heads are together as wide as the model. */
    private static final Set<Architecture> HEADS_AS_WIDE = EnumSet.of(QWEN2, QWEN2MOE, STABLELM, STARCODER2);
    /** With any biases that a file has. */
    private static final Set<Architecture> ANY_QKV_BIASES = EnumSet.of(CHATGLM, GLM4, QWEN2MOE, STABLELM);

    /** With layer norms that have biases. */
    private static final Set<Architecture> NORM_BIASES = EnumSet.of(STABLELM, STARCODER2);

    private static final Set<Architecture> ANY_BIASES = EnumSet.of(LLAMA, GRANITE);

    private final String id;

    Architecture(String id) {
        this.id = id;
    }

    /** The architecture for a {@code model_type} of Hugging Face. */
    static Architecture of(String modelType) {
        return switch (modelType) {
            case "llama", "mistral", "mixtral" -> LLAMA;
            case "qwen2" -> QWEN2;
            case "qwen3" -> QWEN3;
            case "qwen2_moe" -> QWEN2MOE;
            case "qwen3_moe" -> QWEN3MOE;
            case "gemma" -> GEMMA;
            case "gemma2" -> GEMMA2;
            case "gemma3_text" -> GEMMA3;
            case "phi3" -> PHI3;
            case "smollm3" -> SMOLLM3;
            case "granite" -> GRANITE;
            case "olmo2" -> OLMO2;
            case "glm" -> CHATGLM;
            case "glm4" -> GLM4;
            case "cohere" -> COMMAND_R;
            case "cohere2" -> COHERE2;
            case "stablelm" -> STABLELM;
            case "starcoder2" -> STARCODER2;
            default -> throw new IllegalArgumentException("no architecture of llama.cpp is known for " + modelType);
        };
    }

    /** {@code general.architecture}, which keys begin with. */
    String id() {
        return id;
    }

    boolean isGemma() {
        return this == GEMMA || this == GEMMA2 || this == GEMMA3;
    }

    /** Whether its rotary embedding turns neighbouring channels instead of halves of a head. */
    boolean rotatesNeighbours() {
        return TURN_NEIGHBOURS.contains(this);
    }

    /** Modules whose products may have no LoRA, because the code asks for their precision and takes them for plain products. */
    List<String> withoutFactors() {
        return this == GLM4 ? List.of("self_attn.o_proj", "mlp.down_proj") : List.of();
    }

    /** Whether its head is the embedding's weight always. */
    boolean tiesHead() {
        return isGemma() || PARALLEL.contains(this);
    }

    /** Whether it has a key for the factor on the logits. */
    boolean scalesLogits() {
        return PARALLEL.contains(this);
    }

    /** Whether a file needs the head's weight even where it is the embedding's. */
    boolean needsHead() {
        return this == QWEN2MOE || this == STABLELM;
    }

    /** Whether the rotary embedding turns heads of a layer. */
    boolean isRotated(int layer) {
        return switch (this) {
            case SMOLLM3 -> (layer + 1) % SMOLLM3_PATTERN != 0;
            case COHERE2 -> isWindowed(layer);
            default -> true;
        };
    }

    /** Whether some of its layers see a window only. */
    boolean hasWindows() {
        return this == GEMMA2 || this == GEMMA3 || this == COHERE2;
    }

    /** Whether a layer sees a window only. */
    boolean isWindowed(int layer) {
        return switch (this) {
            case GEMMA2 -> layer % 2 == 0;
            case GEMMA3 -> (layer + 1) % GEMMA3_PATTERN != 0;
            case COHERE2 -> (layer + 1) % COHERE2_PATTERN != 0;
            default -> false;
        };
    }

    /** The factor on dot products of queries and keys. */
    double scoreScale(ModelConfig config) {
        if (this == GRANITE) {
            return config.attention().scale(); // it has a key for it
        }
        boolean byWidth =
                (this == GEMMA2 && config.layers() == GEMMA2_27B) || (this == GEMMA3 && config.layers() == GEMMA3_27B);
        int channels = byWidth
                ? config.hiddenSize() / config.attention().heads()
                : config.attention().headDim();
        return 1 / Math.sqrt(channels);
    }

    /**
     * What of a model it does not compute.
     *
     * @param context longest sequence that the file is for, in tokens
     */
    List<String> differences(ModelConfig config, int context) {
        List<String> found = new ArrayList<>();
        boolean gelu = isGemma() || this == STARCODER2;
        require(found, gelu ? Activation.GELU_TANH : Activation.SILU, config.activation(), "the activation");
        norms(found, config);
        projections(found, config);
        experts(found, config);
        if (tiesHead()) {
            require(found, true, config.projections().tiedHead(), "a head that shares the embedding's weight");
        }
        require(found, this == GEMMA2, config.attention().softCap() > 0, "attn_logit_softcapping");
        require(found, this == GEMMA2, config.finalLogitSoftcapping() > 0, "final_logit_softcapping");
        rotations(found, config);
        windows(found, config, context);
        return found;
    }

    private void norms(List<String> found, ModelConfig config) {
        BlockNorms block = config.norms().block();
        require(found, NORMS_BEHIND.contains(this), block.afterMlp() != null, "norms behind each half of a block");
        require(found, this != OLMO2, block.beforeAttention() != null, "norms before each half of a block");
        require(found, NORM_BIASES.contains(this), config.norms().bias(), "biases of norms");
        if (this != STABLELM) { // which takes what a file has
            require(found, PARALLEL.contains(this), block.parallel(), "parallel halves of a block");
            require(found, headNorms(config), config.norms().heads(), "norms of queries and keys");
        }
    }

    private HeadNorms headNorms(ModelConfig config) {
        return switch (this) {
            case QWEN3, QWEN3MOE, GEMMA3 -> HeadNorms.EACH_HEAD;
            case OLMO2 -> HeadNorms.ALL_HEADS;
            case COMMAND_R -> config.layers() >= COMMAND_R_PLUS ? HeadNorms.OWN_WEIGHTS : HeadNorms.NONE;
            default -> HeadNorms.NONE;
        };
    }

    private void projections(List<String> found, ModelConfig config) {
        Projections projections = config.projections();
        if (HEADS_AS_WIDE.contains(this)) {
            int width = config.attention().heads() * config.attention().headDim();
            require(found, config.hiddenSize(), width, "the width of all heads");
        }
        require(found, this == PHI3, projections.fusedQkv(), "one weight of queries, keys and values");
        require(found, ONE_GATE_UP.contains(this), projections.mlp().isFused(), "one weight of gate and up");
        if (!ANY_BIASES.contains(this)) {
            boolean all = this == STARCODER2;
            if (!ANY_QKV_BIASES.contains(this)) {
                require(found, all || this == QWEN2, projections.qkvBias(), "biases of queries, keys and values");
            }
            require(found, all, projections.outputBias(), "a bias of attention's output projection");
            require(found, all, projections.mlpBias(), "biases of the feed-forward part");
        }
    }

    /** Experts are in all layers or in none, and whether their shares are divided by the sum is fixed. */
    private void experts(List<String> found, ModelConfig config) {
        List<LayerType> layers = config.layerTypes();
        boolean sparse = SPARSE.contains(this) || layers.stream().anyMatch(layer -> layer.experts() != null);
        for (int i = 0; i < layers.size() && sparse; i++) {
            if (layers.get(i).experts() == null) {
                found.add("layer " + i + " has a dense feed-forward part: llama.cpp's " + id
                        + " has experts in every layer (mlp_only_layers, decoder_sparse_step)");
                break;
            }
        }
        layers.stream()
                .map(LayerType::experts)
                .filter(Objects::nonNull)
                .filter(experts -> experts.active() < experts.count()) // else the sum is one anyway
                .findFirst()
                .ifPresent(experts -> require(
                        found,
                        this != QWEN2MOE,
                        experts.normalised(),
                        "shares of experts that sum to one (norm_topk_prob)"));
    }

    private void require(List<String> found, Object fixed, Object actual, String what) {
        if (!fixed.equals(actual)) {
            found.add(what + ": llama.cpp's " + id + " computes with \"" + lower(fixed) + "\", this model with \""
                    + lower(actual) + "\"");
        }
    }

    private static String lower(Object value) {
        return value.toString().toLowerCase(Locale.ROOT);
    }

    private void rotations(List<String> found, ModelConfig config) {
        for (int i = 0; i < config.layers(); i++) {
            boolean rotated = !(config.layerTypes().get(i).rope().scaling() instanceof RopeScaling.Unrotated);
            if (rotated != isRotated(i)) {
                found.add("layer " + i + (rotated ? " has" : " has no") + " rotary embedding: which layers of " + id
                        + " have one is fixed in llama.cpp, and this is " + (rotated ? "not " : "") + "one of them");
                return;
            }
        }
    }

    private void windows(List<String> found, ModelConfig config, int context) {
        List<LayerType> layers = config.layerTypes();
        boolean limited = layers.stream().anyMatch(layer -> layer.window() > 0 && layer.window() < context);
        if (!hasWindows()) {
            if (limited) {
                int window = window(config, context);
                found.add("an attention window of " + window + " tokens: llama.cpp's " + id
                        + " sees all tokens, so it computes the same for the first " + window
                        + " only; say contextLength(" + window + ") to export the model for texts of that length");
            }
            return;
        }
        boolean alike = this == COHERE2
                || layers.stream().map(LayerType::rope).distinct().count() == 1;
        for (int i = 0; i < layers.size() && (limited || !alike); i++) {
            boolean windowed = layers.get(i).window() > 0;
            if (windowed != isWindowed(i)) {
                found.add("layer " + i + (windowed ? " has" : " has no") + " attention window: which layers of "
                        + id + " have one is fixed in llama.cpp, and this is " + (windowed ? "not " : "")
                        + "one of them");
                return;
            }
        }
    }

    /** The one window of the layers that have one, or the whole context. */
    int window(ModelConfig config, int context) {
        return config.layerTypes().stream()
                .mapToInt(LayerType::window)
                .filter(window -> window > 0 && window < context)
                .findFirst()
                .orElse(context);
    }
}
