package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.List;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;

/**
 * The memory of a step that depends on its capacity in positions. Owns its tensors.
 *
 * @param angles rotary angles, one table for each kind of layer
 * @param splits into how many parts attention divides the sequence
 * @param partial sums of each part, float32, shape (R, heads, splits, head size); on the CPU the scores
 * @param weights on a GPU largest score and sum of the weights of each part, float32, shape (R, heads, splits, 2)
 * @param chosen with a GPU likeliest token after each position, -1 for none, in pinned memory of the host, int64, shape
 *     (capacity, R)
 */
public record DecodeWorkspace(List<Angles> angles, int splits, Tensor partial, Tensor weights, Tensor chosen)
        implements AutoCloseable {
    /**
     * Cosines and sines by position.
     *
     * @param cos shape (capacity, rotary channels)
     * @param sin as cos
     * @param interleaved whether channels turn with their neighbours, not the first half with the second
     */
    public record Angles(Tensor cos, Tensor sin, boolean interleaved) {}

    public DecodeWorkspace {
        angles = List.copyOf(angles);
    }

    /** Takes the tensors out of the scope in which they were made. */
    public DecodeWorkspace releasedFrom(TensorScope scope) {
        all().forEach(scope::release);
        return this;
    }

    private Stream<Tensor> all() {
        return Stream.concat(
                angles.stream().flatMap(table -> Stream.of(table.cos(), table.sin())),
                Stream.of(partial, weights, chosen));
    }

    @Override
    public void close() {
        all().forEach(Tensor::close);
    }
}
