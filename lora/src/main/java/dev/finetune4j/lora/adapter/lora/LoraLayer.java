package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.lora.adapter.layer.AdapterLayer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The low-rank factors of one linear.
 *
 * @param factorA shape (r, in)
 * @param factorB shape (out, r)
 * @param bias added to what B puts out, shape (out), float32; null for none
 * @param magnitude length of each row of the adapted weight, shape (out), float32; null unless it is trained apart
 * @param subtracted the initial factors A₀ and B₀ whose product is taken from the base, which leaves its residual weight (PiSSA,
 *     OLoRA); null when the base computes as it is
 * @param scale factor on the products
 * @param dropout share of the input that training hides from A
 * @param module number of the linear within the model, for the masks of dropout
 * @param norms of the adapted weight's rows, which the magnitude replaces; owned
 * @param storedAtDoubleRank whether a file holds an ordinary adapter of rank 2r: the subtracted factors, or zeros, follow the
 *     trained ones
 */
record LoraLayer(
        Parameter factorA,
        Parameter factorB,
        @Nullable Tensor bias,
        @Nullable Tensor magnitude,
        @Nullable Factors subtracted,
        double scale,
        double dropout,
        int module,
        RowNorms norms,
        boolean storedAtDoubleRank)
        implements AdapterLayer {
    static final String A = "lora_A.weight";
    static final String B = "lora_B.weight";
    static final String BIAS = "lora_B.bias";
    static final String MAGNITUDE = "lora_magnitude_vector";

    /**
     * Two factors.
     *
     * @param a shape (r, in), float32
     * @param b shape (out, r), float32
     */
    record Factors(Tensor a, Tensor b) {}

    /** The master weights of A, float32. */
    Tensor a() {
        return factorA.master();
    }

    /** A in the type of a product. */
    Tensor a(ScalarType type) {
        return factorA.as(type);
    }

    /** The master weights of B, float32. */
    Tensor b() {
        return factorB.master();
    }

    /** B in the type of a product. */
    Tensor b(ScalarType type) {
        return factorB.as(type);
    }

    /** Whether the pass in progress hides some of the input. */
    boolean isDropping() {
        return dropout > 0 && Dropout.isActive();
    }

    @Override
    public Map<String, Tensor> trained() {
        return named(a(), b());
    }

    @Override
    public Map<String, Parameter> parameters() {
        Map<String, Parameter> parameters = Parameter.named(trained());
        parameters.put(A, factorA);
        parameters.put(B, factorB);
        return parameters;
    }

    private Map<String, Tensor> named(Tensor first, Tensor second) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put(A, first);
        tensors.put(B, second);
        if (bias != null) {
            tensors.put(BIAS, bias);
        }
        if (magnitude != null) {
            tensors.put(MAGNITUDE, magnitude);
        }
        return tensors;
    }

    @Override
    public Map<String, Tensor> stored() {
        if (!storedAtDoubleRank) {
            return trained();
        }
        try (NoGradGuard off = new NoGradGuard()) {
            Tensor moreA = subtracted == null ? torch.zeros_like(a()) : subtracted.a();
            Tensor moreB =
                    subtracted == null ? torch.zeros_like(b()) : subtracted.b().neg();
            return named(
                    torch.cat(new TensorVector(a(), moreA), 0), // (2r, in)
                    torch.cat(new TensorVector(b(), moreB), 1)); // (out, 2r)
        }
    }

    @Override
    public Map<String, Tensor> frozen() {
        return subtracted == null ? Map.of() : Map.of(A, subtracted.a(), B, subtracted.b());
    }

    @Override
    public List<Tensor> owned() {
        List<Tensor> owned = new ArrayList<>(trained().values());
        if (subtracted != null) {
            owned.add(subtracted.a());
            owned.add(subtracted.b());
        }
        return owned;
    }

    @Override
    public void close() {
        owned().forEach(Tensor::close);
        norms.close();
    }

    @Override
    public boolean addsBias() {
        return bias != null;
    }

    @Override
    public Linear wrap(Linear base) {
        return new LoraLinear(base, this);
    }
}
