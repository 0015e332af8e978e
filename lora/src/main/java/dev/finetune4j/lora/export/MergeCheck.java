package dev.finetune4j.lora.export;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Compares a merged model, as it was written, with base and adapter on the same prompts. Both compute in float32, and of their linears
 * one at a time is in memory.
 *
 * @param base the folder that was merged into
 * @param adapter what was merged
 * @param encoder lays the prompts out
 * @param prompts questions of a user; at least one
 * @param allowed the largest difference of a log-probability
 */
record MergeCheck(
        PretrainedFolder base, PeftAdapter adapter, ChatEncoder encoder, List<String> prompts, double allowed) {
    /**
     * What came out.
     *
     * @param prompts how many
     * @param tokens of all prompts, each with a prediction
     * @param difference the largest difference of the log-probabilities of the tokens that base and adapter find likeliest
     * @param sameChoice at how many tokens the merged model finds the same one likeliest
     */
    record Figure(int prompts, int tokens, double difference, int sameChoice) {}

    /**
     * Compares.
     *
     * @param merged the folder of the merged model
     * @throws FineTune4jException when they differ by more than is allowed
     */
    Figure run(Path merged) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor expected = logProbabilities(base, true);
            Tensor actual = logProbabilities(PretrainedFolder.open(merged), false);
            Tensor choice = expected.argmax(new LongOptional(-1), true); // (1, T, 1)
            Tensor difference =
                    expected.gather(-1, choice).sub(actual.gather(-1, choice)).abs();
            Tensor same = actual.argmax(new LongOptional(-1), true).eq(choice);
            Figure figure = new Figure(
                    prompts.size(), (int) choice.numel(), difference.max().item_float(), (int)
                            same.to(ScalarType.Long).sum().item_long());
            if (!(figure.difference() <= allowed)) {
                throw new FineTune4jException(
                        "the merged model computes otherwise than base and adapter: log-probabilities"
                                + " differ by " + figure.difference() + ", allowed " + allowed
                                + "; nothing was written. Merge in float32, or keep the adapter apart");
            }
            return figure;
        }
    }

    /** Of all tokens at each position of the prompts behind one another, (1, T, V). */
    private Tensor logProbabilities(PretrainedFolder folder, boolean adapted) {
        ComputeDevice device =
                Tensors.deviceOf(adapter.parameters().values().iterator().next());
        LinearFactory factory =
                folder.files().isFourBit() ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
        try (TensorScope scope = new TensorScope();
                WeightSource weights = folder.files().weights();
                CausalLM plain = ModelLoader.load(
                        folder, weights, new StreamedLinears(factory), new Placement(device, Precision.FP32))) {
            CausalLM model = adapted ? adapter.attachTo(plain) : plain;
            Tensor hidden = model.hidden(input(model));
            return scope.keep(torch.log_softmax(model.logits(hidden).to(ScalarType.Float), -1));
        }
    }

    private ModelInput input(CausalLM model) {
        long[] lengths = new long[prompts.size()];
        long[] all = new long[0];
        for (int i = 0; i < lengths.length; i++) {
            int[] ids = encoder.encode(Conversation.of(ChatMessage.user(prompts.get(i))), true)
                    .ids();
            lengths[i] = ids.length;
            long[] longer = Arrays.copyOf(all, all.length + ids.length);
            for (int k = 0; k < ids.length; k++) {
                longer[all.length + k] = ids[k];
            }
            all = longer;
        }
        return ModelInput.packed(model.tokens(all, 1, all.length), lengths);
    }
}
