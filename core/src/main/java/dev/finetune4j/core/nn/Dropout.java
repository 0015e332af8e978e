package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.DropoutKernel;
import dev.finetune4j.core.kernel.DropoutMask;
import dev.finetune4j.core.tensor.Tensors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Dropout (<a href="https://jmlr.org/papers/v15/srivastava14a.html">Srivastava et al. 2014</a>) whose masks follow from seed,
 * pass, module and element alone, by {@link Philox}: whoever computes a block again has the masks of the first time, and
 * trainings of one process have nothing to do with one another.
 *
 * <p>Each word of 32 bits serves two elements of the flattened tensor, its lower half the first: an element is dropped when its
 * 16 bits lie below p · 2¹⁶, so p counts in steps of 2⁻¹⁶. Its block of words has the counter (element / 8, part of the pass,
 * module, pass) and the seed as its key. The other elements are multiplied by 1 / (1 - p), in float32, and rounded once. All
 * devices have the same masks.
 *
 * <p>A training gives its passes a {@link Draw} by {@link #of}; the passes of others draw from the number of passes of the
 * process so far. Dropout acts only in passes that record gradients.
 */
public final class Dropout {
    /**
     * What the masks of a pass are made from.
     *
     * @param seed of the training
     * @param pass number of the pass within it: of the forward pass of one micro-batch
     * @param part 0 for the decoder; the projections of a pass to the vocabulary are counted from 1, further slices of the
     *     tokens of a decoder's part downwards from -1
     * @param counter int32, shape (1), on the model's device: holds the pass, so that a captured graph reads that of each replay;
     *     null where kernels get it as an argument. Stays its owner's
     */
    public record Draw(
            long seed, int pass, int part, @Nullable Tensor counter) {
        /** What the decoder draws in a pass. */
        public Draw(long seed, int pass) {
            this(seed, pass, null);
        }

        /** The same, with the pass on the device too. */
        public Draw(long seed, int pass, @Nullable Tensor counter) {
            this(seed, pass, 0, counter);
        }

        /** What a part of this pass draws. */
        Draw of(int part) {
            return new Draw(seed, pass, part, counter);
        }

        /** What a slice of the tokens draws, counted from 0. */
        Draw ofSlice(int index) {
            return of(part - index);
        }
    }

    /** Ends with its close what was begun. */
    @FunctionalInterface
    public interface Pass extends AutoCloseable {
        @Override
        void close();
    }

    private static final class State {
        /** Given by a training; null outside of one. */
        private @Nullable Draw given;
        /** Of the call to the model that is in progress; null where nothing is dropped. */
        private @Nullable Draw current;

        private int projections;
    }

    private static final ThreadLocal<State> OF_THREAD = ThreadLocal.withInitial(State::new);
    private static final AtomicInteger PASSES = new AtomicInteger();
    /** Values of the 16 bits that an element has. */
    private static final int VALUES = 1 << 16;

    private Dropout() {}

    /** What this thread's calls to a model draw from until the result is closed. */
    public static Pass of(Draw draw) {
        State state = OF_THREAD.get();
        Draw before = state.given;
        int projections = state.projections;
        state.given = draw;
        state.projections = 0;
        return () -> {
            state.given = before;
            state.projections = projections;
        };
    }

    /**
     * Begins a pass through a decoder; it drops something if gradients are recorded.
     *
     * @param random whether anything in the decoder drops
     */
    public static Pass decoder(boolean random) {
        return begin(random, 0);
    }

    /**
     * Begins a projection to the vocabulary; each of a pass has masks of its own.
     *
     * @param random whether it drops
     */
    public static Pass projection(boolean random) {
        return begin(random, random ? ++OF_THREAD.get().projections : 0);
    }

    private static Pass begin(boolean random, int part) {
        State state = OF_THREAD.get();
        Draw before = state.current;
        if (!random || !GradMode.is_enabled()) {
            state.current = null;
        } else if (state.given == null) {
            state.current = new Draw(0, PASSES.getAndIncrement()).of(part);
        } else {
            state.current = state.given.of(part);
        }
        return () -> state.current = before;
    }

    /** What the pass in progress draws from; null when nothing is dropped. */
    public static @Nullable Draw current() {
        return OF_THREAD.get().current;
    }

    /** Computes something again as in a pass that drew from this, in whatever thread. */
    public static <T> T again(@Nullable Draw draw, Supplier<T> work) {
        State state = OF_THREAD.get();
        Draw before = state.current;
        state.current = draw;
        try {
            return work.get();
        } finally {
            state.current = before;
        }
    }

    /** Whether {@link #apply} drops anything now. */
    public static boolean isActive() {
        return current() != null;
    }

    /**
     * The mask of a module in the pass in progress; null when nothing is dropped.
     *
     * @param share of the elements that are dropped, p, from 0 to below 1
     * @param module number of the place in the model; each has masks of its own
     */
    public static @Nullable DropoutMask mask(double share, int module) {
        Draw draw = current();
        return draw == null || share == 0 ? null : Mask.of(draw, share, module);
    }

    /**
     * Drops elements as the pass in progress has it; without one that drops, the tensor itself.
     *
     * @param share of the elements that are dropped, p, from 0 to below 1
     * @param module number of the place in the model; each has masks of its own
     * @return of the shape and type of x
     */
    public static Tensor apply(Tensor x, double share, int module) {
        DropoutMask mask = mask(share, module);
        if (mask == null) {
            return x;
        }
        // The mask of the backward pass is made again instead of kept.
        return CustomFunction.apply(x, mask::applyTo, mask::applyTo);
    }

    /**
     * The mask of one module in one pass.
     *
     * @param drawn what it is made from
     * @param module number of the place in the model
     * @param threshold 16 bits below it, unsigned, drop their element
     * @param scale factor on the others
     */
    record Mask(Draw drawn, int module, int threshold, float scale) implements DropoutMask {
        static Mask of(Draw draw, double share, int module) {
            int threshold = (int) Math.min(Math.round(share * VALUES), VALUES - 1);
            return new Mask(draw, module, threshold, (float) VALUES / (VALUES - threshold));
        }

        @Override
        public Tensor applyTo(Tensor x) {
            ScalarType type = Tensors.typeOf(x);
            Tensor given = x.contiguous();
            DropoutKernel kernel = DeviceKernels.of(x).dropout(type).orElse(null);
            if (kernel == null) {
                return hostMask(given);
            }
            Tensor y = Tensors.emptyLike(given);
            kernel.apply(given, y, draw());
            return y;
        }

        @Override
        public DropoutKernel.Mask draw() {
            return new DropoutKernel.Mask(
                    drawn.part(), module, drawn.pass(), drawn.counter(), drawn.seed(), threshold, scale);
        }

        /** The upper words of the counter: part, module, pass. */
        int[] counter() {
            return new int[] {drawn.part(), module, drawn.pass()};
        }

        /** Where there is no kernel. */
        Tensor hostMask(Tensor x) {
            float[] factors = factors(Math.toIntExact(x.numel()));
            Tensor mask = Tensors.ofFloats(Tensors.deviceOf(x), factors, x.shape());
            return Tensors.as(Tensors.as(x, ScalarType.Float).mul(mask), Tensors.typeOf(x));
        }

        /** What each of the first elements is multiplied by. */
        float[] factors(int count) {
            float[] factors = new float[count];
            int[] words = new int[Philox.WORDS];
            int[] upper = counter();
            for (int i = 0; i < count; i++) {
                int inBlock = i % (2 * Philox.WORDS);
                if (inBlock == 0) {
                    words[0] = i / (2 * Philox.WORDS);
                    System.arraycopy(upper, 0, words, 1, Philox.WORDS - 1);
                    Philox.block(words, (int) drawn.seed(), (int) (drawn.seed() >>> Integer.SIZE));
                }
                int word = words[inBlock / 2];
                int bits = inBlock % 2 == 0 ? word & 0xffff : word >>> 16;
                factors[i] = bits < threshold ? 0 : scale;
            }
            return factors;
        }
    }
}
