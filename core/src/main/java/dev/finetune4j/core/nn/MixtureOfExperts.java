package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.ExpertGemv;
import dev.finetune4j.core.kernel.GroupedMatmul;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A sparse feed-forward part: each token passes a few of many {@link GatedMlp}s, which a {@link Router} chooses, and the shares
 * that it gives them weigh what they make of it (<a href="https://arxiv.org/abs/2101.03961">Fedus et al. 2021</a>). Some models
 * have another one beside them, which takes all tokens.
 */
public final class MixtureOfExperts implements FeedForward {
    /**
     * An expert of all tokens.
     *
     * @param gate to one number, of which the sigmoid weighs the result
     */
    public record Shared(GatedMlp mlp, Named<Linear> gate) {
        Tensor forward(HiddenStates x) {
            Tensor share = gate.module().forward(x.tensor()).sigmoid(); // (B, T, 1)
            return mlp.forward(x).mul(share);
        }

        Shared map(ModuleTransform mapper) {
            return new Shared(mlp.map(mapper), gate.map(mapper::linear));
        }
    }

    /**
     * Experts as few rows are multiplied by them.
     *
     * @param gateAndUp the two of an expert in turn
     */
    public record Gemv(ExpertGemv gateAndUp, ExpertGemv down) {}

    private final Named<Router> router;
    private final List<GatedMlp> experts;
    private final @Nullable Shared shared;
    private final @Nullable GroupedExperts grouped;

    /** @param experts alike but for their weights */
    public MixtureOfExperts(Named<Router> router, List<GatedMlp> experts, @Nullable Shared shared) {
        this.router = router;
        this.experts = List.copyOf(experts);
        this.shared = shared;
        this.grouped = GroupedExperts.of(this.experts);
    }

    @Override
    public Tensor forward(HiddenStates x, @Nullable RouterBalance balance) {
        return forward(x, balance, true);
    }

    @Override
    public Tensor forwardForGradient(HiddenStates x, @Nullable RouterBalance balance, boolean values) {
        // The shares' gradients need what the experts make.
        return forward(x, balance, false);
    }

    private Tensor forward(HiddenStates x, @Nullable RouterBalance balance, boolean counting) {
        Tensor tokens = x.tensor().reshape(-1, x.tensor().size(-1)); // (n, D)
        Router.Choice choice = router.module().choose(tokens, balance, counting);
        TokensByExpert sorted = TokensByExpert.of(choice, experts.size());
        Tensor routed = sorted.combine(mlps(sorted, sorted.gather(tokens)), choice.shares());
        Tensor result = routed.view(x.tensor().shape());
        return shared == null ? result : result.add(shared.forward(x));
    }

    /** The experts' results, one operation for all where there is one. */
    private Tensor mlps(TokensByExpert sorted, Tensor rows) {
        boolean together = grouped != null && !grouped.isOneByOne();
        Optional<GroupedMatmul> kernel = together ? GroupedExperts.kernel(rows) : Optional.empty();
        return kernel.isPresent() && grouped != null
                ? grouped.forward(kernel.get(), rows, sorted.ends())
                : each(sorted, rows);
    }

    /** One expert after the other: whatever linears they have. */
    private Tensor each(TokensByExpert sorted, Tensor rows) {
        long[] counts = sorted.counts();
        Tensor[] results = new Tensor[counts.length];
        int found = 0;
        long start = 0;
        for (int i = 0; i < counts.length; i++) {
            if (counts[i] > 0) {
                Tensor own = rows.narrow(0, start, counts[i]).unsqueeze(0); // (1, count, D)
                results[found++] = experts.get(i).forward(HiddenStates.of(own)).squeeze(0);
                start += counts[i];
            }
        }
        return torch.cat(new TensorVector(Arrays.copyOf(results, found)), 0);
    }

    /**
     * The experts as few rows are multiplied by them; null where there is no such way.
     *
     * @param type of the rows
     */
    public @Nullable Gemv gemv(ScalarType type) {
        return grouped == null ? null : grouped.gemv(type);
    }

    /** The choice of experts. */
    public Named<Router> router() {
        return router;
    }

    /** The experts, in the order in which the router counts them. */
    public List<GatedMlp> experts() {
        return experts;
    }

    /** The expert of all tokens; null where there is none. */
    public @Nullable Shared shared() {
        return shared;
    }

    @Override
    public MixtureOfExperts map(ModuleTransform mapper) {
        return new MixtureOfExperts(
                router,
                experts.stream().map(expert -> expert.map(mapper)).toList(),
                shared == null ? null : shared.map(mapper));
    }

    @Override
    public void forEachRouter(Consumer<Named<Router>> sink) {
        sink.accept(router);
    }
}
