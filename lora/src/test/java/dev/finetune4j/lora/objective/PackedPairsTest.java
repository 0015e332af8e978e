package dev.finetune4j.lora.objective;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.SequenceLogProbs;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.Provenance;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.ComparisonEncoder;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.data.batch.EncodedSequence;
import dev.finetune4j.data.batch.Encoding;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Preference pairs have the same log-probabilities packed and padded. */
class PackedPairsTest {
    @TempDir
    private Path folder;

    private static List<EncodedExample> pairs(Path model) {
        try (Tokenizer tokenizer = Tokenizer.load(model)) {
            Dataset dataset = Dataset.of(IntStream.range(0, 6)
                    .mapToObj(i -> new PreferenceExample(
                            Conversation.of(ChatMessage.user("q" + "x ".repeat(i))),
                            ChatMessage.assistant("good " + i),
                            ChatMessage.assistant("bad ".repeat(1 + i % 3)),
                            new Provenance("x", i)))
                    .toList());
            ChatEncoder chat = new ChatEncoder(
                    tokenizer, ChatTemplate.ofCheckpoint(tokenizer).orElseThrow());
            return new ComparisonEncoder(
                            chat, new Encoding(64, Truncation.FAIL, TrainOn.ANSWERS), PreferenceExample.class)
                    .encode(dataset)
                    .examples();
        }
    }

    private static float[] logProbs(CausalLM model, Batch batch) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            DeviceBatch onDevice = DeviceBatch.ofSequences(model, batch, 1, 1);
            return Tensors.toFloats(SequenceLogProbs.of(
                    model.hidden(onDevice.input()), new SequenceLogProbs.Head(model::logits, 0), onDevice.targets()));
        }
    }

    @Test
    void packedPairsHaveTheLogProbabilitiesOfPaddedOnes() {
        Path files = Fixtures.tinyChatModel(folder.resolve("model"));
        List<EncodedExample> pairs = pairs(files);
        try (CausalLM model = Fixtures.model(files, LinearFactory.dense())) {
            float[] padded = logProbs(model, new Collator(0, 1).collate(pairs));
            Batch packed = new Collator(0, new Collator.Multiple(16), Collator.Layout.PACKED).collate(pairs);
            Batch shared = new Collator(0, new Collator.Multiple(16), Collator.Layout.SHARED).collate(pairs);
            assertEquals(12, padded.length);
            assertEquals(packed.tokens(), shared.tokens());
            assertTrue(shared.isShared() && shared.length() < 0.8 * packed.length(), "prompts stand there once");
            assertArrayEquals(padded, logProbs(model, packed), 1e-4f);
            assertArrayEquals(padded, logProbs(model, shared), 1e-4f);
        }
    }

    /** Where a device has no attention that takes all sequences at once, it goes through them one by one. */
    @ParameterizedTest
    @CsvSource({"llama", "gemma2", "gemma3"})
    void sharedPromptsAreThoseOfEachAnswerOneByOneToo(String family) {
        Path files = Fixtures.tinyChatModel(folder.resolve("model"));
        List<EncodedExample> pairs = pairs(files);
        try (CausalLM model = Fixtures.model(Fixtures.tinyModel(family), LinearFactory.dense());
                TensorScope scope = new TensorScope()) {
            List<Tensor> sums = new ArrayList<>();
            for (Collator.Layout layout : List.of(Collator.Layout.PACKED, Collator.Layout.SHARED)) {
                try (DeviceBatch onDevice = DeviceBatch.ofSequences(
                        model, new Collator(0, new Collator.Multiple(16), layout).collate(small(pairs, model)), 1, 1)) {
                    // Gradients without the scope of a step: such attention has no backward pass.
                    Tensor hidden = model.hidden(onDevice.input());
                    sums.add(SequenceLogProbs.of(
                            hidden, new SequenceLogProbs.Head(model::logits, 0), onDevice.targets()));
                }
            }
            assertArrayEquals(Tensors.toFloats(sums.get(0)), Tensors.toFloats(sums.get(1)), 1e-4f);
        }
    }

    /** With ids that the model has. */
    private static List<EncodedExample> small(List<EncodedExample> pairs, CausalLM model) {
        int rows = model.config().vocabSize();
        return pairs.stream()
                .map(pair -> new EncodedExample(pair.sequences().stream()
                        .map(sequence -> new EncodedSequence(
                                Arrays.stream(sequence.inputIds())
                                        .map(id -> id % rows)
                                        .toArray(),
                                Arrays.stream(sequence.labels())
                                        .map(id -> id < 0 ? id : id % rows)
                                        .toArray(),
                                sequence.kind()))
                        .toList()))
                .toList();
    }
}
