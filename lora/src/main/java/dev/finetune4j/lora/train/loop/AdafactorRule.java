package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.kernel.OptimizerKernels.GradientClip;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.train.Optimizer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Adafactor with the arithmetic of transformers, parameter by parameter by libtorch's operations. What a step depends on is
 * read on the device, so that nobody waits for a GPU.
 */
final class AdafactorRule implements UpdateRule {
    private static final double SQUARES_EPSILON = 1e-30;
    private static final double LEAST_SCALE = 1e-3;
    private static final double CLIP_THRESHOLD = 1;
    private static final double DECAY = -0.8;

    private final FlatParameters parameters;
    private final Optimizer.Adafactor settings;
    private final Map<String, State> states = new LinkedHashMap<>();

    /**
     * What is kept of a parameter.
     *
     * @param squares running means of the squares of its gradient: those of the rows of a matrix, or of each number of a vector
     * @param columns those of the columns; null for a vector
     * @param expAvg the average of the updates; null for none
     */
    private record State(
            Tensor squares,
            @Nullable Tensor columns,
            @Nullable Tensor expAvg) {}

    AdafactorRule(FlatParameters parameters, Optimizer.Adafactor settings) {
        this.parameters = parameters;
        this.settings = settings;
        try (TensorScope scope = new TensorScope()) {
            for (FlatParameters.Slot slot : parameters.slots()) {
                states.put(slot.name(), initial(slot.shape()));
            }
            states.values().forEach(state -> {
                scope.release(state.squares());
                if (state.columns() != null) {
                    scope.release(state.columns());
                }
                if (state.expAvg() != null) {
                    scope.release(state.expAvg());
                }
            });
        }
    }

    private State initial(long... shape) {
        int last = shape.length - 1;
        boolean factored = shape.length >= 2;
        long[] columns = Arrays.copyOf(shape, last);
        if (factored) {
            columns[last - 1] = shape[last];
        }
        return new State(
                zeros(factored ? Arrays.copyOf(shape, last) : shape),
                factored ? zeros(columns) : null,
                settings.beta1() > 0 ? zeros(shape) : null);
    }

    private Tensor zeros(long... shape) {
        return Tensors.zeros(Tensors.deviceOf(parameters.values()), ScalarType.Float, shape);
    }

    @Override
    public void update(FlatParameters.Slice slice, Step step, GradientClip clip) {
        // 1 where the step has numbers and 0 where it has not: everything below is multiplied by it.
        Tensor good = torch.isfinite(clip.norm())
                .logical_and(torch.isfinite(clip.loss().squeeze()));
        for (FlatParameters.Slot slot : parameters.slots(slice)) {
            try (TensorScope scope = new TensorScope()) {
                update(slot, step, clip, good);
            }
        }
        parameters.refreshComputeCopies(slice);
        slice.of(parameters.gradients()).zero_();
    }

    private void update(FlatParameters.Slot slot, Step step, GradientClip clip, Tensor good) {
        State state = Objects.requireNonNull(states.get(slot.name()));
        Tensor value = slot.of(parameters.values());
        Tensor gradient = slot.of(parameters.gradients());
        Tensor share = good.to(ScalarType.Float);
        if (clip.maxNorm() > 0) {
            gradient = gradient.mul(clip.factorOnDevice());
        }
        gradient = torch.where(good, gradient, torch.zeros_like(gradient));
        Tensor update = normalized(state, gradient, share.mul(new Scalar(Math.pow(step.number(), DECAY))));
        Tensor clipped = rms(update).div_(new Scalar(CLIP_THRESHOLD)).clamp_min_(new Scalar(1));
        Tensor rate = share.mul_(new Scalar(step.learningRate()));
        if (settings.scaleParameter()) {
            rate = rate.mul_(rms(value).clamp_min_(new Scalar(LEAST_SCALE)));
        }
        update.div_(clipped).mul_(rate);
        if (state.expAvg() != null) {
            Tensor average = state.expAvg();
            // A step without numbers leaves the average as it is, and moves nothing.
            average.lerp_(update, good.to(ScalarType.Float).mul_(new Scalar(1 - settings.beta1())));
            update = average.mul(good);
        }
        if (step.weightDecay() != 0) {
            value.sub_(value.mul(rate), new Scalar(step.weightDecay()));
        }
        value.sub_(update);
    }

    /**
     * The gradient over the root of its running mean square.
     *
     * @param weight of this step's squares in the running mean
     */
    private static Tensor normalized(State state, Tensor gradient, Tensor weight) {
        Tensor squares = gradient.square().add_(new Scalar(SQUARES_EPSILON));
        if (state.columns() == null) {
            return state.squares().lerp_(squares, weight).rsqrt().mul_(gradient);
        }
        Tensor rows = state.squares().lerp_(squares.mean(-1), weight);
        Tensor columns = state.columns().lerp_(squares.mean(-2), weight);
        Tensor byRow = rows.div(rows.mean(new long[] {-1}, true, null)).rsqrt_().unsqueeze(-1);
        return byRow.mul(columns.unsqueeze(-2).rsqrt()).mul_(gradient);
    }

    private static Tensor rms(Tensor tensor) {
        return torch.linalg_vector_norm(tensor).div_(new Scalar(Math.sqrt((double) tensor.numel())));
    }

    @Override
    public Map<String, Tensor> state(FlatParameters.Slot slot) {
        State state = Objects.requireNonNull(states.get(slot.name()));
        Map<String, Tensor> named = new LinkedHashMap<>();
        if (state.columns() == null) {
            named.put("exp_avg_sq", state.squares().alias());
        } else {
            named.put("exp_avg_sq_row", state.squares().alias());
            named.put("exp_avg_sq_col", state.columns().alias());
        }
        if (state.expAvg() != null) {
            named.put("exp_avg", state.expAvg().alias());
        }
        return named;
    }

    @Override
    public void close() {
        states.values().forEach(state -> {
            state.squares().close();
            if (state.columns() != null) {
                state.columns().close();
            }
            if (state.expAvg() != null) {
                state.expAvg().close();
            }
        });
    }
}
