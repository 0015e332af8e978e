package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.MatmulKernels;
import dev.finetune4j.core.kernel.RowProducts;
import dev.finetune4j.core.model.CausalLM;
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
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * The LoRA adapters of the rows of a step, behind one another, so that rows with different adapters share every product: the down
 * projections of all adapters are one product, of which each row keeps what belongs to its own, and the up projections another one.
 *
 * <p>Adapters have slots. A slot is written over when its adapter is not in use and another one needs room; when there are too few,
 * or a rank is too small, all move to larger tensors.
 */
final class AdapterBank implements AutoCloseable {
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

    private final AdapterSites sites;
    private List<@Nullable Slot> slots = new ArrayList<>();
    private long moves;
    private @Nullable Masks masks;

    AdapterBank(AdapterSites sites) {
        this.sites = sites;
    }

    /** Whether a view differs from the base in nothing but low-rank additions to linears, or virtual tokens. */
    boolean supports(CausalLM view) {
        return sites.supports(view);
    }

    /** How often tensors have been replaced. */
    long moves() {
        return moves;
    }

    /** Whether a view adds anything. */
    boolean adds(CausalLM view) {
        return sites.rank(view) > 0;
    }

    /** Gives each of these views a slot, unless it adds nothing. */
    void load(Collection<CausalLM> views) {
        List<CausalLM> missing = new ArrayList<>();
        for (CausalLM view : views) {
            if (slot(view) < 0 && !missing.contains(view) && adds(view)) {
                missing.add(view);
            }
        }
        if (missing.isEmpty()) {
            return;
        }
        boolean fits = missing.stream().allMatch(sites::hasRoom)
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

    private void enlarge(Collection<CausalLM> views) {
        List<CausalLM> all = views.stream().distinct().filter(this::adds).toList();
        int wanted = 1;
        while (wanted < all.size()) {
            wanted *= 2;
        }
        int count = Math.max(wanted, slots.size());
        // Without room for the new ones there are no slots, and nothing that knows the old ones goes on.
        slots = new ArrayList<>();
        moves++;
        sites.enlarge(all, count);
        slots = new ArrayList<>(Collections.nCopies(count, null));
        for (int slot = 0; slot < all.size(); slot++) {
            write(all.get(slot), slot);
        }
    }

    private void write(CausalLM view, int slot) {
        try (Lifetime.Use use = view.use()) {
            // What fails half-way must not be taken for the one that was there before.
            slots.set(slot, null);
            Slot copied = Slot.of(view, sites.factors(view));
            sites.write(view, slot);
            // Changed meanwhile, they count as changed.
            slots.set(slot, copied);
        }
    }

    /** Says which rows belong to which slots in the steps that follow. */
    void use(Masks current) {
        masks = current;
    }

    /** What each row of a step keeps of the down projections. Stays right until the bank {@link #moves}. */
    Masks masks(int rows) {
        Map<Integer, Tensor> byWidth = new HashMap<>();
        try (TensorScope scope = new TensorScope()) {
            for (int width : sites.widths()) {
                byWidth.put(width, sites.zeros(rows, (long) slots.size() * width));
            }
            byWidth.values().forEach(scope::release);
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
        public void lowRank(Tensor x, int rows, Tensor low) {
            products.lowRank(x, rows, low);
        }

        @Override
        public void runBehind(Tensor x, int rows, Tensor low, Tensor y, boolean add) {
            products.runBehind(x, rows, low, y, add);
            AdapterSites.Site site = sites.get(index);
            if (site != null) {
                Tensor mask = Objects.requireNonNull(
                        Objects.requireNonNull(masks).byWidth().get(site.width()));
                MatmulKernels kernels = DeviceKernels.of(x).matmul();
                try (TensorScope scope = new TensorScope()) {
                    Tensor narrow = torch.empty_like(mask);
                    kernels.gemmNT(x, site.a(), narrow);
                    kernels.addForward(y, narrow.mul_(mask), site.b());
                }
            }
        }
    }

    /** Frees the factors. */
    @Override
    public void close() {
        slots = new ArrayList<>();
        sites.close();
    }
}
