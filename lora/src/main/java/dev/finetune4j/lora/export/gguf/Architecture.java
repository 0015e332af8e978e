package dev.finetune4j.lora.export.gguf;

import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.ModelConfig.LayerType;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** A family of decoders as llama.cpp knows it: its name there, and what is fixed in its code and no key can change. */
enum Architecture {
    LLAMA("llama"),
    QWEN2("qwen2"),
    QWEN3("qwen3"),
    GEMMA("gemma"),
    GEMMA2("gemma2"),
    GEMMA3("gemma3"),
    PHI3("phi3");

    /** Number of blocks of the two models for which the code has another scale of the scores. */
    private static final int GEMMA2_27B = 46;

    private static final int GEMMA3_27B = 62;
    private static final int GEMMA3_PATTERN = 6;

    private final String id;

    Architecture(String id) {
        this.id = id;
    }

    /** The architecture for a {@code model_type} of Hugging Face. */
    static Architecture of(String modelType) {
        return switch (modelType) {
            case "llama", "mistral" -> LLAMA;
            case "qwen2" -> QWEN2;
            case "qwen3" -> QWEN3;
            case "gemma" -> GEMMA;
            case "gemma2" -> GEMMA2;
            case "gemma3_text" -> GEMMA3;
            case "phi3" -> PHI3;
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
        return this == LLAMA;
    }

    /** Whether some of its layers see a window only. */
    boolean hasWindows() {
        return this == GEMMA2 || this == GEMMA3;
    }

    /** Whether a layer sees a window only. */
    boolean isWindowed(int layer) {
        return switch (this) {
            case GEMMA2 -> layer % 2 == 0;
            case GEMMA3 -> (layer + 1) % GEMMA3_PATTERN != 0;
            default -> false;
        };
    }

    /** The factor on dot products of queries and keys. */
    double scoreScale(ModelConfig config) {
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
        require(found, isGemma() ? Activation.GELU_TANH : Activation.SILU, config.activation(), "the activation");
        require(
                found,
                this == GEMMA2 || this == GEMMA3,
                config.norms().block().afterMlp() != null,
                "norms behind each half of a block");
        require(
                found,
                this == QWEN3 || this == GEMMA3,
                config.norms().heads() != ModelConfig.HeadNorms.NONE,
                "norms of queries and keys");
        require(found, this == PHI3, config.projections().fusedQkv(), "one weight of queries, keys and values");
        require(found, this == PHI3, config.projections().fusedGateUp(), "one weight of gate and up");
        if (this != LLAMA) {
            require(found, this == QWEN2, config.projections().qkvBias(), "biases of queries, keys and values");
            require(found, false, config.projections().outputBias(), "a bias of attention's output projection");
            require(found, false, config.projections().mlpBias(), "biases of the feed-forward part");
        }
        if (isGemma()) {
            require(found, true, config.projections().tiedHead(), "a head that shares the embedding's weight");
        }
        require(found, this == GEMMA2, config.attention().softCap() > 0, "attn_logit_softcapping");
        require(found, this == GEMMA2, config.finalLogitSoftcapping() > 0, "final_logit_softcapping");
        windows(found, config, context);
        return found;
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
        boolean alike = layers.stream().map(LayerType::rope).distinct().count() == 1;
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
