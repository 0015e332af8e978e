package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.inference.TokenGenerator;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.StreamSupport;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A small published model with trained weights: its texts, its losses, and LoRA on it. */
class Stories260kTest {
    private static final List<String> LEARNED = List.of(
            "Once upon a time, a little robot named Zip lived in a red barn.",
            "Zip the robot had a red barn and a blue ball.",
            "One day Zip the little robot saw a cat in the red barn.",
            "The little robot Zip was happy in the red barn with the cat.");
    private static final List<String> HELD_OUT = List.of(
            "Once upon a time, Zip the robot saw a blue ball in the red barn.",
            "The cat was happy with Zip the robot.");

    @TempDir
    private Path temporary;

    private Path folder;

    @BeforeEach
    void findModel() {
        folder = Needs.shared("fixtures/stories260k");
    }

    @Test
    void greedyContinuationsAndLossesAreTheGoldenOnes() {
        JsonNode golden = TestData.json(folder.resolve("golden.json"));
        try (CausalLM model = Fixtures.model(folder, LinearFactory.dense())) {
            int prompts = 0;
            for (JsonNode prompt : golden.path("generations")) {
                try (KvCache cache = model.newCache()) {
                    int[] expected = ints(prompt.path("greedy_ids"));
                    int[] actual = new TokenGenerator(model, Set.of())
                            .generate(
                                    ints(prompt.path("ids")),
                                    cache,
                                    GenerationSettings.builder()
                                            .maxNewTokens(expected.length)
                                            .build(),
                                    id -> {})
                            .ids();
                    assertArrayEquals(expected, actual, prompt.path("prompt").asText());
                    prompts++;
                }
            }
            int texts = 0;
            for (JsonNode text : golden.path("losses")) {
                assertEquals(text.path("mean_loss").asDouble(), loss(model, ints(text.path("ids"))), 1e-4);
                texts++;
            }
            assertTrue(prompts >= 5 && texts >= 3, prompts + " prompts, " + texts + " texts");
        }
    }

    @Test
    void loraLowersTheHeldOutLossAndReloadsToEqualLogits() {
        try (CausalLM base = Fixtures.model(folder, LinearFactory.dense());
                Tokenizer tokenizer = Tokenizer.load(folder);
                PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
            CausalLM tuned = adapter.attachTo(base);
            double before = heldOutLoss(tuned, tokenizer);
            List<EncodedExample> examples =
                    LEARNED.stream().map(text -> example(tokenizer, text)).toList();
            TrainingSettings settings =
                    TrainingSettings.builder().maxSteps(20).learningRate(5e-3).build();
            new Trainer(
                            tuned,
                            adapter.trainable(),
                            new BatchLoader(examples, 4, 1, 1, new Collator(0, 1), true),
                            settings,
                            List.of(),
                            () -> false)
                    .run();
            double after = heldOutLoss(tuned, tokenizer);
            assertTrue(after < 0.8 * before, "held-out loss " + before + " -> " + after);
            AdapterFiles.save(
                    adapter, base, temporary, "stories260k", JsonNodeFactory.instance.objectNode(), into -> {});
            try (PeftAdapter loaded = AdapterFiles.load(temporary, base)) {
                int[] ids = tokenizer.encodeWithSpecialTokens(HELD_OUT.get(0));
                assertArrayEquals(logits(tuned, ids), logits(loaded.attachTo(base), ids));
            }
        }
    }

    private static double heldOutLoss(CausalLM model, Tokenizer tokenizer) {
        return HELD_OUT.stream()
                .mapToDouble(text -> loss(model, tokenizer.encodeWithSpecialTokens(text)))
                .average()
                .orElseThrow();
    }

    private static EncodedExample example(Tokenizer tokenizer, String text) {
        int[] ids = tokenizer.encodeWithSpecialTokens(text);
        return new EncodedExample(ids, next(ids));
    }

    private static int[] next(int[] ids) {
        int[] labels = new int[ids.length];
        System.arraycopy(ids, 1, labels, 0, ids.length - 1);
        labels[ids.length - 1] = Labels.IGNORE;
        return labels;
    }

    private static double loss(CausalLM model, int[] ids) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor hidden = model.hidden(ModelInput.padded(model.tokens(wide(ids), 1, ids.length)));
            return NextTokenLoss.sum(hidden, model::logits, wide(next(ids))) / (ids.length - 1);
        }
    }

    private static float[] logits(CausalLM model, int[] ids) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return Tensors.toFloats(
                    model.logits(model.hidden(ModelInput.padded(model.tokens(wide(ids), 1, ids.length)))));
        }
    }

    private static long[] wide(int[] ids) {
        return Arrays.stream(ids).asLongStream().toArray();
    }

    private static int[] ints(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false)
                .mapToInt(JsonNode::intValue)
                .toArray();
    }
}
