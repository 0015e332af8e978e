package dev.finetune4j.lora.train.loop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.data.batch.EncodedSequence;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.objective.SftObjective;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Steps of a miniature, whose numbers mean nothing but are numbers. */
class WarmUpPassesTest {
    private static final int VOCABULARY = 20;

    @ParameterizedTest
    @CsvSource({"llama, false", "gemma2, false", "gemma3, true"})
    void stepsOfAMiniatureAreDoneUntilCancelled(String name, boolean quantized) {
        PretrainedFolder folder = PretrainedFolder.open(Fixtures.tinyModel(name));
        LinearFactory factory = quantized ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
        LoraSettings lora = LoraSettings.defaults();
        TrainingSettings settings =
                TrainingSettings.builder().batchSize(2).gradientAccumulation(2).build();
        // Ids beyond the miniature's vocabulary.
        List<EncodedExample> examples = List.of(
                new EncodedExample(new int[] {1, 300, 7, 41}, new int[] {-100, 7, 41, -100}),
                new EncodedExample(new int[] {2, 25}, new int[] {25, -100}),
                new EncodedExample(new int[] {3, 9, 27}, new int[] {9, 27, -100}));
        BatchLoader loader = new BatchLoader(examples, 2, 2, 1, new Collator(0, 1), true);
        AtomicInteger asked = new AtomicInteger();
        try (CausalLM small = ModelLoader.miniature(folder, VOCABULARY, factory, Placement.cpuFp32());
                PeftAdapter adapter = AdapterKinds.create(small, lora, InitSources.seed(3))) {
            assertEquals(VOCABULARY, small.config().vocabSize());
            assertTrue(small.config().layers() >= 2);
            assertEquals(
                    List.copyOf(new LinkedHashSet<>(folder.config().layerTypes())),
                    small.config().layerTypes().stream().distinct().toList());
            new WarmUpPasses(
                            adapter.attachTo(small),
                            adapter.trainable(),
                            ParameterGroups.ONE,
                            new SftObjective(),
                            settings)
                    .run(loader, 100, () -> asked.incrementAndGet() > 3);
            assertEquals(new BatchLoader.Position(3, 0), loader.position());
            try (TensorScope scope = new TensorScope()) {
                float[] logits = Tensors.toFloats(small.logits(
                        small.hidden(ModelInput.padded(small.tokens(new long[] {1, 2, 3}, 1, 3)))));
                for (float logit : logits) {
                    assertTrue(Float.isFinite(logit), () -> "a logit is " + logit);
                }
            }
        }
        assertArrayEquals(
                new int[] {1, 300, 7, 41}, examples.get(0).sequences().get(0).inputIds());
    }

    /** Where two answers share their prompt in a row, they do in the miniature too. */
    @Test
    void answersThatShareTheirPromptHaveThePlacesOfTheTraining() {
        int[] labels = {-100, -100, 41, -100};
        List<EncodedExample> pairs = List.of(new EncodedExample(List.of(
                new EncodedSequence(new int[] {1, 300, 7, 41}, labels, EncodedSequence.Kind.CHOSEN),
                new EncodedSequence(new int[] {1, 300, 7, 52}, labels, EncodedSequence.Kind.REJECTED))));
        Collator collator = new Collator(0, new Collator.Multiple(1), Collator.Layout.SHARED);
        assertTrue(collator.collate(pairs).isShared());
        BatchLoader loader = new BatchLoader(pairs, 1, 1, 1, collator, true);
        try (CausalLM small = ModelLoader.miniature(
                        PretrainedFolder.open(Fixtures.tinyModel("llama")),
                        VOCABULARY,
                        LinearFactory.dense(),
                        Placement.cpuFp32());
                PeftAdapter adapter = AdapterKinds.create(small, LoraSettings.defaults(), InitSources.seed(3))) {
            new WarmUpPasses(
                            adapter.attachTo(small),
                            adapter.trainable(),
                            ParameterGroups.ONE,
                            new SftObjective(),
                            TrainingSettings.builder().batchSize(1).build())
                    .run(loader, 1, () -> false);
            assertEquals(new BatchLoader.Position(1, 0), loader.position());
        }
    }
}
