package dev.finetune4j.lora.objective;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.Labels;
import dev.finetune4j.core.inference.TextScores;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.data.batch.EncodedSequence;
import dev.finetune4j.testsupport.RandomWeights;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Where rotary frequencies go with the length of a text, one in a batch has those of its own, whatever lies beside or behind it. */
class LengthFrequenciesTest {
    /** Frequencies are those of a short text up to here. */
    private static final int SHORT = 16;

    @TempDir
    private Path folder;

    private CausalLM model(RandomWeights.Family family) {
        return RandomWeights.model(folder, family, LinearFactory.dense(), Placement.cpuFp32());
    }

    private static EncodedSequence sequence(int length, EncodedSequence.Kind kind) {
        int[] ids = new SplittableRandom(3).ints(length, 0, 300).toArray();
        int[] labels = IntStream.range(0, length)
                .map(i -> i < 2 || i + 1 == length ? Labels.IGNORE : ids[i + 1])
                .toArray();
        return new EncodedSequence(ids, labels, kind);
    }

    private static EncodedExample example(int length) {
        EncodedSequence text = sequence(length, EncodedSequence.Kind.CHOSEN);
        return new EncodedExample(text.inputIds(), text.labels());
    }

    private static List<EncodedExample> examples(int... lengths) {
        return Arrays.stream(lengths).mapToObj(LengthFrequenciesTest::example).toList();
    }

    private static double loss(CausalLM model, Batch batch) {
        return new SftObjective().evaluate(model, batch)[0];
    }

    @ParameterizedTest
    @EnumSource(
            value = RandomWeights.Family.class,
            names = {"PHI3", "DYNAMIC"})
    void aBatchHasTheLossOfItsTextsAlone(RandomWeights.Family family) {
        try (CausalLM model = model(family)) {
            List<EncodedExample> examples = examples(12, 5, 24, SHORT);
            double alone = examples.stream()
                    .flatMapToDouble(one -> DoubleStream.of(loss(model, new Collator(0, 1).collate(List.of(one)))))
                    .sum();
            for (Collator.Layout layout : List.of(Collator.Layout.PADDED, Collator.Layout.PACKED)) {
                for (int multiple : new int[] {1, 64}) {
                    Batch batch = new Collator(0, new Collator.Multiple(multiple), layout).collate(examples);
                    assertEquals(alone, loss(model, batch), 1e-5 * alone, layout + " to a multiple of " + multiple);
                }
            }
            double single = loss(model, new Collator(0, 64).collate(examples.subList(0, 1)));
            assertEquals(loss(model, new Collator(0, 1).collate(examples.subList(0, 1))), single, 1e-5 * single);
        }
    }

    @Test
    void scoresAreThoseOfEachTextAlone() {
        try (CausalLM model = model(RandomWeights.Family.PHI3)) {
            List<TextScores.Text> texts = IntStream.of(20, 9, 17, SHORT)
                    .mapToObj(length -> sequence(length, EncodedSequence.Kind.CHOSEN))
                    .map(sequence -> new TextScores.Text(sequence.inputIds(), sequence.labels()))
                    .toList();
            List<float[]> together = TextScores.of(model, texts, 1000);
            for (int i = 0; i < texts.size(); i++) {
                float[] alone =
                        TextScores.of(model, List.of(texts.get(i)), 1000).get(0);
                assertTrue(alone.length > 5);
                for (int t = 0; t < alone.length; t++) {
                    assertEquals(alone[t], together.get(i)[t], 1e-4, "text " + i + ", token " + t);
                }
            }
        }
    }

    /** A captured pass serves rows of one shape only if their frequencies are the same. */
    @Test
    void theShapeOfABatchKnowsItsFrequencies() {
        try (CausalLM model = model(RandomWeights.Family.PHI3)) {
            Collator collator = new Collator(0, 32);
            try (DeviceBatch near = DeviceBatch.ofTokens(model, collator.collate(examples(12, SHORT)), 1, 1);
                    DeviceBatch far = DeviceBatch.ofTokens(model, collator.collate(examples(20, 24)), 1, 1);
                    DeviceBatch both = DeviceBatch.ofTokens(model, collator.collate(examples(12, 24)), 1, 1);
                    DeviceBatch copy = both.copy()) {
                assertEquals(model.rotaryKey(SHORT), near.shape(model).frequencies());
                assertEquals(model.rotaryKey(24), far.shape(model).frequencies());
                assertFalse(near.mixesFrequencies(model) || far.mixesFrequencies(model));
                assertTrue(both.mixesFrequencies(model) && copy.mixesFrequencies(model));
            }
        }
    }

    /** What two answers share stands in the row once, so both have to turn it alike. */
    @Test
    void beginningsAreSharedOnlyWhereLengthsCannotPartThem() {
        try (CausalLM model = model(RandomWeights.Family.PHI3);
                TensorScope scope = new TensorScope()) {
            assertTrue(CausalLM.supportsSharedPrefixes(model.config(), model.placement(), SHORT));
            assertFalse(CausalLM.supportsSharedPrefixes(model.config(), model.placement(), SHORT + 1));
            EncodedSequence chosen = sequence(12, EncodedSequence.Kind.CHOSEN);
            for (int length : new int[] {SHORT, SHORT + 1}) {
                EncodedSequence rejected = sequence(length, EncodedSequence.Kind.REJECTED);
                Batch batch = new Collator(0, new Collator.Multiple(1), Collator.Layout.SHARED)
                        .collate(List.of(new EncodedExample(List.of(chosen, rejected))));
                assertTrue(batch.isShared());
                if (length == SHORT) {
                    assertEquals(
                            batch.length(),
                            model.hidden(DeviceBatch.input(model, batch)).size(1));
                } else {
                    IllegalArgumentException refused = assertThrows(
                            IllegalArgumentException.class, () -> model.hidden(DeviceBatch.input(model, batch)));
                    assertTrue(refused.getMessage().contains("12 and 17 tokens"), refused.getMessage());
                }
            }
        }
    }
}
