package dev.finetune4j.core.nn;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * Several projections of one input, each a linear of its own or all of them stacked in the rows of one linear, as
 * checkpoints come in both forms.
 */
public final class ProjectionGroup {
    private final List<Named<Linear>> linears;
    private final long[] widths;
    private final @Nullable FusedLinears joint;

    private ProjectionGroup(List<Named<Linear>> linears, long[] widths) {
        this.linears = linears;
        this.widths = widths;
        List<Linear> plain = linears.stream().map(Named::module).toList();
        this.joint = plain.stream()
                .map(linear -> linear.joinedWith(plain))
                .flatMap(Optional::stream)
                .findFirst()
                .orElse(null);
    }

    /** One linear for each projection. */
    public static ProjectionGroup separate(List<Named<Linear>> linears) {
        return new ProjectionGroup(List.copyOf(linears), new long[0]);
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
        return widths.length > 0;
    }

    /** The projections of x, shape (…, D), in order. */
    Tensor[] forward(LayerInput x) {
        if (!isOneOperation(x.tensor())) {
            return linears.stream()
                    .map(linear -> linear.module().forward(x.tensor()))
                    .toArray(Tensor[]::new);
        }
        return split(joined(x));
    }

    /** Parts of the last dimension as wide as the projections. */
    Tensor[] split(Tensor all) {
        long[] parts = widths.length == 0
                ? linears.stream()
                        .mapToLong(linear -> linear.module().outFeatures())
                        .toArray()
                : widths;
        TensorVector split = all.split_with_sizes(parts, -1);
        Tensor[] result = new Tensor[parts.length];
        for (int i = 0; i < parts.length; i++) {
            result[i] = split.get(i);
        }
        return result;
    }

    /** Whether the projections of this input come out behind one another by themselves. */
    boolean isOneOperation(Tensor x) {
        return widths.length > 0 || (joint != null && joint.serves(x));
    }

    static Tensor forward(Linear linear, LayerInput x) {
        return x.recomputation() == null ? linear.forward(x.tensor()) : linear.forward(x.tensor(), x.recomputation());
    }

    /** The projections of x behind one another in the last dimension. */
    Tensor joined(LayerInput x) {
        if (joint != null && joint.serves(x.tensor())) {
            return joint.forward(x.tensor(), x.recomputation());
        }
        return widths.length == 0
                ? torch.cat(new TensorVector(forward(x)), -1)
                : forward(linears.get(0).module(), x);
    }

    ProjectionGroup map(ModuleTransform mapper) {
        List<Named<Linear>> mapped = new ArrayList<>();
        linears.forEach(linear -> mapped.add(linear.map(mapper::linear)));
        return new ProjectionGroup(mapped, widths);
    }
}
