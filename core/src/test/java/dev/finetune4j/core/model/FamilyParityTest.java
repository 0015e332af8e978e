package dev.finetune4j.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import dev.finetune4j.testsupport.TestGpu;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Logits, loss and a gradient of transformers against ours for configurations that decide something: both spellings,
 * windows that are on and off, each kind of rotary scaling on either side of its length.
 */
class FamilyParityTest {
    static List<String> cases() {
        try (Stream<Path> folders = Files.list(TestData.resource("model"))) {
            return folders.map(folder -> folder.getFileName().toString())
                    .sorted()
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static CausalLM load(Path folder) {
        return ModelLoader.load(PretrainedFolder.open(folder), LinearFactory.dense(), Placement.cpuFp32());
    }

    @ParameterizedTest
    @MethodSource("cases")
    void hasTheLogitsLossAndGradientOfTransformers(String name) {
        hasTheNumbersOfTransformers(name, Placement.cpuFp32());
    }

    @ParameterizedTest
    @MethodSource("cases")
    void hasThemOnAGpu(String name) {
        Needs.gpu();
        hasTheNumbersOfTransformers(name, new Placement(TestGpu.device(), Precision.FP32));
    }

    private static void hasTheNumbersOfTransformers(String name, Placement placement) {
        Path folder = TestData.resource("model/" + name);
        try (CausalLM model = ModelLoader.load(PretrainedFolder.open(folder), LinearFactory.dense(), placement);
                SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"));
                TensorScope scope = TensorScope.forStep()) {
            Tensor ids = Tensors.convert(golden.read("input_ids"), placement.device(), ScalarType.Long);
            Tensor weight = Objects.requireNonNull(model.parameters().get("model.layers.0.self_attn.o_proj.weight"));
            weight.set_requires_grad(true);
            Tensor hidden = model.hidden(ModelInput.padded(ids));
            TensorData.assertClose(
                    "values", TensorData.floats(golden, "logits"), Tensors.toFloats(model.logits(hidden)), 1e-4);
            long[] labels = next(Tensors.toLongs(ids));
            double sum = NextTokenLoss.lossAndBackward(hidden, model::logits, labels, 1.0 / (labels.length - 1));
            assertEquals(TensorData.floats(golden, "loss")[0], sum / (labels.length - 1), 1e-4);
            TensorData.assertClose(
                    "values", TensorData.floats(golden, "gradient"), Tensors.toFloats(weight.grad()), 1e-3);
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void aCacheChangesNothing(String name) {
        Path folder = TestData.resource("model/" + name);
        try (CausalLM model = load(folder);
                SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"));
                KvCache cache = model.newCache();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor ids = golden.read("input_ids");
            // Frequencies change with the length: of LongRoPE at 21 positions, dynamic ones from 25 on.
            boolean goes = model.rotaryKey(40) != model.rotaryKey(18);
            assertEquals(0, takeUp(model, cache, ids.narrow(1, 0, 18)));
            assertEquals(goes ? 0 : 18, takeUp(model, cache, ids));
            cache.truncate(13);
            assertEquals(goes ? 0 : 13, takeUp(model, cache, ids.narrow(1, 0, 17)));
            cache.truncate(16);
            assertEquals(16, takeUp(model, cache, ids.narrow(1, 0, 18)));
        }
    }

    /**
     * Takes up a text in pieces, whose logits are those of the whole text at once.
     *
     * @return how many of its tokens the cache still held
     */
    private static int takeUp(CausalLM model, KvCache cache, Tensor ids) {
        int count = Math.toIntExact(ids.size(1));
        int held = Math.toIntExact(model.prepare(cache, count));
        float[] whole = Tensors.toFloats(model.logits(model.hidden(ModelInput.padded(ids))));
        int from = held;
        for (int end : new int[] {4, 5, 6, 15, 16, 17, 18, 20, 21, 22, 24, 25, 26, 33, count}) {
            if (end > from && end <= count) {
                Tensor piece = ids.narrow(1, from, end - from);
                float[] actual = Tensors.toFloats(model.logits(model.hidden(ModelInput.cached(piece, cache))));
                TensorData.assertClose(
                        from + " to " + end, Arrays.copyOfRange(whole, from * 64, end * 64), actual, 1e-5);
                from = end;
            }
        }
        assertEquals(count, cache.length());
        return held;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void aPackedRowIsItsSequences(String name) {
        Path folder = TestData.resource("model/" + name);
        try (CausalLM model = load(folder);
                SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"));
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor ids = golden.read("input_ids");
            // Of the second row one sequence is so long that frequencies change, but they do for that one only.
            for (long[] lengths : List.of(new long[] {11, 1, 12, 16}, new long[] {8, 27, 5})) {
                float[] packed = Tensors.toFloats(model.logits(model.hidden(ModelInput.packed(ids, lengths))));
                int start = 0;
                for (long length : lengths) {
                    float[] alone = logits(model, ids.narrow(1, start, length));
                    int end = start + (int) length;
                    TensorData.assertClose("values", alone, Arrays.copyOfRange(packed, start * 64, end * 64), 1e-5);
                    start = end;
                }
            }
        }
    }

    private static float[] logits(CausalLM model, Tensor ids) {
        return Tensors.toFloats(model.logits(model.hidden(ModelInput.padded(ids))));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void paddedRowsAreTheirSequences(String name) {
        Path folder = TestData.resource("model/" + name);
        try (CausalLM model = load(folder);
                SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"));
                TensorScope scope = TensorScope.forStep()) {
            Tensor row = golden.read("input_ids");
            Tensor ids = torch.cat(new TensorVector(row, row, row), 0); // (3, 40)
            long[] lengths = {18, 40, 23};
            Tensor weight = Objects.requireNonNull(model.parameters().get("model.layers.0.self_attn.o_proj.weight"));
            weight.set_requires_grad(true);
            List<Tensor> alone = new ArrayList<>();
            for (long length : lengths) {
                Tensor hidden = model.hidden(ModelInput.padded(row.narrow(1, 0, length)));
                alone.add(hidden.flatten());
                hidden.square().sum().backward();
            }
            float[] gradient = Tensors.toFloats(weight.grad());
            for (ActivationCheckpointing activations :
                    List.of(ActivationCheckpointing.none(), ActivationCheckpointing.all())) {
                weight.mutable_grad().put(new Tensor());
                Tensor padded =
                        model.withActivations(activations).hidden(ModelInput.padded(ids, lengths)); // (3, 40, D)
                Tensor sum = Tensors.zeros(Tensors.deviceOf(ids), ScalarType.Float, 1);
                for (int i = 0; i < lengths.length; i++) {
                    Tensor own = padded.select(0, i).narrow(0, 0, lengths[i]);
                    TensorData.assertClose(
                            "row " + i, Tensors.toFloats(alone.get(i)), Tensors.toFloats(own.flatten()), 1e-5);
                    sum = sum.add(own.square().sum());
                }
                sum.backward();
                TensorData.assertClose("gradient", gradient, Tensors.toFloats(weight.grad()), 1e-5);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void aPackedRowHasTheGradientsOfItsSequences(String name) {
        Path folder = TestData.resource("model/" + name);
        try (CausalLM model = load(folder);
                SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"));
                TensorScope scope = TensorScope.forStep()) {
            Tensor ids = golden.read("input_ids");
            long[] lengths = {12, 1, 0, 27};
            Tensor weight = Objects.requireNonNull(model.parameters().get("model.layers.0.self_attn.o_proj.weight"));
            weight.set_requires_grad(true);
            model.hidden(ModelInput.packed(ids, lengths)).square().sum().backward();
            float[] packed = Tensors.toFloats(weight.grad());
            weight.mutable_grad().put(new Tensor());
            int start = 0;
            for (long length : lengths) {
                if (length > 0) {
                    model.hidden(ModelInput.padded(ids.narrow(1, start, length)))
                            .square()
                            .sum()
                            .backward();
                }
                start += (int) length;
            }
            TensorData.assertClose("values", Tensors.toFloats(weight.grad()), packed, 1e-5);
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void blocksThatAreComputedAgainHaveTheSameGradients(String name) {
        Path folder = TestData.resource("model/" + name);
        try (CausalLM model = load(folder);
                SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"))) {
            Tensor weight = Objects.requireNonNull(model.parameters().get("model.layers.0.self_attn.o_proj.weight"));
            weight.set_requires_grad(true);
            float[] kept = gradient(model, golden, weight);
            for (ActivationCheckpointing again : List.of(
                    ActivationCheckpointing.all(), ActivationCheckpointing.all().keepingAttention())) {
                TensorData.assertClose(
                        again.toString(), kept, gradient(model.withActivations(again), golden, weight), 1e-5);
            }
        }
    }

    private static float[] gradient(CausalLM model, SafetensorsFile golden, Tensor weight) {
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor ids = golden.read("input_ids");
            long[] labels = next(Tensors.toLongs(ids));
            NextTokenLoss.lossAndBackward(
                    model.hidden(ModelInput.padded(ids)), model::logits, labels, 1.0 / labels.length);
            float[] gradient = Tensors.toFloats(weight.grad());
            weight.mutable_grad().put(new Tensor());
            return gradient;
        }
    }

    private static long[] next(long[] ids) {
        long[] labels = Arrays.copyOfRange(ids, 1, ids.length + 1);
        labels[ids.length - 1] = Labels.IGNORE;
        return labels;
    }
}
