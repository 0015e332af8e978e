package dev.finetune4j.lora.objective;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

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
import dev.finetune4j.data.batch.Encoding;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.NoGradGuard;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

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
            return Tensors.toFloats(
                    SequenceLogProbs.of(model.hidden(onDevice.input()), model::logits, onDevice.targets()));
        }
    }

    @Test
    void packedPairsHaveTheLogProbabilitiesOfPaddedOnes() {
        Path files = Fixtures.tinyChatModel(folder.resolve("model"));
        List<EncodedExample> pairs = pairs(files);
        try (CausalLM model = Fixtures.model(files, LinearFactory.dense())) {
            float[] padded = logProbs(model, new Collator(0, 1).collate(pairs));
            float[] packed =
                    logProbs(model, new Collator(0, new Collator.Multiple(16), Collator.Layout.PACKED).collate(pairs));
            assertEquals(12, padded.length);
            assertArrayEquals(padded, packed, 1e-4f);
        }
    }
}
