package dev.finetune4j.lora.adapter.lora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.Fixtures;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.Combination;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Combined adapters against PEFT 0.21: {@code combinations/golden.safetensors} holds what its {@code add_weighted_adapter} makes. There
 * and here DARE drops the numbers of one rule instead of random ones.
 */
class LoraCombinerTest {
    private static final double CLOSE = 2e-6;

    static Stream<Integer> cases() {
        return IntStream.range(
                        0,
                        TestData.json(TestData.resource("combinations/cases.json"))
                                .size())
                .boxed();
    }

    /** Number i of the n-th tensor is kept when the last digit of 7 i + 3 n is below ten times the density. */
    private static RandomMasks byRule() {
        int[] calls = {0};
        return (like, density) -> {
            float[] mask = new float[Math.toIntExact(like.numel())];
            for (int i = 0; i < mask.length; i++) {
                mask[i] = (7 * i + 3 * calls[0]) % 10 < 10 * density - 1e-6 ? 1 : 0;
            }
            calls[0]++;
            return Tensors.ofFloats(Tensors.deviceOf(like), mask, like.shape());
        };
    }

    private static Combination how(JsonNode each) {
        Combination how = Combination.of(
                        Combination.Type.valueOf(each.path("type").asText().toUpperCase(Locale.ROOT)))
                .density(each.path("density").asDouble(1))
                .svdRank(each.path("svd_rank").asInt(0));
        return each.path("majority_sign_method").asText().equals("frequency")
                ? how.majoritySign(Combination.MajoritySign.FREQUENCY)
                : how;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void hasTheNumbersOfPeft(int number) {
        JsonNode each =
                TestData.json(TestData.resource("combinations/cases.json")).get(number);
        try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                SafetensorsFile golden = SafetensorsFile.open(TestData.resource("combinations/golden.safetensors"))) {
            List<PeftAdapter> adapters = new ArrayList<>();
            List<Double> weights = new ArrayList<>();
            for (JsonNode name : each.path("adapters")) {
                adapters.add(AdapterFiles.load(TestData.resource("combinations/" + name.asText()), base));
            }
            each.path("weights").forEach(weight -> weights.add(weight.doubleValue()));
            try (PeftAdapter combined = LoraCombiner.combine(adapters, weights, how(each), base, byRule())) {
                compare(golden, number + ".", combined, how(each).type().decomposes());
                LoraSettings settings = (LoraSettings) combined.settings();
                assertEquals(each.path("rank").intValue(), settings.rank());
                assertEquals(1, settings.scaleOf("q_proj"));
            } finally {
                adapters.forEach(PeftAdapter::close);
            }
        }
    }

    /** A singular value decomposition is unique up to signs, so the products are compared then. */
    private static void compare(SafetensorsFile golden, String prefix, PeftAdapter combined, boolean products) {
        Map<String, Tensor> actual = combined.stored();
        List<String> names =
                golden.names().stream().filter(name -> name.startsWith(prefix)).toList();
        assertEquals(names.size(), actual.size(), "tensors");
        for (String name : names) {
            String here = name.substring(prefix.length());
            try (TensorScope scope = new TensorScope()) {
                boolean product = products && name.contains("lora_B");
                float[] expected = product ? product(golden, name) : TensorData.floats(golden, name);
                float[] found = product
                        ? Tensors.toFloats(actual.get(here).matmul(actual.get(here.replace("lora_B", "lora_A"))))
                        : Tensors.toFloats(actual.get(here));
                if (!products || product) {
                    double error = TensorData.relativeError(expected, found);
                    assertTrue(error <= CLOSE * (product ? 5 : 1), () -> name + ": relative error " + error);
                }
            }
        }
    }

    private static float[] product(SafetensorsFile golden, String nameOfB) {
        return Tensors.toFloats(golden.read(nameOfB).matmul(golden.read(nameOfB.replace("lora_B", "lora_A"))));
    }

    @Test
    void sameSeedSameNumbers() {
        try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                PeftAdapter one = AdapterFiles.load(TestData.resource("combinations/one"), base);
                PeftAdapter two = AdapterFiles.load(TestData.resource("combinations/two"), base)) {
            Combination how = Combination.of(Combination.Type.DARE_LINEAR).density(0.5);
            try (PeftAdapter first = LoraCombiner.combine(List.of(one, two), List.of(1.0, 1.0), how, base);
                    PeftAdapter same = LoraCombiner.combine(List.of(one, two), List.of(1.0, 1.0), how, base);
                    PeftAdapter other = LoraCombiner.combine(List.of(one, two), List.of(1.0, 1.0), how.seed(5), base)) {
                assertEquals(0, difference(first, same));
                assertTrue(difference(first, other) > 0, "another seed drops the same numbers");
            }
        }
    }

    private static double difference(PeftAdapter one, PeftAdapter other) {
        double largest = 0;
        for (Map.Entry<String, Tensor> entry : one.stored().entrySet()) {
            float[] a = Tensors.toFloats(entry.getValue());
            float[] b = Tensors.toFloats(other.stored().get(entry.getKey()));
            for (int i = 0; i < a.length; i++) {
                largest = Math.max(largest, Math.abs(a[i] - b[i]));
            }
        }
        return largest;
    }

    @Test
    void ranksMustBeEqualWhereFactorsAreAdded() {
        try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                PeftAdapter one = AdapterFiles.load(TestData.resource("combinations/one"), base);
                PeftAdapter six = AdapterFiles.load(TestData.resource("combinations/six"), base)) {
            SettingsException refused = assertThrows(
                    SettingsException.class,
                    () -> LoraCombiner.combine(
                            List.of(one, six), List.of(1.0, 1.0), Combination.of(Combination.Type.TIES), base));
            assertTrue(refused.getMessage().contains("[4, 6]"), refused.getMessage());
        }
    }
}
