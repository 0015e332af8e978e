package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.AttentionSpec;
import dev.finetune4j.core.kernel.DecodeBuffers;
import dev.finetune4j.core.kernel.DecodeKernels;
import dev.finetune4j.core.kernel.DecodeWorkspace;
import dev.finetune4j.core.kernel.FusedGemv;
import dev.finetune4j.core.kernel.NormSpec;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.RopeSpec;
import dev.finetune4j.core.nn.RotaryEmbedding;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * One token of each sequence through a decoder: the same calls in the same order on every processor, which brings its
 * {@link DecodeKernels}. Borrows the model's tensors.
 */
final class DecodeStep {
    /**
     * One layer, {@code x += attention(norm(x)); x += mlp(norm(x))}.
     *
     * @param inputs the projections to queries, keys and values
     * @param output the projection of attention's result
     */
    record Layer(
            NormSpec attentionNorm,
            FusedGemv inputs,
            AttentionSpec attention,
            FusedGemv output,
            NormSpec mlpNorm,
            FusedGemv gateAndUp,
            FusedGemv down) {
        /** The most numbers of a row that the down projections of one GEMV take. */
        int rank() {
            return Math.max(Math.max(inputs.rank(), output.rank()), Math.max(gateAndUp.rank(), down.rank()));
        }
    }

    /**
     * What a step consists of.
     *
     * @param embedding shape (V, D)
     * @param rope of all layers
     * @param norm the one behind the last layer
     * @param head the projection to the vocabulary
     */
    record Parts(Tensor embedding, RopeSpec rope, List<Layer> layers, NormSpec norm, FusedGemv head) {}

    private final DecodeKernels kernels;
    private final Parts parts;

    DecodeStep(DecodeKernels kernels, Parts parts) {
        this.kernels = kernels;
        this.parts = parts;
    }

    DecodeKernels kernels() {
        return kernels;
    }

    /** The working memory for a number of sequences. */
    DecodeBuffers buffers(CausalLM model, int rows) {
        int rank = parts.layers().stream().mapToInt(Layer::rank).max().orElse(0);
        return DecodeBuffers.make(
                model.placement().device(),
                kernels.type(),
                rows,
                attention(),
                parts.layers().size(),
                model.config().hiddenSize(),
                model.config().intermediateSize(),
                model.config().vocabSize(),
                Math.max(rank, parts.head().rank()));
    }

    /** The memory for that many positions. */
    DecodeWorkspace workspace(ComputeDevice device, int rows, long capacity) {
        ScalarType type = kernels.type();
        try (TensorScope scope = new TensorScope();
                RotaryEmbedding rotary = new RotaryEmbedding(parts.rope(), device)) {
            RotaryEmbedding.Angles angles = rotary.angles(0, capacity, type);
            return kernels.workspace(
                            rows,
                            attention(),
                            angles.cos().clone(),
                            angles.sin().clone())
                    .releasedFrom(scope);
        }
    }

    private AttentionSpec attention() {
        return parts.layers().get(0).attention();
    }

    /** From the rows in the buffers to their logits; keys and values of their positions join those of their sequences. */
    void run(DecodeBuffers buffers, DecodeWorkspace workspace) {
        kernels.embed(buffers, parts.embedding());
        for (int i = 0; i < parts.layers().size(); i++) {
            try (TensorScope turn = new TensorScope()) {
                run(i, buffers, workspace);
            }
        }
        kernels.norm(buffers, parts.norm());
        parts.head().run(buffers.normed(), buffers.rows(), buffers.low(), buffers.logits(), false);
    }

    private void run(int index, DecodeBuffers buffers, DecodeWorkspace workspace) {
        Layer layer = parts.layers().get(index);
        int rows = buffers.rows();
        Tensor low = buffers.low();
        kernels.norm(buffers, layer.attentionNorm());
        layer.inputs().run(buffers.normed(), rows, low, buffers.qkv(), false);
        kernels.attend(buffers, workspace, index, layer.attention());
        layer.output().run(buffers.mixed(), rows, low, buffers.state(), true);
        kernels.norm(buffers, layer.mlpNorm());
        layer.gateAndUp().runGated(buffers.normed(), rows, low, buffers.gated());
        layer.down().run(buffers.gated(), rows, low, buffers.state(), true);
    }
}
