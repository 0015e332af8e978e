package dev.finetune4j.lora.objective;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A packed batch is the padded one without its padding: the model makes the same of each sequence, and so does the loss. */
class PackedBatchTest {
    private static List<EncodedExample> examples(int vocabulary) {
        SplittableRandom random = new SplittableRandom(7);
        List<EncodedExample> examples = new ArrayList<>();
        for (int length : new int[] {5, 1, 12, 3, 9}) {
            int[] ids = random.ints(length, 0, vocabulary).toArray();
            int[] labels = new int[length];
            for (int i = 0; i < length; i++) {
                labels[i] = i % 3 == 0 || i + 1 == length ? Labels.IGNORE : ids[i + 1];
            }
            examples.add(new EncodedExample(ids, labels));
        }
        return examples;
    }

    @Test
    void aPackedBatchHasTheHiddenStatesAndTheLossOfThePaddedOne() {
        try (CausalLM model = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            List<EncodedExample> examples = examples(model.config().vocabSize());
            Batch padded = new Collator(0, 1).collate(examples);
            Batch packed = new Collator(0, new Collator.Multiple(8), Collator.Layout.PACKED).collate(examples);
            assertEquals(32, packed.length());
            assertEquals(padded.targetTokens(), packed.targetTokens());
            Tensor alone = model.hidden(
                    ModelInput.padded(model.tokens(padded.inputIds(), padded.rows(), padded.length()))); // (5, 12, D)
            Tensor together = model.hidden(ModelInput.packed(
                    model.tokens(packed.inputIds(), 1, packed.length()), packed.packedLengths())); // (1, 32, D)
            float[] expected = Tensors.toFloats(alone);
            float[] actual = Tensors.toFloats(together);
            int width = model.config().hiddenSize();
            for (int i = 0; i < examples.size(); i++) {
                Batch.Sequence from = padded.sequences().get(i);
                Batch.Sequence to = packed.sequences().get(i);
                assertArrayEquals(
                        Arrays.copyOfRange(expected, from.start() * width, from.end() * width),
                        Arrays.copyOfRange(actual, to.start() * width, to.end() * width),
                        1e-4f,
                        "sequence " + i);
            }
            double loss = NextTokenLoss.sum(alone, model::logits, padded.labels());
            assertTrue(loss > 1);
            assertEquals(loss, NextTokenLoss.sum(together, model::logits, packed.labels()), 1e-5 * loss);
            long[] wanted = padded.labels();
            long[] chosen = Tensors.toLongs(model.logits(alone).argmax(new LongOptional(-1), false));
            long correct = IntStream.range(0, wanted.length)
                    .filter(i -> wanted[i] == chosen[i])
                    .count();
            double[] judged = new SftObjective().evaluate(model, packed);
            assertArrayEquals(new double[] {loss, correct, padded.targetTokens()}, judged, 1e-5 * loss);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "llama, false, 0, false",
        "llama, false, 1, false",
        "llama, true, 0, false",
        "gemma2, false, 0, false",
        "gemma3, false, 1, true"
    })
    void aTrainingOnPackedRowsHasTheLossesOfPaddedOnes(
            String family, boolean quantized, int every, boolean keepsAttention) {
        ActivationCheckpointing policy = new ActivationCheckpointing(every, keepsAttention);
        LinearFactory factory = quantized ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
        try (CausalLM model = Fixtures.model(Fixtures.tinyModel(family), factory)) {
            // In float32 a GPU has no attention that is quicker on packed rows; it is as exact there.
            assertEquals(model.placement().device().kind() == ComputeDevice.Kind.CPU, model.supportsPacking());
            List<Double> padded = losses(model, policy, new Collator(0, 1));
            List<Double> packed =
                    losses(model, policy, new Collator(0, new Collator.FewSizes(), Collator.Layout.PACKED));
            assertTrue(padded.get(9) < 0.95 * padded.get(0), "the model learns: " + padded);
            for (int i = 0; i < padded.size(); i++) {
                assertEquals(padded.get(i), packed.get(i), 1e-5 * padded.get(i), "step " + i);
            }
        }
    }

    private static List<Double> losses(CausalLM base, ActivationCheckpointing policy, Collator collator) {
        BatchLoader loader = new BatchLoader(examples(base.config().vocabSize()), 3, 2, 1, collator, true);
        TrainingSettings settings = TrainingSettings.builder()
                .maxSteps(10)
                .learningRate(5e-3)
                .schedule(LearningRateSchedule.constant(), 0)
                .build();
        try (PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
            return new Trainer(
                            adapter.attachTo(base).withActivations(policy),
                            adapter.trainable(),
                            loader,
                            settings,
                            List.of(),
                            () -> false)
                    .run().steps().stream().map(StepReport::loss).toList();
        }
    }
}
