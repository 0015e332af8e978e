package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.PartMapper;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.function.BiConsumer;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The trained part of a LoRA fine-tuning: a pair of small matrices for each adapted linear.
 *
 * <p>An adapter owns its matrices and nothing of the base. {@link #attachTo} gives a model that uses them; the base itself
 * is unchanged. Safe to use from several threads while nothing trains it; close it after the last use.
 */
public final class LoraAdapter implements AutoCloseable {
    /**
     * The two factors of one linear.
     *
     * @param a shape (r, in), float32
     * @param b shape (out, r), float32
     * @param magnitude shape (out), float32; null unless {@link LoraSettings#weightDecomposed()}
     */
    public record Factors(Tensor a, Tensor b, @Nullable Tensor magnitude) {
        /** Hands over each tensor by the part of its name in a file. */
        void forEach(BiConsumer<String, Tensor> sink) {
            sink.accept("lora_A.weight", a);
            sink.accept("lora_B.weight", b);
            if (magnitude != null) {
                sink.accept("lora_magnitude_vector", magnitude);
            }
        }
    }

    private final LoraSettings settings;
    private final Map<String, Factors> factors;
    private boolean closed;

    LoraAdapter(LoraSettings settings, Map<String, Factors> factors) {
        this.settings = settings;
        this.factors = factors;
    }

    /**
     * A fresh adapter that changes nothing yet: A is drawn evenly from ±1/√in, as PEFT's Kaiming initialisation with a = √5
     * gives, and B is zero. The numbers depend on the seed alone.
     *
     * @throws dev.finetune4j.core.SettingsException when a target matches no linear of the model
     */
    public static LoraAdapter create(CausalLM base, LoraSettings settings, long seed) {
        Map<String, Linear> linears = base.linears();
        ComputeDevice device = base.placement().device();
        SplittableRandom random = new SplittableRandom(seed);
        Map<String, Factors> factors = new LinkedHashMap<>();
        try (TensorScope scope = new TensorScope()) {
            for (String name : settings.targets().resolve(linears.keySet())) {
                Linear linear = Objects.requireNonNull(linears.get(name));
                double bound = 1 / Math.sqrt((double) linear.inFeatures());
                Tensor a = Tensors.uniform(device, random, bound, settings.rankOf(name), linear.inFeatures());
                Tensor b = Tensors.zeros(device, ScalarType.Float, linear.outFeatures(), settings.rankOf(name));
                factors.put(name, new Factors(a, b, settings.weightDecomposed() ? lengths(linear) : null));
            }
            factors.values().forEach(pair -> pair.forEach((part, tensor) -> scope.release(tensor)));
        }
        return new LoraAdapter(settings, factors);
    }

    /** The length of each row of a linear's weight, shape (out): with it an adapter changes nothing yet. */
    private static Tensor lengths(Linear linear) {
        try (TensorScope scope = new TensorScope()) {
            return scope.keep(
                    linear.denseWeight().pow(new Scalar(2)).sum(1).sqrt().detach());
        }
    }

    /** Rank, scale and targets. */
    public LoraSettings settings() {
        return settings;
    }

    /** The factors by module path of their linear. */
    public Map<String, Factors> factors() {
        requireOpen();
        return java.util.Collections.unmodifiableMap(factors);
    }

    /** A model over the base's parts in which the adapted linears add this adapter's product. */
    public CausalLM attachTo(CausalLM base) {
        requireOpen();
        return base.map(new PartMapper() {
            @Override
            public Linear linear(String name, Linear linear) {
                Factors pair = factors.get(name);
                return pair == null
                        ? linear
                        : new LoraLinear(
                                linear,
                                pair.a(),
                                pair.b(),
                                settings.scaleOf(name),
                                settings.dropout(),
                                pair.magnitude());
            }
        });
    }

    /** The tensors to train, by the names that they have in a PEFT file. */
    public Map<String, Tensor> parameters() {
        requireOpen();
        Map<String, Tensor> parameters = new LinkedHashMap<>();
        factors.forEach((name, pair) ->
                pair.forEach((part, tensor) -> parameters.put(AdapterFiles.tensorName(name, part), tensor)));
        return parameters;
    }

    /** Number of trainable values. */
    public long parameterCount() {
        return parameters().values().stream().mapToLong(Tensor::numel).sum();
    }

    private void requireOpen() {
        if (closed) {
            throw new IllegalStateException("the adapter is closed; load it again to use it");
        }
    }

    /** Frees the factors. Closing twice is fine. */
    @Override
    public void close() {
        if (!closed) {
            closed = true;
            factors.values().forEach(pair -> pair.forEach((part, tensor) -> tensor.close()));
        }
    }
}
