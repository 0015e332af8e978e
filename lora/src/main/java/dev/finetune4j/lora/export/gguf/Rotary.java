package dev.finetune4j.lora.export.gguf;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.GgmlType;
import dev.finetune4j.core.io.GgufMetadata;
import dev.finetune4j.core.io.GgufTensor;
import dev.finetune4j.core.io.LazyTensor;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.nn.RopeScaling;
import dev.finetune4j.core.nn.RopeSpec;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The rotary embedding of a model in llama.cpp's keys and tensors.
 *
 * @param far of layers that see all tokens
 * @param near of layers with a window; the same where a family has none
 */
record Rotary(RopeSpec far, RopeSpec near) {
    private static final double USUAL_BETA_FAST = 32;
    private static final double USUAL_BETA_SLOW = 1;

    static Rotary of(ModelConfig config, Architecture architecture) {
        RopeSpec first = IntStream.range(0, config.layers())
                .filter(architecture::isRotated)
                .mapToObj(i -> config.layerTypes().get(i).rope())
                .findFirst()
                .orElseGet(() -> config.layerTypes().get(0).rope());
        return new Rotary(rope(config, architecture, false, first), rope(config, architecture, true, first));
    }

    private static RopeSpec rope(ModelConfig config, Architecture architecture, boolean windowed, RopeSpec otherwise) {
        return IntStream.range(0, config.layers())
                .filter(i -> architecture.isRotated(i) && architecture.isWindowed(i) == windowed)
                .mapToObj(i -> config.layerTypes().get(i).rope())
                .findFirst()
                .orElse(otherwise);
    }

    /** What of it llama.cpp does not compute. */
    void differences(List<String> found, Architecture architecture, ModelConfig config) {
        if (far.scaling() instanceof RopeScaling.Dynamic) {
            found.add("the rope type \"dynamic\", for which llama.cpp has no key; train and export a model with"
                    + " \"yarn\" or \"linear\" instead");
        }
        if (far.scaling() instanceof RopeScaling.Yarn yarn) {
            yarnDifferences(found, yarn);
        }
        boolean hasNear = IntStream.range(0, config.layers())
                .anyMatch(i -> architecture.isRotated(i) && architecture.isWindowed(i));
        boolean scalesNear = architecture != Architecture.GEMMA3 && near.equals(far);
        if (hasNear && !scalesNear && !(near.scaling() instanceof RopeScaling.None)) {
            found.add("rope scaling of the layers with a window, which llama.cpp does not scale");
        } else if (hasNear && !scalesNear && far.scaling() instanceof RopeScaling.Yarn yarn && !isUsualGrowth(yarn)) {
            found.add(
                    "the attention factor " + yarn.attentionFactor() + " of the rope type \"yarn\", which llama.cpp's "
                            + architecture.id() + " applies to the layers with a window too");
        }
    }

    /**
     * The loaders of these architectures read no key for the ends of the ramp: a file that has them loads, and is computed with the
     * usual ones.
     */
    private void yarnDifferences(List<String> found, RopeScaling.Yarn yarn) {
        if (yarn.factor() < 1) {
            found.add("the factor " + yarn.factor()
                    + " of the rope type \"yarn\": below 1 releases of llama.cpp differ in"
                    + " the factor on the scores that goes with it");
        }
        RopeSpec usual = far.with(new RopeScaling.Yarn(
                yarn.factor(),
                yarn.originalPositions(),
                USUAL_BETA_FAST,
                USUAL_BETA_SLOW,
                yarn.attentionFactor(),
                true));
        if (!Arrays.equals(far.frequencies(1), usual.frequencies(1))) {
            List<String> ends = new ArrayList<>();
            if (yarn.betaFast() != USUAL_BETA_FAST) {
                ends.add("\"beta_fast\": " + yarn.betaFast());
            }
            if (yarn.betaSlow() != USUAL_BETA_SLOW) {
                ends.add("\"beta_slow\": " + yarn.betaSlow());
            }
            if (!yarn.truncate()) {
                ends.add("\"truncate\": false");
            }
            found.add(String.join(" and ", ends)
                    + " of the rope type \"yarn\": llama.cpp computes the frequencies of this"
                    + " model with " + USUAL_BETA_FAST + ", " + USUAL_BETA_SLOW
                    + " and rounded ends, whatever a file says;"
                    + " train and export a model with these");
        }
    }

    void write(GgufMetadata metadata, Architecture architecture, ModelConfig config) {
        String rope = architecture.id() + ".rope.";
        metadata.count(rope + "dimension_count", far.channels());
        metadata.number(rope + "freq_base", far.theta());
        if (architecture == Architecture.GEMMA3) {
            metadata.number(rope + "freq_base_swa", near.theta());
        }
        String scaling = rope + "scaling.";
        if (far.scaling() instanceof RopeScaling.Linear linear) {
            metadata.text(scaling + "type", "linear").number(scaling + "factor", linear.factor());
        } else if (far.scaling() instanceof RopeScaling.Yarn yarn) {
            writeYarn(metadata, scaling, yarn);
        } else if (far.scaling() instanceof RopeScaling.LongRope longRope) {
            metadata.text(scaling + "type", "longrope");
            metadata.number(scaling + "attn_factor", longRope.attentionFactor());
            metadata.count(scaling + "original_context_length", longRope.originalPositions());
        } else if (architecture == Architecture.PHI3) {
            metadata.count(scaling + "original_context_length", config.maxPositions()); // it has to be there
        }
    }

    private static void writeYarn(GgufMetadata metadata, String scaling, RopeScaling.Yarn yarn) {
        metadata.text(scaling + "type", "yarn").number(scaling + "factor", yarn.factor());
        metadata.count(scaling + "original_context_length", yarn.originalPositions());
        if (!isUsualGrowth(yarn)) {
            metadata.number(scaling + "attn_factor", yarn.attentionFactor() / usualGrowth(yarn));
        }
        // Other readers than llama.cpp take the ends of the ramp from the file; there they make no difference.
        if (yarn.betaFast() != USUAL_BETA_FAST) {
            metadata.number(scaling + "yarn_beta_fast", yarn.betaFast());
        }
        if (yarn.betaSlow() != USUAL_BETA_SLOW) {
            metadata.number(scaling + "yarn_beta_slow", yarn.betaSlow());
        }
    }

    /** The growth that the paper recommends, which is always part of llama.cpp's factor. */
    private static double usualGrowth(RopeScaling.Yarn yarn) {
        return 1 + 0.1 * Math.log(yarn.factor());
    }

    private static boolean isUsualGrowth(RopeScaling.Yarn yarn) {
        return Math.abs(yarn.attentionFactor() - usualGrowth(yarn)) <= 1e-6;
    }

    /**
     * The tensors that go with it: by what each frequency is divided.
     *
     * @param context longest text that the file is for; llama.cpp takes the factors of long texts as soon as its context is longer than the
     *     original positions, whatever the text, so a file for shorter texts has those of short ones in both places
     */
    List<GgufTensor> tensors(int context) {
        if (far.scaling() instanceof RopeScaling.Llama3) {
            float[] scaled = far.frequencies(1);
            float[] plain = new RopeSpec(far.theta(), far.channels(), new RopeScaling.None()).frequencies(1);
            float[] divisors = new float[plain.length];
            for (int i = 0; i < plain.length; i++) {
                divisors[i] = plain[i] / scaled[i];
            }
            return List.of(tensor("rope_freqs.weight", divisors));
        }
        if (far.scaling() instanceof RopeScaling.LongRope longRope) {
            boolean longer = context > longRope.originalPositions();
            return List.of(
                    tensor(
                            "rope_factors_long.weight",
                            floats(longer ? longRope.longFactors() : longRope.shortFactors())),
                    tensor("rope_factors_short.weight", floats(longRope.shortFactors())));
        }
        return List.of();
    }

    private static float[] floats(List<Double> values) {
        float[] floats = new float[values.size()];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = values.get(i).floatValue();
        }
        return floats;
    }

    private static GgufTensor tensor(String name, float[] values) {
        return new GgufTensor(
                name,
                GgmlType.F32,
                LazyTensor.of(
                        ScalarType.Float,
                        new long[] {values.length},
                        () -> Tensors.ofFloats(ComputeDevice.cpu(), values, values.length)));
    }
}
