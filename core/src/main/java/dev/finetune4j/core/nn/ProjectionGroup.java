package dev.finetune4j.core.nn;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/**
 * Several projections of one input, each a linear of its own or all of them stacked in the rows of one linear, as
 * checkpoints come in both forms. Forward calls may run in several threads at once.
 */
public final class ProjectionGroup {
    private final List<NamedLinear> linears;
    private final long[] widths;

    private ProjectionGroup(List<NamedLinear> linears, long[] widths) {
        this.linears = linears;
        this.widths = widths;
    }

    /** One linear for each projection. */
    public static ProjectionGroup separate(NamedLinear... linears) {
        return new ProjectionGroup(List.of(linears), new long[0]);
    }

    /**
     * One linear for all projections.
     *
     * @param widths how many of its outputs belong to each projection, in order
     */
    public static ProjectionGroup stacked(NamedLinear linear, long... widths) {
        return new ProjectionGroup(List.of(linear), widths.clone());
    }

    /** The projections of x, shape (…, D), in order. */
    Tensor[] forward(Tensor x) {
        if (widths.length == 0) {
            return linears.stream().map(linear -> linear.forward(x)).toArray(Tensor[]::new);
        }
        Tensor all = linears.get(0).forward(x);
        Tensor[] parts = new Tensor[widths.length];
        long start = 0;
        for (int i = 0; i < widths.length; i++) {
            parts[i] = all.narrow(-1, start, widths[i]);
            start += widths[i];
        }
        return parts;
    }

    /** The projections of x behind one another in the last dimension. */
    Tensor joined(Tensor x) {
        return widths.length == 0
                ? torch.cat(new TensorVector(forward(x)), -1)
                : linears.get(0).forward(x);
    }

    ProjectionGroup map(PartMapper mapper) {
        List<NamedLinear> mapped = new ArrayList<>();
        linears.forEach(linear -> mapped.add(linear.map(mapper)));
        return new ProjectionGroup(mapped, widths);
    }
}
