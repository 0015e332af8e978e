package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.VirtualTokenEncoder.Activation;
import dev.finetune4j.lora.adapter.VirtualTokenEncoder.Layer;
import dev.finetune4j.lora.adapter.VirtualTokenEncoder.Perceptron;
import dev.finetune4j.lora.adapter.VirtualTokenEncoder.Recurrent;
import dev.finetune4j.lora.adapter.VirtualTokenEncoder.Table;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Function;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Encoders that have not been trained yet. Tables start from a normal distribution of deviation 1, networks evenly from
 * ±1/√in, as PyTorch's do. The tensors belong to the caller's scope.
 */
final class FreshEncoders {
    private final CausalLM base;
    private final ComputeDevice device;
    private final SplittableRandom random;

    FreshEncoders(CausalLM base, long seed) {
        this.base = base;
        this.device = base.placement().device();
        this.random = new SplittableRandom(seed);
    }

    /** @param width of the keys of one layer, kv heads · head size */
    VirtualTokenEncoder prefix(PrefixSettings settings, long width) {
        long all = 2 * width * base.config().layers();
        if (settings.projectionSize() == 0) {
            return new Table(
                    settings.startsAtZero()
                            ? Tensors.zeros(device, ScalarType.Float, settings.virtualTokens(), all)
                            : table(settings.virtualTokens(), all));
        }
        Layer last = settings.startsAtZero()
                ? new Layer(
                        Tensors.zeros(device, ScalarType.Float, all, settings.projectionSize()),
                        Tensors.zeros(device, ScalarType.Float, all))
                : layer(settings.projectionSize(), all);
        return new Perceptron(
                table(settings.virtualTokens(), width),
                "transform",
                List.of(layer(width, settings.projectionSize()), last),
                Activation.TANH);
    }

    VirtualTokenEncoder pTuning(PTuningSettings settings) {
        long width = base.config().hiddenSize();
        int size = settings.encoderSize(width);
        Tensor table = table(settings.virtualTokens(), width);
        if (settings.encoder() == PTuningSettings.Encoder.MLP) {
            return new Perceptron(
                    table,
                    "mlp_head",
                    List.of(layer(width, size), layer(size, size), layer(size, width)),
                    Activation.RELU);
        }
        Perceptron head = new Perceptron(
                table, "mlp_head", List.of(layer(2L * size, 2L * size), layer(2L * size, width)), Activation.RELU);
        return new Recurrent(
                head, lstm(width, size, settings.lstmLayers()), size, settings.lstmLayers(), settings.dropout());
    }

    private Map<String, Tensor> lstm(long width, long size, int layers) {
        Map<String, Tensor> weights = new LinkedHashMap<>();
        double bound = 1 / Math.sqrt((double) size);
        for (int i = 0; i < layers; i++) {
            long in = i == 0 ? width : 2 * size;
            for (String direction : List.of("", "_reverse")) {
                String end = "_l" + i + direction;
                weights.put("weight_ih" + end, Tensors.uniform(device, random, bound, 4 * size, in));
                weights.put("weight_hh" + end, Tensors.uniform(device, random, bound, 4 * size, size));
                weights.put("bias_ih" + end, Tensors.uniform(device, random, bound, 4 * size));
                weights.put("bias_hh" + end, Tensors.uniform(device, random, bound, 4 * size));
            }
        }
        return weights;
    }

    /** @param tokenize the ids of a text; null when there is no tokenizer */
    VirtualTokenEncoder prompt(PromptTuningSettings settings, @Nullable Function<String, int[]> tokenize) {
        int count = settings.virtualTokens();
        if (settings.start() == PromptTuningSettings.Start.RANDOM) {
            return new Table(table(count, base.config().hiddenSize()));
        }
        long[] ids = new long[count];
        if (settings.start() == PromptTuningSettings.Start.TEXT) {
            int[] text = ids(settings, tokenize);
            for (int i = 0; i < count; i++) {
                ids[i] = text[i % text.length];
            }
        } else {
            ids = random.longs(count, 0, base.embedding().vocabulary()).toArray();
        }
        try (NoGradGuard off = new NoGradGuard()) {
            Tensor rows = base.embedding().forward(base.tokens(ids, 1, count)).view(count, -1);
            return new Table(rows.to(ScalarType.Float).clone());
        }
    }

    private static int[] ids(PromptTuningSettings settings, @Nullable Function<String, int[]> tokenize) {
        if (tokenize == null || settings.text() == null) {
            throw new SettingsException(
                    List.of("prompt tuning from a text needs the model's tokenizer; give one or start at random"));
        }
        int[] ids = tokenize.apply(settings.text());
        if (ids.length == 0) {
            throw new SettingsException(List.of("the text that the prompt starts from has no tokens; give words"));
        }
        return ids;
    }

    private Tensor table(long rows, long width) {
        return Tensors.normal(device, random, 1, rows, width);
    }

    private Layer layer(long in, long out) {
        double bound = 1 / Math.sqrt((double) in);
        return new Layer(Tensors.uniform(device, random, bound, out, in), Tensors.uniform(device, random, bound, out));
    }
}
