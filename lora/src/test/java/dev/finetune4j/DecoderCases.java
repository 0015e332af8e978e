package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.Ia3Settings;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/** What decoders are held against. */
final class DecoderCases {
    static final long[] PROMPT = {17, 250, 33, 201, 12, 99, 7};

    private DecoderCases() {}

    /** An adapter whose B is not zero, so that it changes the output. */
    static PeftAdapter adapter(CausalLM base) {
        return adapter(base, 0, 0.02);
    }

    /** One of many such adapters. */
    static PeftAdapter adapter(CausalLM base, long seed, double deviation) {
        return filled(AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(seed)), seed, deviation);
    }

    private static PeftAdapter filled(PeftAdapter adapter, long seed, double deviation) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            adapter.parameters().forEach((name, tensor) -> {
                if (name.contains("lora_B")) {
                    SplittableRandom random = new SplittableRandom(name.hashCode() + seed);
                    tensor.copy_(Tensors.normal(ComputeDevice.cpu(), random, deviation, tensor.shape()));
                }
            });
        }
        return adapter;
    }

    /** An adapter of all experts of each layer together, whose B is not zero, and of the linears besides. */
    static PeftAdapter ofExperts(CausalLM base) {
        return ofExperts(base, 0, 0.1);
    }

    /** An adapter of each expert's own linears. */
    static PeftAdapter ofSingleExperts(CausalLM base) {
        LoraSettings settings = LoraSettings.builder()
                .targetModules("q_proj", "gate_proj", "up_proj", "down_proj")
                .rank(6)
                .alpha(12)
                .build();
        return filled(AdapterKinds.create(base, settings, InitSources.seed(0)), 0, 0.1);
    }

    /** One of many such adapters; the ranks of the stacks differ, and neither is what kernels like best. */
    static PeftAdapter ofExperts(CausalLM base, long seed, double deviation) {
        LoraSettings settings = LoraSettings.builder()
                .targetModules(TargetModules.allLinear())
                .targetParameters("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
                .rank(6)
                .alpha(12)
                .rankPattern(Map.of("down_proj", 3))
                .build();
        return filled(AdapterKinds.create(base, settings, InitSources.seed(seed)), seed, deviation);
    }

    /** Adapters that rescale products. */
    enum Rescaling {
        DORA,
        IA3;

        /** One whose values are not those of the beginning. */
        PeftAdapter adapter(CausalLM base) {
            AdapterSettings settings = this == IA3
                    ? Ia3Settings.defaults()
                    : LoraSettings.defaults().toBuilder().useDora(true).build();
            PeftAdapter adapter = AdapterKinds.create(base, settings, InitSources.seed(1));
            train(adapter);
            return adapter;
        }
    }

    /** Changes all that is trained, in place. */
    static void train(PeftAdapter adapter) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            adapter.parameters().forEach((name, tensor) -> {
                SplittableRandom random = new SplittableRandom(name.hashCode());
                Tensor change = Tensors.empty(Tensors.deviceOf(tensor), Tensors.typeOf(tensor), tensor.shape());
                tensor.add_(change.copy_(Tensors.normal(ComputeDevice.cpu(), random, 0.02, tensor.shape())));
                if (!name.contains("lora_A") && !name.contains("lora_B")) {
                    tensor.mul_(Tensors.scalar(1.2));
                }
            });
        }
    }

    /** The logits after the last token of each row by the ordinary pass. */
    static float[] ordinary(CausalLM model, KvCache cache, int rows, long... ids) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            int tokens = ids.length / rows;
            Tensor hidden = model.hidden(ModelInput.cached(model.tokens(ids, rows, tokens), cache));
            return Tensors.toFloats(model.logits(hidden.narrow(1, tokens - 1L, 1)));
        }
    }

    /**
     * Takes up anew what caches held, where the frequencies of the next length are others.
     *
     * @param ids of all rows so far, row by row
     */
    static void followLength(CausalLM model, int rows, long[] ids, KvCache... caches) {
        for (KvCache cache : caches) {
            if (!cache.goesOnTo(cache.length() + 1)) {
                assertEquals(0, model.prepare(cache, cache.length() + 1));
                ordinary(model, cache, rows, ids);
            }
        }
    }

    /** The ids of all rows, row by row, with one more of each. */
    static long[] append(int rows, long[] ids, long... next) {
        int tokens = ids.length / rows;
        long[] all = new long[ids.length + rows];
        for (int row = 0; row < rows; row++) {
            System.arraycopy(ids, row * tokens, all, row * (tokens + 1), tokens);
            all[row * (tokens + 1) + tokens] = next[row];
        }
        return all;
    }

    static double squaredDistance(float[] expected, float[] actual) {
        assertEquals(expected.length, actual.length);
        double sum = 0;
        for (int i = 0; i < expected.length; i++) {
            double difference = (double) expected[i] - actual[i];
            sum += difference * difference;
        }
        return sum;
    }
}
