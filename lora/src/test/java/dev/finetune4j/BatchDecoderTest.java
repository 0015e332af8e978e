package dev.finetune4j;

import static dev.finetune4j.DecoderCases.adapter;
import static dev.finetune4j.DecoderCases.ordinary;
import static dev.finetune4j.DecoderCases.squaredDistance;
import static dev.finetune4j.testsupport.TensorData.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.decode.BatchDecoder;
import dev.finetune4j.core.kernel.DecodeRow;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.RandomWeights;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Steps of many sequences against the ordinary pass of each alone. */
class BatchDecoderTest {
    private static final int ROOM = 64;

    @TempDir
    Path folder;

    @BeforeEach
    void needsKernels() {
        if (Fixtures.device().equals(ComputeDevice.cpu())) {
            Needs.cpuKernels();
        }
    }

    private CausalLM model(boolean qwen, boolean fourBit) {
        LinearFactory factory = fourBit ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
        return RandomWeights.model(folder, qwen, factory, new Placement(Fixtures.device(), Precision.FP32));
    }

    /** A sequence in two memories: one that steps go on with, and one for the ordinary pass. */
    private record Sequence(CausalLM model, KvCache stepped, KvCache expected) implements AutoCloseable {
        static Sequence of(CausalLM model, Random random) {
            return of(model, random.longs(1 + random.nextInt(50), 0, 300).toArray());
        }

        static Sequence of(CausalLM model, long[] prompt) {
            Sequence sequence = new Sequence(model, model.newCache(), model.newCache());
            reserve(model, sequence.stepped, model.placement().precision());
            ordinary(model, sequence.stepped, 1, prompt);
            ordinary(model, sequence.expected, 1, prompt);
            return sequence;
        }

        @Override
        public void close() {
            stepped.close();
            expected.close();
        }
    }

    private static void reserve(CausalLM model, KvCache memory, Precision precision) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor like = Tensors.empty(
                    Fixtures.device(),
                    Tensors.typeOf(precision),
                    1,
                    model.config().attention().kvHeads(),
                    0,
                    model.config().attention().headDim());
            memory.reserve(ROOM, like);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "1, false, true, false",
        "3, true, false, true",
        "8, false, true, true",
        "21, true, true, false",
        "64, false, false, true"
    })
    void hasTheLogitsOfEachAlone(int count, boolean qwen, boolean fourBit, boolean adapted) {
        Random random = new Random(count);
        List<Sequence> sequences = new ArrayList<>();
        try (CausalLM base = model(qwen, fourBit);
                PeftAdapter adapter = adapter(base)) {
            CausalLM model = adapted ? adapter.attachTo(base) : base;
            assertEquals("", BatchDecoder.unsupportedReason(model).orElse(""));
            try (BatchDecoder decoder = new BatchDecoder(base, true)) {
                for (int i = 0; i < count; i++) {
                    sequences.add(Sequence.of(model, random));
                }
                for (int step = 0; step < 5; step++) {
                    // Rows change their places, and some stay away.
                    Collections.shuffle(sequences, random);
                    step(decoder, sequences.subList(0, Math.max(1, count - step)), random);
                }
            } finally {
                sequences.forEach(Sequence::close);
            }
        }
    }

    private static void step(BatchDecoder decoder, List<Sequence> sequences, Random random) {
        List<DecodeRow> rows = rows(sequences, random);
        decoder.feed(rows, sequences.stream().map(Sequence::model).toList(), false);
        for (int row = 0; row < rows.size(); row++) {
            sequences.get(row).stepped.advance(1);
            Sequence sequence = sequences.get(row);
            float[] expected =
                    ordinary(sequence.model, sequence.expected, 1, rows.get(row).token());
            assertClose("row " + row, expected, logits(decoder, row), 1e-4);
            int best = argmax(expected);
            decoder.deviceArgmax(row).ifPresent(chosen -> assertEquals(best, chosen));
        }
    }

    private static float[] logits(BatchDecoder decoder, int row) {
        return decoder.logits(List.of(row)).get(0);
    }

    private static int argmax(float[] logits) {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            best = logits[i] > logits[best] ? i : best;
        }
        return best;
    }

    @Test
    void refusesWhatWouldBeWrittenElsewhere() {
        try (CausalLM model = model(false, true);
                BatchDecoder decoder = new BatchDecoder(model, true);
                Sequence sequence = Sequence.of(model, new Random(3))) {
            refuses(IllegalArgumentException.class, decoder, model, new DecodeRow(ROOM, 1, sequence.stepped, 0));
            refuses(IllegalArgumentException.class, decoder, model, new DecodeRow(60, -1, sequence.stepped, 0));
            refuses(IllegalArgumentException.class, decoder, model, new DecodeRow(60, 300, sequence.stepped, 0));
            model.close();
            refuses(IllegalStateException.class, decoder, model, new DecodeRow(60, 1, sequence.stepped, 0));
        }
    }

    private static void refuses(Class<? extends Exception> how, BatchDecoder decoder, CausalLM model, DecodeRow row) {
        assertThrows(how, () -> decoder.feed(List.of(row), List.of(model), false));
    }

    /** Adapters come one by one, and more than there is room for at first; some rows have none. */
    @ParameterizedTest
    @CsvSource({"5, true, false", "12, false, true", "30, true, true"})
    void rowsWithDifferentAdaptersShareAStep(int count, boolean qwen, boolean fourBit) {
        Random random = new Random(count);
        List<PeftAdapter> adapters = new ArrayList<>();
        List<Sequence> sequences = new ArrayList<>();
        try (CausalLM base = model(qwen, fourBit);
                BatchDecoder decoder = new BatchDecoder(base, true)) {
            List<CausalLM> models = new ArrayList<>(List.of(base));
            for (int i = 0; i < 4; i++) {
                PeftAdapter adapter = DecoderCases.adapter(base, i, 0.05);
                adapters.add(adapter);
                models.add(adapter.attachTo(base));
            }
            for (CausalLM model : models) {
                assertEquals(base, decoder.group(model).orElseThrow());
            }
            for (int i = 0; i < count; i++) {
                sequences.add(Sequence.of(models.get(i % models.size()), random));
            }
            for (int step = 1; step < 6; step++) {
                int known = Math.min(step, models.size());
                List<Sequence> some = sequences.stream()
                        .filter(sequence -> models.indexOf(sequence.model) < known)
                        .toList();
                step(decoder, some, random);
            }
            adapters.get(3).close();
            decoder.forgetClosed();
            step(
                    decoder,
                    sequences.stream().filter(s -> s.model != models.get(4)).toList(),
                    random);
        } finally {
            sequences.forEach(Sequence::close);
            adapters.forEach(PeftAdapter::close);
        }
    }

    @Test
    void adaptersThatWereTrainedMeanwhileAreCopiedAgain() {
        Random random = new Random(4);
        List<Sequence> sequences = new ArrayList<>();
        try (CausalLM base = model(false, true);
                PeftAdapter first = DecoderCases.adapter(base, 1, 0.05);
                PeftAdapter second = DecoderCases.adapter(base, 2, 0.05);
                BatchDecoder decoder = new BatchDecoder(base, true)) {
            List<CausalLM> models = List.of(first.attachTo(base), second.attachTo(base));
            models.forEach(model -> assertEquals(base, decoder.group(model).orElseThrow()));
            models.forEach(model -> sequences.add(Sequence.of(model, random)));
            step(decoder, sequences, random);
            try (NoGradGuard off = new NoGradGuard();
                    TensorScope scope = new TensorScope()) {
                first.trainable()
                        .values()
                        .forEach(parameter -> parameter.master().mul_(Tensors.scalar(-2)));
            }
            List<Sequence> later = models.stream()
                    .map(model -> Sequence.of(model, new Random(9)))
                    .toList();
            sequences.addAll(later);
            models.forEach(decoder::begin);
            step(decoder, new ArrayList<>(later), random);
        } finally {
            sequences.forEach(Sequence::close);
        }
    }

    /** Steps of many rows round at other places than the ordinary pass, so both are held against float32 with the same weights. */
    @ParameterizedTest
    @CsvSource({"8, true", "24, true", "24, false"})
    void bfloat16IsAsNearToFloat32AsEachAlone(int count, boolean fourBit) {
        LinearFactory factory = fourBit ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
        Random random = new Random(count);
        List<Sequence> sequences = new ArrayList<>();
        List<KvCache> exactMemories = new ArrayList<>();
        try (CausalLM model = RandomWeights.model(
                        folder.resolve("bf16"), false, factory, new Placement(Fixtures.device(), Precision.BF16));
                CausalLM exact = RandomWeights.model(
                        folder.resolve("fp32"), false, factory, new Placement(Fixtures.device(), Precision.FP32));
                BatchDecoder decoder = new BatchDecoder(model, true)) {
            for (int i = 0; i < count; i++) {
                long[] prompt = random.longs(1 + random.nextInt(50), 0, 300).toArray();
                sequences.add(Sequence.of(model, prompt));
                exactMemories.add(exact.newCache());
                ordinary(exact, exactMemories.get(i), 1, prompt);
            }
            double ofEach = 0;
            double ofBatch = 0;
            for (int step = 0; step < 5; step++) {
                List<DecodeRow> rows = rows(sequences, random);
                decoder.feed(rows, Collections.nCopies(count, model), false);
                for (int i = 0; i < count; i++) {
                    sequences.get(i).stepped.advance(1);
                    long token = rows.get(i).token();
                    float[] expected = ordinary(exact, exactMemories.get(i), 1, token);
                    ofEach += squaredDistance(expected, ordinary(model, sequences.get(i).expected, 1, token));
                    ofBatch += squaredDistance(expected, logits(decoder, i));
                }
            }
            double ratio = Math.sqrt(ofBatch / ofEach);
            assertTrue(ratio <= 1.5, "the error is " + ratio + " times that of each alone");
        } finally {
            sequences.forEach(Sequence::close);
            exactMemories.forEach(KvCache::close);
        }
    }

    private static List<DecodeRow> rows(List<Sequence> sequences, Random random) {
        List<DecodeRow> rows = new ArrayList<>();
        for (Sequence sequence : sequences) {
            rows.add(new DecodeRow(sequence.stepped.positions(), random.nextInt(300), sequence.stepped, 0));
        }
        return rows;
    }

    /** The device goes on by itself; rows end, and others join. */
    @ParameterizedTest
    @CsvSource({"1, true", "6, true", "20, false"})
    void stepsAheadAreThoseOfTheRows(int count, boolean fourBit) {
        Random random = new Random(count);
        List<Sequence> sequences = new ArrayList<>();
        try (CausalLM base = model(false, fourBit);
                BatchDecoder decoder = new BatchDecoder(base, true)) {
            int[] tokens = new int[count + 1];
            for (int i = 0; i <= count; i++) {
                sequences.add(Sequence.of(base, random));
                tokens[i] = random.nextInt(300);
            }
            for (int step = 0; step < 9; step++) {
                int from = step < 4 ? 0 : 1;
                int to = step < 6 ? count : count + 1;
                List<DecodeRow> rows = new ArrayList<>();
                for (int i = from; i < to; i++) {
                    KvCache memory = sequences.get(i).stepped;
                    rows.add(new DecodeRow(memory.positions(), tokens[i], memory, 0));
                }
                if (rows.isEmpty()) {
                    continue;
                }
                decoder.feed(rows, rows.stream().map(row -> base).toList(), true);
                for (int i = from; i < to; i++) {
                    Sequence sequence = sequences.get(i);
                    sequence.stepped.advance(1);
                    int expected = argmax(ordinary(base, sequence.expected, 1, tokens[i]));
                    int row = i - from;
                    tokens[i] = decoder.deviceArgmax(row).orElseGet(() -> argmax(logits(decoder, row)));
                    assertEquals(expected, tokens[i], "step " + step + ", sequence " + i);
                }
            }
            decoder.settle();
        } finally {
            sequences.forEach(Sequence::close);
        }
    }
}
