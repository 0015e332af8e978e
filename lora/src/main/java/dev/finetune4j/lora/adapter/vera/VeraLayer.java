package dev.finetune4j.lora.adapter.vera;

import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.lora.adapter.layer.AdapterLayer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;

/**
 * The matrices that all linears of a VeRA adapter share, and the vectors of each.
 *
 * @param a shape (r, largest in), float32, not trained
 * @param b shape (largest out, r), float32, not trained
 * @param vectors by module path
 * @param dropout share of the input that training hides from A
 * @param saved whether a file holds the matrices
 */
record VeraLayer(Tensor a, Tensor b, Map<String, Vectors> vectors, double dropout, boolean saved)
        implements AdapterLayer {
    static final String A = "vera_A";
    static final String B = "vera_B";
    static final String LAMBDA_B = "vera_lambda_b";
    static final String LAMBDA_D = "vera_lambda_d";

    /**
     * What is trained of one linear.
     *
     * @param b factors on what B puts out, shape (out), float32
     * @param d factors on what A puts out, shape (r), float32
     * @param module number of the linear within the model, for the masks of dropout
     */
    record Vectors(Tensor b, Tensor d, int module) {}

    /** Whether the pass in progress hides some of the input. */
    boolean isDropping() {
        return dropout > 0 && Dropout.isActive();
    }

    @Override
    public Map<String, Tensor> trained() {
        Map<String, Tensor> trained = new LinkedHashMap<>();
        vectors.forEach((path, own) -> {
            trained.put(path + "." + LAMBDA_B, own.b());
            trained.put(path + "." + LAMBDA_D, own.d());
        });
        return trained;
    }

    @Override
    public Map<String, Tensor> stored() {
        Map<String, Tensor> stored = trained();
        if (saved) {
            stored.put(A, a);
            stored.put(B, b);
        }
        return stored;
    }

    @Override
    public List<Tensor> owned() {
        List<Tensor> owned = new ArrayList<>(trained().values());
        owned.add(a);
        owned.add(b);
        return owned;
    }

    @Override
    public Linear wrap(String path, Linear base) {
        return new VeraLinear(base, this, Objects.requireNonNull(vectors.get(path)));
    }
}
