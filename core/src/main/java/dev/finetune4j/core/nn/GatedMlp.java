package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.Activation;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * A dense feed-forward part, {@code down(act(gate(x)) · up(x))}
 * (<a href="https://arxiv.org/abs/2002.05202">SwiGLU and GeGLU, Shazeer 2020</a>).
 */
public final class GatedMlp implements FeedForward {
    private final Activation activation;
    private final ProjectionGroup gateAndUp;
    private final ProjectionGroup down;

    /** @param gateAndUp the two projections of the input, gate first */
    public GatedMlp(Activation activation, ProjectionGroup gateAndUp, Named<Linear> down) {
        this(activation, gateAndUp, ProjectionGroup.separate(List.of(down)));
    }

    private GatedMlp(Activation activation, ProjectionGroup gateAndUp, ProjectionGroup down) {
        this.activation = activation;
        this.gateAndUp = gateAndUp;
        this.down = down;
    }

    @Override
    public Tensor forward(HiddenStates x, @Nullable RouterBalance balance) {
        return forward(x);
    }

    @Override
    public Tensor forwardForGradient(HiddenStates x, @Nullable RouterBalance balance, boolean values) {
        return values ? forward(x) : forwardForGradient(x);
    }

    /** (B, T, D) to (B, T, D). */
    Tensor forward(HiddenStates x) {
        return down.concatenated(gated(x));
    }

    /** The same where only the backward pass matters. */
    private Tensor forwardForGradient(HiddenStates x) {
        return down.concatenatedForGradient(gated(x));
    }

    /** {@code act(gate(x)) · up(x)}, (B, T, inner). */
    private HiddenStates gated(HiddenStates x) {
        return LayerKernels.of(x.tensor()).gated(activation, gateAndUp, x);
    }

    /** The function of the gate. */
    public Activation activation() {
        return activation;
    }

    /** The projections to gate and up. */
    public ProjectionGroup gateAndUp() {
        return gateAndUp;
    }

    /** The projection of the result. */
    public ProjectionGroup down() {
        return down;
    }

    @Override
    public GatedMlp map(ModuleTransform mapper) {
        return new GatedMlp(activation, gateAndUp.map(mapper), down.map(mapper));
    }
}
