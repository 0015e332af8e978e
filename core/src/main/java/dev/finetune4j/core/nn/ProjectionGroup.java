package dev.finetune4j.core.nn;

import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * Projections of one input: each a linear of its own, or all in the rows of one linear, as checkpoints come in both forms
 * ({@code q_proj}, {@code k_proj}, {@code v_proj} or {@code qkv_proj}). Linears of their own are computed as one operation where
 * they know how.
 */
public final class ProjectionGroup {
    private final List<Named<Linear>> linears;
    private final long[] widths;
    private final @Nullable FusedLinears fused;

    private ProjectionGroup(List<Named<Linear>> linears, long[] widths) {
        this.linears = linears;
        this.widths = widths;
        List<Linear> modules = linears.stream().map(Named::module).toList();
        this.fused = modules.stream()
                .map(linear -> linear.fusedWith(modules))
                .flatMap(Optional::stream)
                .findFirst()
                .orElse(null);
    }

    /** One linear for each projection. */
    public static ProjectionGroup separate(List<Named<Linear>> linears) {
        return new ProjectionGroup(
                linears,
                linears.stream()
                        .mapToLong(linear -> linear.module().outFeatures())
                        .toArray());
    }

    /**
     * One linear for all projections.
     *
     * @param widths how many of its outputs belong to each projection, in order
     */
    public static ProjectionGroup stacked(Named<Linear> linear, long... widths) {
        return new ProjectionGroup(List.of(linear), widths.clone());
    }

    /** The linears, one for each projection or one for all. */
    public List<Named<Linear>> linears() {
        return linears;
    }

    /** Whether one linear has all projections in its rows. */
    public boolean isStacked() {
        return linears.size() < widths.length;
    }

    /** The projections of x, shape (…, D), in order. */
    Tensor[] forward(HiddenStates x) {
        return isConcatenated(x.tensor()) ? split(concatenated(x)) : each(x.tensor());
    }

    /** Whether the projections of this input come out concatenated by themselves. */
    boolean isConcatenated(Tensor x) {
        return isStacked() || (fused != null && fused.supports(x));
    }

    /** The projections of x, shape (…, D), concatenated in the last dimension. */
    Tensor concatenated(HiddenStates x) {
        if (fused != null && fused.supports(x.tensor())) {
            return fused.forward(x);
        }
        Tensor[] outputs = each(x.tensor());
        return outputs.length == 1 ? outputs[0] : torch.cat(new TensorVector(outputs), -1);
    }

    /** The same where only the backward pass matters; see {@link FusedLinears#forwardForGradient}. */
    Tensor concatenatedForGradient(HiddenStates x) {
        return fused != null && fused.supports(x.tensor()) && x.tensor().requires_grad()
                ? fused.forwardForGradient(x)
                : concatenated(x);
    }

    private Tensor[] each(Tensor x) {
        return linears.stream().map(linear -> linear.module().forward(x)).toArray(Tensor[]::new);
    }

    /** Parts of the last dimension as wide as the projections. */
    private Tensor[] split(Tensor all) {
        TensorVector split = all.split_with_sizes(widths, -1);
        Tensor[] result = new Tensor[widths.length];
        for (int i = 0; i < result.length; i++) {
            result[i] = split.get(i);
        }
        return result;
    }

    ProjectionGroup map(ModuleTransform transform) {
        return new ProjectionGroup(
                linears.stream().map(linear -> linear.map(transform::linear)).toList(), widths);
    }
}
