package dev.finetune4j.lora.adapter.peft;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/**
 * What a file of an adapter is to hold, copied to host memory, so that the adapter may change while it is written. Whoever made it
 * closes it.
 *
 * @param settings kind and shape
 * @param stored {@link PeftAdapter#stored}
 */
public record AdapterCopy(AdapterSettings settings, Map<String, Tensor> stored) implements AutoCloseable {
    /**
     * Copies an adapter as it is now; waits for the device.
     *
     * @throws IllegalStateException when it is closed
     */
    public static AdapterCopy of(PeftAdapter adapter) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Map<String, Tensor> copies = new LinkedHashMap<>();
            adapter.stored()
                    .forEach((name, tensor) -> copies.put(
                            name,
                            Tensors.empty(ComputeDevice.cpu(), Tensors.typeOf(tensor), tensor.shape())
                                    .copy_(tensor)));
            copies.values().forEach(scope::release);
            return new AdapterCopy(adapter.settings(), copies);
        }
    }

    @Override
    public void close() {
        stored.values().forEach(Tensor::close);
    }
}
