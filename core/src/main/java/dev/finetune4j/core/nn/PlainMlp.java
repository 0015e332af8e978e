package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.Activation;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** A dense feed-forward part without a gate, {@code down(act(up(x)))} (<a href="https://arxiv.org/abs/1706.03762">Vaswani et al. 2017</a>). */
public final class PlainMlp implements FeedForward {
    private final Activation activation;
    private final ProjectionGroup up;
    private final ProjectionGroup down;

    /** @param up the projection of the input */
    public PlainMlp(Activation activation, Named<Linear> up, Named<Linear> down) {
        this(activation, ProjectionGroup.separate(List.of(up)), ProjectionGroup.separate(List.of(down)));
    }

    private PlainMlp(Activation activation, ProjectionGroup up, ProjectionGroup down) {
        this.activation = activation;
        this.up = up;
        this.down = down;
    }

    @Override
    public Tensor forward(HiddenStates x, @Nullable RouterBalance balance) {
        return down.concatenated(activated(x));
    }

    @Override
    public Tensor forwardForGradient(HiddenStates x, @Nullable RouterBalance balance, boolean values) {
        return values ? forward(x, balance) : down.concatenatedForGradient(activated(x));
    }

    /** {@code act(up(x))}, (B, T, inner). */
    private HiddenStates activated(HiddenStates x) {
        return HiddenStates.of(activation.apply(up.concatenated(x)));
    }

    /** The function between the projections. */
    public Activation activation() {
        return activation;
    }

    /** The projection of the input. */
    public ProjectionGroup up() {
        return up;
    }

    /** The projection of the result. */
    public ProjectionGroup down() {
        return down;
    }

    @Override
    public PlainMlp map(ModuleTransform mapper) {
        return new PlainMlp(activation, up.map(mapper), down.map(mapper));
    }
}
