package dev.finetune4j.lora.adapter.prompt;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.Tensors;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The specification of a {@link PromptEncoder}: PEFT's names of its tensors, their shapes and initialization, in the order in
 * which their numbers are drawn. Embeddings are drawn from a normal distribution of deviation 1, linears evenly from ±1/√in,
 * as PyTorch's are.
 */
final class PromptEncoderSpec {
    private static final String NETWORK = "prompt_encoder.";

    /** How a tensor is initialized: from zero, a normal distribution or an even one. */
    @FunctionalInterface
    private interface Init {
        Tensor of(ComputeDevice device, SplittableRandom random, long[] shape);
    }

    private final Map<String, long[]> shapes = new LinkedHashMap<>();
    private final Map<String, Init> inits = new LinkedHashMap<>();

    private PromptEncoderSpec tensor(String name, Init init, long... shape) {
        shapes.put(name, shape);
        inits.put(name, init);
        return this;
    }

    /** What the network gets, or the virtual tokens themselves where there is none. */
    PromptEncoderSpec table(long rows, long width) {
        return tensor(
                PromptEncoder.Table.NAME,
                (device, random, shape) -> Tensors.normal(device, random, 1, shape),
                rows,
                width);
    }

    /** A table of zeros. */
    PromptEncoderSpec zeroTable(long rows, long width) {
        return tensor(PromptEncoder.Table.NAME, PromptEncoderSpec::zeros, rows, width);
    }

    /** A linear of the network, with its bias. */
    PromptEncoderSpec layer(String name, long in, long out) {
        double bound = 1 / Math.sqrt((double) in);
        return uniform(name + ".weight", bound, out, in).uniform(name + ".bias", bound, out);
    }

    /** A linear that starts at zero. */
    PromptEncoderSpec zeroLayer(String name, long in, long out) {
        return tensor(NETWORK + name + ".weight", PromptEncoderSpec::zeros, out, in)
                .tensor(NETWORK + name + ".bias", PromptEncoderSpec::zeros, out);
    }

    /** A tensor of the network with values from ±bound. */
    PromptEncoderSpec uniform(String name, double bound, long... dimensions) {
        return tensor(
                NETWORK + name, (device, random, shape) -> Tensors.uniform(device, random, bound, shape), dimensions);
    }

    private static Tensor zeros(ComputeDevice device, SplittableRandom random, long[] shape) {
        return Tensors.zeros(device, ScalarType.Float, shape);
    }

    /** Shape of each tensor that is trained. */
    Map<String, long[]> shapes() {
        return shapes;
    }

    /** The tensors as training begins, float32; they belong to the caller's scope. */
    Map<String, Tensor> init(ComputeDevice device, SplittableRandom random) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        shapes.forEach((name, shape) ->
                tensors.put(name, Objects.requireNonNull(inits.get(name)).of(device, random, shape)));
        return tensors;
    }
}
