package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.Tensors;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The tensors of an encoder of virtual tokens before they are there: PEFT's names, shapes, and how they start, in the order in
 * which their numbers are drawn. Tables start from a normal distribution of deviation 1, networks evenly from ±1/√in, as
 * PyTorch's do.
 */
final class EncoderPlan {
    private static final String NETWORK = "prompt_encoder.";

    /** How a tensor starts: from zero, a normal distribution or an even one. */
    @FunctionalInterface
    private interface Start {
        Tensor of(ComputeDevice device, SplittableRandom random, long[] shape);
    }

    private final Map<String, long[]> shapes = new LinkedHashMap<>();
    private final Map<String, Start> starts = new LinkedHashMap<>();

    private EncoderPlan tensor(String name, Start start, long... shape) {
        shapes.put(name, shape);
        starts.put(name, start);
        return this;
    }

    /** What the network gets, or the virtual tokens themselves where there is none. */
    EncoderPlan table(long rows, long width) {
        return tensor(
                VirtualTokenEncoder.Table.NAME,
                (device, random, shape) -> Tensors.normal(device, random, 1, shape),
                rows,
                width);
    }

    /** A table of zeros. */
    EncoderPlan zeroTable(long rows, long width) {
        return tensor(VirtualTokenEncoder.Table.NAME, EncoderPlan::zeros, rows, width);
    }

    /** A linear of the network, with its bias. */
    EncoderPlan layer(String name, long in, long out) {
        double bound = 1 / Math.sqrt((double) in);
        return uniform(name + ".weight", bound, out, in).uniform(name + ".bias", bound, out);
    }

    /** A linear that starts at zero. */
    EncoderPlan zeroLayer(String name, long in, long out) {
        return tensor(NETWORK + name + ".weight", EncoderPlan::zeros, out, in)
                .tensor(NETWORK + name + ".bias", EncoderPlan::zeros, out);
    }

    /** A tensor of the network with values from ±bound. */
    EncoderPlan uniform(String name, double bound, long... dimensions) {
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
    Map<String, Tensor> start(ComputeDevice device, SplittableRandom random) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        shapes.forEach((name, shape) ->
                tensors.put(name, Objects.requireNonNull(starts.get(name)).of(device, random, shape)));
        return tensors;
    }
}
