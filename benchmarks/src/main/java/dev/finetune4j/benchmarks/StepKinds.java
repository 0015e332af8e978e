package dev.finetune4j.benchmarks;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Says what each kernel of some steps was for. Most say it by their names ({@link KernelRole}); products, which all come from
 * cuBLAS, are told apart by these rules, in this order:
 *
 * <ol>
 *   <li>The products next to a cross entropy, one in front of it and one behind, are the head's. So is the one in front of the
 *       choice of a token.
 *   <li>Where 4-bit weights are made dense in the steps, a product is one with a base weight if a weight was made dense since
 *       the product before; all others are LoRA's. This is exact as long as a weight is made dense only when it is needed.
 *   <li>Where they are not (dense weights), a product is one with a base weight if it takes at least as long as the square
 *       weight of the model's width would at the GPU's peak. No such product is faster, and LoRA's, which are bound by memory,
 *       are many times so at the width of a large model. Narrow projections of their own, such as the keys and values of grouped
 *       heads, come out as LoRA's.
 *   <li>A kernel that adds up parts of a product counts with it.
 * </ol>
 *
 * <p>The order is that of their beginnings: the library uses one stream at a time.
 */
final class StepKinds {
    private final List<KernelKind> kinds = new ArrayList<>();
    private final boolean unpacked;
    private final double shortestNanos;
    private @Nullable Product last;
    private boolean denseSince;
    private boolean lossSince;

    /** The last product: the indices of its kernels. */
    private record Product(int first, List<Integer> sums) {}

    private StepKinds(boolean unpacked, double shortestNanos) {
        this.unpacked = unpacked;
        this.shortestNanos = shortestNanos;
    }

    /**
     * The kinds of kernels.
     *
     * @param kernels in the order of their beginnings
     * @param shortestNanos what a product with a dense base weight takes at least
     * @return one for each kernel
     */
    static List<KernelKind> of(List<TracedKernel> kernels, double shortestNanos) {
        boolean unpacked = kernels.stream().anyMatch(kernel -> KernelRole.of(kernel.name()) == KernelRole.MADE_DENSE);
        StepKinds kinds = new StepKinds(unpacked, shortestNanos);
        kernels.forEach(kinds::add);
        return Collections.unmodifiableList(kinds.kinds);
    }

    private void add(TracedKernel kernel) {
        KernelRole role = KernelRole.of(kernel.name());
        int index = kinds.size();
        switch (role) {
            case PRODUCT, GEMV, LOW_RANK_GEMV -> {
                KernelKind known = role.kind();
                kinds.add(known == null ? product(kernel) : known);
                last = new Product(index, new ArrayList<>());
                denseSince = false;
                lossSince = false;
            }
            case PARTIAL_SUMS -> {
                kinds.add(last == null ? KernelKind.OTHER : kinds.get(last.first()));
                if (last != null) {
                    last.sums().add(index);
                }
            }
            default -> {
                KernelKind known = role.kind();
                kinds.add(known == null ? KernelKind.OTHER : known);
                if (role == KernelRole.LOSS || role == KernelRole.CHOICE) {
                    lastIsOfTheHead();
                }
                denseSince |= role == KernelRole.MADE_DENSE;
                lossSince |= role == KernelRole.LOSS;
            }
        }
    }

    private KernelKind product(TracedKernel kernel) {
        if (lossSince) {
            return KernelKind.VOCABULARY;
        }
        boolean base = unpacked ? denseSince : kernel.nanos() >= shortestNanos;
        return base ? KernelKind.BASE : KernelKind.LORA;
    }

    private void lastIsOfTheHead() {
        if (last != null) {
            kinds.set(last.first(), KernelKind.VOCABULARY);
            last.sums().forEach(index -> kinds.set(index, KernelKind.VOCABULARY));
        }
    }
}
