package dev.finetune4j.lora.plan.estimate;

import dev.finetune4j.core.nn.Attention.HeadNorms;
import dev.finetune4j.core.nn.DecoderBlock;
import dev.finetune4j.core.nn.GatedMlp;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.MixtureOfExperts;
import dev.finetune4j.core.nn.Named;
import dev.finetune4j.core.nn.PlainMlp;
import dev.finetune4j.core.nn.ProjectionGroup;
import dev.finetune4j.core.nn.RmsNorm;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The modules of a block, as a model without weights says which there are: paths and widths, without tensors.
 *
 * @param norms those of the residual stream, in the order of computation
 * @param attentionInputs the projections to queries, keys and values
 * @param headNorms the norms on queries and keys; empty where the model has none
 * @param output the projection of what the heads give
 * @param gated whether the feed-forward part has a gate
 * @param mlpInputs the projections to gate and up, or the one to what goes through the activation alone
 * @param down the projection of what becomes of them
 * @param experts further linears, of which a token passes some; null in a dense block. Where only experts are there, the first one's
 *     stand as {@code mlpInputs} and {@code down}
 */
record BlockModules(
        List<String> norms,
        Inputs attentionInputs,
        List<String> headNorms,
        Projection output,
        boolean gated,
        Inputs mlpInputs,
        Projection down,
        @Nullable Experts experts) {
    /**
     * The experts of a sparse block.
     *
     * @param active how many a token passes
     * @param count how many there are
     * @param inner their inner width
     * @param shared whether all tokens pass one more
     * @param linears of all of them, three each: gate, up and down
     */
    record Experts(long active, int count, long inner, boolean shared, List<Projection> linears) {
        static final int LINEARS = 3;

        static Experts of(MixtureOfExperts mixture) {
            List<Projection> linears = new ArrayList<>();
            for (GatedMlp expert : mixture.experts()) {
                expert.gateAndUp().linears().forEach(linear -> linears.add(Projection.of(linear)));
                linears.add(Projection.of(expert.down().linears().get(0)));
            }
            return new Experts(
                    mixture.router().module().spec().active(),
                    mixture.experts().size(),
                    linears.get(0).out(),
                    mixture.shared() != null,
                    linears);
        }
    }

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
     * Projections of one input.
     *
     * @param norm path of the norm; null where the projections take the residual stream itself
     * @param linears one for each projection or one for all
     */
    record Inputs(@Nullable String norm, List<Projection> linears) {
        static Inputs of(DecoderBlock.Norms norms, ProjectionGroup group) {
            Named<RmsNorm> before = norms.before();
            return new Inputs(
                    before == null ? null : before.name(),
                    group.linears().stream().map(Projection::of).toList());
        }
    }

    static BlockModules of(DecoderBlock block) {
        MixtureOfExperts mixture = block.mlp() instanceof MixtureOfExperts sparse ? sparse : null;
        ProjectionGroup inputs;
        ProjectionGroup down;
        if (block.mlp() instanceof PlainMlp plain) {
            inputs = plain.up();
            down = plain.down();
        } else {
            GatedMlp mlp = gated(block, mixture);
            inputs = mlp.gateAndUp();
            down = mlp.down();
        }
        return new BlockModules(
                norms(block),
                Inputs.of(block.attentionNorms(), block.attention().inputs()),
                headNorms(block.attention().norms()),
                Projection.of(block.attention().output()),
                !(block.mlp() instanceof PlainMlp),
                Inputs.of(block.mlpNorms(), inputs),
                Projection.of(down.linears().get(0)),
                mixture == null ? null : Experts.of(mixture));
    }

    private static GatedMlp gated(DecoderBlock block, @Nullable MixtureOfExperts mixture) {
        if (mixture == null) {
            return (GatedMlp) block.mlp();
        }
        MixtureOfExperts.Shared shared = mixture.shared();
        return shared == null ? mixture.experts().get(0) : shared.mlp();
    }

    private static List<String> headNorms(@Nullable HeadNorms norms) {
        return norms == null
                ? List.of()
                : Stream.of(norms.query(), norms.key())
                        .flatMap(norm -> norm.norms().stream())
                        .map(Named::name)
                        .toList();
    }

    private static List<String> norms(DecoderBlock block) {
        List<String> norms = new ArrayList<>();
        for (DecoderBlock.Norms half : List.of(block.attentionNorms(), block.mlpNorms())) {
            Stream.of(half.before(), half.after()).flatMap(Stream::ofNullable).forEach(norm -> norms.add(norm.name()));
        }
        return norms;
    }

    /** All linears of the block. */
    List<Projection> linears() {
        List<Projection> all = new ArrayList<>(attentionInputs.linears());
        all.add(output);
        all.addAll(mlpInputs.linears());
        all.add(down);
        if (experts != null) {
            experts.linears().stream().filter(linear -> !all.contains(linear)).forEach(all::add);
        }
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
