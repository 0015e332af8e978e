package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.kernel.MatmulKernels;
import dev.finetune4j.core.kernel.NormSpec;
import dev.finetune4j.core.kernel.RowProducts;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.Named;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The LoRA adapters of the rows of a step, behind one another, so that rows with different adapters share every product: the down
 * projections of all adapters are one product, of which each row keeps what belongs to its own, and the up projections another one.
 *
 * <p>Adapters have slots. A slot is written over when its adapter is not in use and another one needs room; when there are too few,
 * or a rank is too small, all move to larger tensors.
 */
final class AdapterBank implements AutoCloseable {
    private static final int MIN_RANK = 8;

    /**
     * The factors that belong to the linears of one input.
     *
     * @param a scaled, shape (slots · linears · rank, in)
     * @param b zero but where a slot's own are, shape (outputs of all, slots · linears · rank)
     * @param width numbers of a slot, linears · rank
     */
    private record Site(Tensor a, Tensor b, int width) {
        void close() {
            a.close();
            b.close();
        }
    }

    private final CausalLM base;
    private final ComputeDevice device;
    private final ScalarType type;
    /** The linears of the base that share an input, as a step has them. */
    private final List<List<Named<Linear>>> groups;

    private final List<@Nullable Site> sites;
    /**
     * Whose factors a slot has.
     *
     * @param factors of the view, which the slot has copies of
     * @param version of all of them when they were copied
     */
    private record Slot(CausalLM view, List<Tensor> factors, long version) {
        static Slot of(CausalLM view, List<Tensor> factors) {
            return new Slot(view, factors, versionOf(factors));
        }

        /** Grows with each change of a tensor. */
        private static long versionOf(List<Tensor> factors) {
            return factors.stream().mapToLong(Tensor::_version).sum();
        }

        boolean isStale() {
            return version != versionOf(factors);
        }
    }

    private List<@Nullable Slot> slots = new ArrayList<>();
    private int rank = MIN_RANK;
    private long moves;
    private @Nullable Masks masks;

    AdapterBank(CausalLM base, ScalarType type, List<List<Named<Linear>>> groups) {
        this.base = base;
        this.device = base.placement().device();
        this.type = type;
        this.groups = List.copyOf(groups);
        this.sites = new ArrayList<>(Collections.nCopies(groups.size(), null));
    }

    /** Whether a view differs from the base in nothing but low-rank additions to linears, or virtual tokens. */
    boolean supports(CausalLM view) {
        if (view == base) {
            return true;
        }
        boolean sameNorms = view.norm().module() == base.norm().module();
        for (int i = 0; sameNorms && i < base.blocks().size(); i++) {
            sameNorms = norms(view, i).equals(norms(base, i));
        }
        return sameNorms
                && view.embedding() == base.embedding()
                && groups.stream().flatMap(List::stream).allMatch(linear -> isAddition(view, linear));
    }

    private static List<Object> norms(CausalLM model, int block) {
        List<Object> norms = new ArrayList<>();
        model.blocks().get(block).forEachNorm(norm -> norms.add(norm.module()));
        return norms;
    }

    private static boolean isAddition(CausalLM view, Named<Linear> ofBase) {
        Linear linear = linear(view, ofBase.name());
        Linear.LowRankAddition addition = linear.addition();
        return linear == ofBase.module() || (addition != null && addition.base() == ofBase.module());
    }

    private static Linear linear(CausalLM view, String name) {
        return name.equals(ModuleNames.OUTPUT_HEAD)
                ? view.head()
                : Objects.requireNonNull(view.linears().get(name));
    }

    private GemvWeight.@Nullable LowRank added(CausalLM view, Named<Linear> ofBase) {
        Linear.LowRankAddition addition = linear(view, ofBase.name()).addition();
        return addition == null || view == base ? null : addition.added();
    }

    /** How often tensors have been replaced. */
    long moves() {
        return moves;
    }

    /** Whether a view adds anything. */
    boolean adds(CausalLM view) {
        return rank(view) > 0;
    }

    /** Gives each of these views a slot, unless it adds nothing. */
    void load(Collection<CausalLM> views) {
        List<CausalLM> missing = new ArrayList<>();
        for (CausalLM view : views) {
            if (slot(view) < 0 && !missing.contains(view) && rank(view) > 0) {
                missing.add(view);
            }
        }
        if (missing.isEmpty()) {
            return;
        }
        boolean fits = missing.stream().allMatch(view -> rank(view) <= rank && hasSites(view))
                && missing.size()
                        <= slots.stream().filter(slot -> isFree(slot, views)).count();
        if (fits) {
            for (CausalLM view : missing) {
                int slot = 0;
                while (!isFree(slots.get(slot), views)) {
                    slot++;
                }
                write(view, slot);
            }
        } else {
            enlarge(views);
        }
    }

    private static boolean isFree(@Nullable Slot slot, Collection<CausalLM> used) {
        return slot == null || !used.contains(slot.view());
    }

    /** Whether a view's factors have changed since they were copied. */
    boolean isStale(CausalLM view) {
        int index = slot(view);
        Slot known = index < 0 ? null : slots.get(index);
        return known != null && known.isStale();
    }

    /** Copies a view's factors, of which there are copies, again. */
    void refresh(CausalLM view) {
        write(view, slot(view));
    }

    private int rank(CausalLM view) {
        int most = 0;
        for (List<Named<Linear>> group : groups) {
            for (Named<Linear> linear : group) {
                GemvWeight.LowRank added = added(view, linear);
                most = Math.max(most, added == null ? 0 : added.rank());
            }
        }
        return most;
    }

    private boolean adds(CausalLM view, int site) {
        return groups.get(site).stream().anyMatch(linear -> added(view, linear) != null);
    }

    private boolean hasSites(CausalLM view) {
        for (int site = 0; site < groups.size(); site++) {
            if (sites.get(site) == null && adds(view, site)) {
                return false;
            }
        }
        return true;
    }

    private void enlarge(Collection<CausalLM> views) {
        List<CausalLM> all =
                views.stream().distinct().filter(view -> rank(view) > 0).toList();
        int wanted = 1;
        while (wanted < all.size()) {
            wanted *= 2;
        }
        int count = Math.max(wanted, slots.size());
        while (rank < all.stream().mapToInt(this::rank).max().orElse(0)) {
            rank *= 2;
        }
        List<Boolean> needed = new ArrayList<>();
        for (int site = 0; site < groups.size(); site++) {
            int index = site;
            needed.add(sites.get(site) != null || all.stream().anyMatch(view -> adds(view, index)));
        }
        forget();
        for (int site = 0; site < groups.size(); site++) {
            if (needed.get(site)) {
                sites.set(site, newSite(groups.get(site), count));
            }
        }
        slots = new ArrayList<>(Collections.nCopies(count, null));
        moves++;
        for (int slot = 0; slot < all.size(); slot++) {
            write(all.get(slot), slot);
        }
    }

    private Site newSite(List<Named<Linear>> group, int count) {
        int width = group.size() * rank;
        long out = group.stream()
                .mapToLong(linear -> linear.module().outFeatures())
                .sum();
        try (TensorScope scope = new TensorScope()) {
            Tensor a = Tensors.zeros(
                    device, type, (long) count * width, group.get(0).module().inFeatures());
            Tensor b = Tensors.zeros(device, type, out, (long) count * width);
            return new Site(scope.release(a), scope.release(b), width);
        }
    }

    private void write(CausalLM view, int slot) {
        try (Lifetime.Use use = view.use()) {
            // What fails half-way must not be taken for the one that was there before.
            slots.set(slot, null);
            Slot copied = Slot.of(view, factors(view));
            for (int index = 0; index < sites.size(); index++) {
                Site site = sites.get(index);
                if (site != null) {
                    write(view, groups.get(index), site, slot);
                }
            }
            // Changed meanwhile, they count as changed.
            slots.set(slot, copied);
        }
    }

    private List<Tensor> factors(CausalLM view) {
        List<Tensor> factors = new ArrayList<>();
        for (List<Named<Linear>> group : groups) {
            for (Named<Linear> linear : group) {
                GemvWeight.LowRank added = added(view, linear);
                if (added != null) {
                    factors.add(added.a());
                    factors.add(added.b());
                }
            }
        }
        return factors;
    }

    private void write(CausalLM view, List<Named<Linear>> group, Site site, int slot) {
        try (TensorScope scope = new TensorScope()) {
            long first = (long) slot * site.width();
            site.a().narrow(0, first, site.width()).zero_();
            site.b().narrow(1, first, site.width()).zero_();
            long row = 0;
            for (Named<Linear> linear : group) {
                GemvWeight.LowRank added = added(view, linear);
                long out = linear.module().outFeatures();
                if (added != null) {
                    Tensor a = added.a().detach().mul(new Scalar(added.scale()));
                    site.a().narrow(0, first, added.rank()).copy_(a);
                    Tensor part = site.b().narrow(0, row, out).narrow(1, first, added.rank());
                    part.copy_(added.b().detach());
                }
                row += out;
                first += rank;
            }
        }
    }

    /** Says which rows belong to which slots in the steps that follow. */
    void use(Masks current) {
        masks = current;
    }

    /** What each row of a step keeps of the down projections. Stays right until the bank {@link #moves}. */
    Masks masks(int rows) {
        Map<Integer, Tensor> byWidth = new HashMap<>();
        for (Site site : sites) {
            if (site != null) {
                byWidth.computeIfAbsent(site.width(), width -> {
                    try (TensorScope scope = new TensorScope()) {
                        return scope.release(Tensors.zeros(device, type, rows, (long) slots.size() * width));
                    }
                });
            }
        }
        return new Masks(byWidth);
    }

    /** @param byWidth ones and zeros, shape (rows, slots · width) */
    record Masks(Map<Integer, Tensor> byWidth) implements AutoCloseable {
        @Override
        public void close() {
            byWidth.values().forEach(Tensor::close);
        }
    }

    /** The slot of a model that was {@link #load loaded}; -1 for one that adds nothing. */
    int slot(CausalLM view) {
        for (int index = 0; index < slots.size(); index++) {
            Slot slot = slots.get(index);
            if (slot != null && slot.view() == view) {
                return index;
            }
        }
        return -1;
    }

    /**
     * Writes what each row keeps.
     *
     * @param ofRows the slots; there may be fewer than rows
     */
    void write(Masks target, List<Integer> ofRows) {
        target.byWidth().forEach((width, mask) -> {
            int columns = Math.toIntExact(mask.size(1));
            float[] numbers = new float[Math.toIntExact(mask.numel())];
            for (int row = 0; row < ofRows.size(); row++) {
                int slot = ofRows.get(row);
                for (int i = 0; slot >= 0 && i < width; i++) {
                    numbers[row * columns + slot * width + i] = 1;
                }
            }
            try (TensorScope scope = new TensorScope()) {
                mask.copy_(Tensors.ofFloats(ComputeDevice.cpu(), numbers, mask.shape()));
            }
        });
    }

    /** Products of the base with those of each row's adapter. */
    RowProducts with(RowProducts products, int site) {
        return new WithAdapters(products, site);
    }

    private final class WithAdapters implements RowProducts {
        private final RowProducts products;
        private final int index;

        WithAdapters(RowProducts products, int index) {
            this.products = products;
            this.index = index;
        }

        @Override
        public int out() {
            return products.out();
        }

        @Override
        public int rank() {
            return products.rank();
        }

        @Override
        public int linears() {
            return 1;
        }

        @Override
        public void lowRank(Tensor x, int rows, Tensor low) {
            products.lowRank(x, rows, low);
        }

        @Override
        public boolean lowRankOfNorm(Tensor x, int rows, NormSpec norm, Tensor y, Tensor low) {
            return false;
        }

        @Override
        public void runBehind(Tensor x, int rows, Tensor low, Tensor y, boolean add) {
            products.runBehind(x, rows, low, y, add);
            Site site = sites.get(index);
            if (site != null) {
                Tensor mask = Objects.requireNonNull(
                        Objects.requireNonNull(masks).byWidth().get(site.width()));
                MatmulKernels kernels = DeviceKernels.of(device).matmul();
                try (TensorScope scope = new TensorScope()) {
                    Tensor narrow = Tensors.empty(device, type, rows, mask.size(1));
                    kernels.gemmNT(x, site.a(), narrow);
                    kernels.addForward(y, narrow.mul_(mask), site.b());
                }
            }
        }

        @Override
        public void runGatedBehind(Tensor x, int rows, Activation activation, Tensor low, Tensor y) {
            throw new IllegalStateException("the products lie side by side");
        }
    }

    private void forget() {
        Collections.fill(slots, null);
        for (int site = 0; site < sites.size(); site++) {
            Site old = sites.get(site);
            if (old != null) {
                old.close();
                sites.set(site, null);
            }
        }
    }

    /** Frees the factors. */
    @Override
    public void close() {
        forget();
        slots = new ArrayList<>();
    }
}
