package dev.finetune4j.lora.adapter.peft;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/** Makes an adapter add more or less to its base. Stateless. */
public final class AdapterScale {
    private static final String LORA = ".lora_";
    private static final List<String> FACTORS = List.of(".lora_B", ".lora_embedding_B");
    private static final String MAGNITUDE = ".lora_magnitude";

    private AdapterScale() {}

    /**
     * Multiplies what an adapter adds to its base, for good. To be called before it is used.
     *
     * @param scale a number
     * @throws SettingsException when the adapter has parts that are not added to the base in proportion, such as DoRA's magnitudes
     */
    public static void apply(PeftAdapter adapter, double scale) {
        if (!Double.isFinite(scale)) {
            throw new SettingsException(List.of("scale must be a number, but is " + scale));
        }
        try (Lifetime.Use use = adapter.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Map<String, Tensor> parameters = adapter.parameters();
            List<String> others = new ArrayList<>();
            parameters.keySet().stream()
                    .filter(name -> !name.contains(LORA) || name.contains(MAGNITUDE))
                    .forEach(others::add);
            if (!others.isEmpty()) {
                throw new SettingsException(
                        List.of("only plain LoRA can be scaled, but the adapter has " + others.get(0)
                                + (others.size() > 1 ? " and " + (others.size() - 1) + " more of that kind" : "")
                                + "; leave scale at 1"));
            }
            parameters.forEach((name, tensor) -> {
                if (FACTORS.stream().anyMatch(name::contains)) {
                    tensor.mul_(Tensors.scalar(scale));
                }
            });
        }
    }
}
