package dev.finetune4j;

import static dev.finetune4j.testsupport.TensorData.assertClose;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.core.Labels;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.PromptTuningSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import java.util.Arrays;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;

/** A model against itself: the same numbers by another way. */
class ModelConsistencyTest {
    @Test
    void quantizingTheModelOurselvesGivesTheSameLogitsAsTheQuantizedCheckpoint() {
        QuantizedLinearFactory factory = new QuantizedLinearFactory(QuantSettings.nf4());
        try (CausalLM stored = Fixtures.model(Fixtures.reference("bnb/llama_nf4_double"), factory);
                CausalLM made = Fixtures.model(Fixtures.reference("models/llama"), factory);
                SafetensorsFile inputs = SafetensorsFile.open(Fixtures.reference("models/llama/golden.safetensors"))) {
            assertArrayEquals(logits(stored, inputs), logits(made, inputs));
        }
    }

    @Test
    void cachedStepsGiveTheLogitsOfTheWholeSequence() {
        long[] ids = {17, 250, 33, 401, 12, 99, 7, 300, 45, 46};
        try (CausalLM model = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                KvCache cache = model.newCache();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            float[] whole = Tensors.toFloats(model.logits(model.hidden(ModelInput.padded(model.tokens(ids, 1, 10)))));
            int[] cuts = {0, 4, 5, 9, 10}; // a prefill, one token, several tokens behind a past, one token
            for (int part = 0; part + 1 < cuts.length; part++) {
                long[] piece = Arrays.copyOfRange(ids, cuts[part], cuts[part + 1]);
                Tensor hidden = model.hidden(ModelInput.cached(model.tokens(piece, 1, piece.length), cache));
                float[] expected = Arrays.copyOfRange(whole, cuts[part] * 500, cuts[part + 1] * 500);
                assertClose("part " + part, expected, Tensors.toFloats(model.logits(hidden)), 1e-5);
            }
            cache.truncate(3);
            Tensor again = model.hidden(ModelInput.cached(model.tokens(new long[] {ids[3]}, 1, 1), cache));
            float[] expected = Arrays.copyOfRange(whole, 3 * 500, 4 * 500);
            assertClose("after truncation", expected, Tensors.toFloats(model.logits(again)), 1e-5);
        }
    }

    @Test
    void rowsBehindATrainedPromptHaveTheLossOfEachAlone() {
        long[] ids = {17, 250, 33, 401, 12, 99, 7, 300, 45, 46};
        long[] labels = {250, 33, 401, 12, Labels.IGNORE, 7, 300, 45, 46, Labels.IGNORE};
        try (CausalLM base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
                PeftAdapter prompt = AdapterKinds.create(base, PromptTuningSettings.random(3), InitSources.seed(1));
                TensorScope scope = new TensorScope()) {
            CausalLM model = prompt.attachTo(base);
            double alone = 0;
            for (int row = 0; row < 2; row++) {
                long[] piece = Arrays.copyOfRange(ids, 5 * row, 5 * row + 5);
                alone += loss(model, piece, 1, Arrays.copyOfRange(labels, 5 * row, 5 * row + 5));
            }
            assertEquals(alone, loss(model, ids, 2, labels), 1e-5 * alone);
        }
    }

    private static double loss(CausalLM model, long[] ids, int rows, long[] labels) {
        Tensor hidden = model.hidden(ModelInput.padded(model.tokens(ids, rows, ids.length / rows)));
        return NextTokenLoss.sum(hidden, model::logits, labels);
    }

    private static float[] logits(CausalLM model, SafetensorsFile inputs) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return Tensors.toFloats(model.logits(model.hidden(ModelInput.padded(inputs.read("input_ids")))));
        }
    }
}
