package dev.finetune4j.core.decode;

import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.kernel.DecodeBuffers;
import dev.finetune4j.core.kernel.DecodeKernels;
import dev.finetune4j.core.kernel.ExpertBuffers;
import dev.finetune4j.core.kernel.ExpertGemv;
import dev.finetune4j.core.kernel.NormSpec;
import dev.finetune4j.core.kernel.RouterSpec;
import dev.finetune4j.core.kernel.RowProducts;
import dev.finetune4j.core.nn.MixtureOfExperts;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** The second half of a layer for one token of each sequence, from the norm to the residual stream. */
sealed interface FeedForwardStep {
    /** The products that take the norm; null where nothing but a router does. */
    @Nullable
    RowProducts first();

    /** All products, in order. */
    List<RowProducts> products();

    /** The same with other products. */
    FeedForwardStep with(UnaryOperator<RowProducts> change);

    /** Outputs of one projection to gate and up; 0 where there are two. */
    int joint();

    /** Whether {@link #beginOfNorm} is there for so many rows. */
    default boolean takesNorm(int rows, NormSpec norm) {
        return false;
    }

    /** As much from {@link DecodeBuffers#normed}, behind the down projections of {@link #first}, as takes nothing of attention's. */
    void begin(DecodeKernels kernels, DecodeBuffers buffers);

    /**
     * The same from the norm of {@link DecodeBuffers#state}, which need not be there.
     *
     * @throws UnsupportedOperationException unless {@link #takesNorm}
     */
    default void beginOfNorm(DecodeKernels kernels, DecodeBuffers buffers, NormSpec norm) {
        throw new UnsupportedOperationException("the products take no norm");
    }

    /** The rest, up to the residual stream. */
    void end(DecodeKernels kernels, DecodeStep.Norms norms, DecodeBuffers buffers);

    /**
     * A dense part.
     *
     * @param gateAndUp two projections, or one to both
     */
    record Dense(RowProducts gateAndUp, Activation activation, RowProducts down) implements FeedForwardStep {
        @Override
        public RowProducts first() {
            return gateAndUp;
        }

        @Override
        public List<RowProducts> products() {
            return List.of(gateAndUp, down);
        }

        @Override
        public Dense with(UnaryOperator<RowProducts> change) {
            return new Dense(change.apply(gateAndUp), activation, change.apply(down));
        }

        @Override
        public int joint() {
            return gateAndUp.linears() == 1 ? gateAndUp.out() : 0;
        }

        @Override
        public void begin(DecodeKernels kernels, DecodeBuffers buffers) {
            if (joint() > 0) {
                gateAndUp.runBehind(buffers.normed(), buffers.rows(), buffers.low(), buffers.both(), false);
                kernels.gate(buffers.both(), activation, buffers.gated());
            } else {
                gateAndUp.runGatedBehind(buffers.normed(), buffers.rows(), activation, buffers.low(), buffers.gated());
            }
        }

        @Override
        public boolean takesNorm(int rows, NormSpec norm) {
            return gateAndUp.takesNorm(rows, norm);
        }

        @Override
        public void beginOfNorm(DecodeKernels kernels, DecodeBuffers buffers, NormSpec norm) {
            if (joint() > 0) {
                gateAndUp.runOfNorm(buffers.state(), buffers.rows(), norm, buffers.both());
                kernels.gate(buffers.both(), activation, buffers.gated());
            } else {
                gateAndUp.runGatedOfNorm(buffers.state(), buffers.rows(), norm, activation, buffers.gated());
            }
        }

        @Override
        public void end(DecodeKernels kernels, DecodeStep.Norms norms, DecodeBuffers buffers) {
            DecodeStep.end(down, buffers.gated(), norms, buffers);
        }
    }

    /**
     * A dense part without a gate.
     *
     * @param up the projection of the input
     */
    record Plain(RowProducts up, Activation activation, RowProducts down) implements FeedForwardStep {
        @Override
        public RowProducts first() {
            return up;
        }

        @Override
        public List<RowProducts> products() {
            return List.of(up, down);
        }

        @Override
        public Plain with(UnaryOperator<RowProducts> change) {
            return new Plain(change.apply(up), activation, change.apply(down));
        }

        @Override
        public int joint() {
            return 0;
        }

        @Override
        public void begin(DecodeKernels kernels, DecodeBuffers buffers) {
            up.runBehind(buffers.normed(), buffers.rows(), buffers.low(), buffers.gated(), false);
            activation.applyInPlace(buffers.gated());
        }

        @Override
        public void end(DecodeKernels kernels, DecodeStep.Norms norms, DecodeBuffers buffers) {
            DecodeStep.end(down, buffers.gated(), norms, buffers);
        }
    }

    /**
     * Experts, with one of all tokens or without.
     *
     * @param gemv of the chosen ones
     * @param inner width of each
     * @param shared null for none
     */
    record Experts(
            RouterSpec router,
            MixtureOfExperts.Gemv gemv,
            long inner,
            Activation activation,
            @Nullable Shared shared) implements FeedForwardStep {
        /**
         * The expert of all tokens.
         *
         * @param inner its width
         * @param gate to the logit of its weight
         */
        record Shared(RowProducts gateAndUp, long inner, RowProducts down, RowProducts gate) {
            /** Outputs of one projection to gate and up; 0 where there are two. */
            long joint() {
                return gateAndUp.linears() == 1 ? gateAndUp.out() : 0;
            }

            /** Its inner numbers. */
            void begin(DecodeKernels kernels, DecodeBuffers buffers, ExpertBuffers memory, Activation activation) {
                if (joint() > 0) {
                    gateAndUp.runBehind(buffers.normed(), buffers.rows(), buffers.low(), memory.sharedBoth(), false);
                    kernels.gate(memory.sharedBoth(), activation, memory.sharedInner());
                } else {
                    gateAndUp.runGatedBehind(
                            buffers.normed(), buffers.rows(), activation, buffers.low(), memory.sharedInner());
                }
            }
        }

        /** Numbers of a row and expert that products with A of an adapter take. */
        int expertRank() {
            return Math.max(gemv.gateAndUp().rank(), gemv.down().rank());
        }

        /** The memory that it works in. */
        ExpertBuffers buffers(DecodeKernels kernels, DecodeBuffers others) {
            return ExpertBuffers.make(
                    Tensors.deviceOf(others.state()),
                    kernels.type(),
                    others.rows(),
                    router.experts(),
                    router.active(),
                    expertRank(),
                    inner,
                    shared == null ? 0 : shared.inner(),
                    shared == null ? 0 : shared.joint());
        }

        @Override
        public @Nullable RowProducts first() {
            return shared == null ? null : shared.gateAndUp();
        }

        @Override
        public List<RowProducts> products() {
            return shared == null ? List.of() : List.of(shared.gateAndUp(), shared.down(), shared.gate());
        }

        @Override
        public Experts with(UnaryOperator<RowProducts> change) {
            return shared == null
                    ? this
                    : new Experts(
                            router,
                            gemv,
                            inner,
                            activation,
                            new Shared(
                                    change.apply(shared.gateAndUp()),
                                    shared.inner(),
                                    change.apply(shared.down()),
                                    change.apply(shared.gate())));
        }

        @Override
        public int joint() {
            return 0;
        }

        @Override
        public void begin(DecodeKernels kernels, DecodeBuffers buffers) {
            // All of it comes at the end.
        }

        @Override
        public void end(DecodeKernels kernels, DecodeStep.Norms norms, DecodeBuffers buffers) {
            ExpertBuffers memory = Objects.requireNonNull(buffers.experts());
            if (shared != null) {
                shared.begin(kernels, buffers, memory, activation);
                shared.gate().run(buffers.normed(), buffers.rows(), buffers.low(), memory.sharedGate(), false);
            }
            kernels.choose(buffers, router, memory);
            ExpertGemv.Choice choice = memory.choice();
            gemv.gateAndUp().launchGated(buffers.normed(), choice.chosen(), activation, memory.low(), memory.inner());
            gemv.down().launchCombined(memory.inner(), choice, norms.multiplier(), memory.low(), buffers.state(), true);
            if (shared != null) {
                Tensor all = buffers.normed();
                shared.down().run(memory.sharedInner(), buffers.rows(), buffers.low(), all, false);
                buffers.state().addcmul_(all, memory.sharedGate().sigmoid_(), new Scalar(norms.multiplier()));
            }
        }
    }

    /** The most numbers of a row that the down projections of one group of products take. */
    default int rank() {
        return products().stream().mapToInt(RowProducts::rank).max().orElse(0);
    }

    /** All of some lists. */
    static List<RowProducts> concat(List<RowProducts> first, List<RowProducts> second) {
        List<RowProducts> all = new ArrayList<>(first);
        all.addAll(second);
        return all;
    }
}
