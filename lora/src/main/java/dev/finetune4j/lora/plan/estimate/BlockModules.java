package dev.finetune4j.lora.plan.estimate;

import dev.finetune4j.core.nn.Attention.HeadNorms;
import dev.finetune4j.core.nn.DecoderBlock;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.Named;
import dev.finetune4j.core.nn.ProjectionGroup;
import java.util.ArrayList;
import java.util.List;

/**
 * The modules of a block, as a model without weights says which there are: paths and widths, without tensors.
 *
 * @param norms those of the residual stream, in the order of computation
 * @param attentionInputs the projections to queries, keys and values
 * @param headNorms the norms on queries and keys; empty where the model has none
 * @param output the projection of what the heads give
 * @param mlpInputs the projections to gate and up
 * @param down the projection of their product
 */
record BlockModules(
        List<String> norms,
        Inputs attentionInputs,
        List<String> headNorms,
        Projection output,
        Inputs mlpInputs,
        Projection down) {
    /**
     * A linear.
     *
     * @param path of the module
     * @param in width of the input
     * @param out width of the output
     */
    record Projection(String path, long in, long out) {
        static Projection of(Named<Linear> linear) {
            return new Projection(
                    linear.name(), linear.module().inFeatures(), linear.module().outFeatures());
        }
    }

    /**
     * Projections of one norm's output.
     *
     * @param norm path of the norm
     * @param linears one for each projection or one for all
     */
    record Inputs(String norm, List<Projection> linears) {
        static Inputs of(DecoderBlock.Norms norms, ProjectionGroup group) {
            return new Inputs(
                    norms.before().name(),
                    group.linears().stream().map(Projection::of).toList());
        }
    }

    static BlockModules of(DecoderBlock block) {
        HeadNorms head = block.attention().norms();
        return new BlockModules(
                norms(block),
                Inputs.of(block.attentionNorms(), block.attention().inputs()),
                head == null
                        ? List.of()
                        : List.of(head.query().name(), head.key().name()),
                Projection.of(block.attention().output()),
                Inputs.of(block.mlpNorms(), block.mlp().gateAndUp()),
                Projection.of(block.mlp().down().linears().get(0)));
    }

    private static List<String> norms(DecoderBlock block) {
        List<String> norms = new ArrayList<>();
        for (DecoderBlock.Norms half : List.of(block.attentionNorms(), block.mlpNorms())) {
            norms.add(half.before().name());
            if (half.after() != null) {
                norms.add(half.after().name());
            }
        }
        return norms;
    }

    /** All linears of the block. */
    List<Projection> linears() {
        List<Projection> all = new ArrayList<>(attentionInputs.linears());
        all.add(output);
        all.addAll(mlpInputs.linears());
        all.add(down);
        return all;
    }

    /** The paths of all modules. */
    List<String> paths() {
        List<String> paths = new ArrayList<>(norms);
        paths.addAll(headNorms);
        linears().forEach(linear -> paths.add(linear.path()));
        return paths;
    }
}
