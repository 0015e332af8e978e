package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.Named;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The factors of the adapters of an {@link AdapterBank}: of the linears that share an input those of all slots behind one another.
 */
final class AdapterSites implements AutoCloseable {
    private static final int MIN_RANK = 8;

    /**
     * The factors that belong to the linears of one input.
     *
     * @param a scaled, shape (slots · linears · rank, in)
     * @param b zero but where a slot's own are, shape (outputs of all, slots · linears · rank)
     * @param width numbers of a slot, linears · rank
     */
    record Site(Tensor a, Tensor b, int width) {
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
    /** What adapters add to each group; null where none adds anything. */
    private final List<@Nullable Site> sites;
    /** Of a slot for one linear. */
    private int rank = MIN_RANK;

    AdapterSites(CausalLM base, ScalarType type, List<List<Named<Linear>>> groups) {
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
                && hasExpertsOfBase(view)
                && groups.stream().flatMap(List::stream).allMatch(linear -> isAddition(view, linear));
    }

    /** Whether the linears that no site has, those of experts that a router chooses, are the base's own. */
    private boolean hasExpertsOfBase(CausalLM view) {
        Set<Linear> atSites = Collections.newSetFromMap(new IdentityHashMap<>());
        groups.forEach(group -> group.forEach(linear -> atSites.add(linear.module())));
        return base.linears().entrySet().stream()
                .filter(linear -> !atSites.contains(linear.getValue()))
                .allMatch(linear -> view.linears().get(linear.getKey()) == linear.getValue());
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

    /** The largest rank of what a view adds; 0 when it adds nothing. */
    int rank(CausalLM view) {
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

    /** Whether a slot has room for what a view adds. */
    boolean hasRoom(CausalLM view) {
        for (int site = 0; site < groups.size(); site++) {
            if (sites.get(site) == null && adds(view, site)) {
                return false;
            }
        }
        return rank(view) <= rank;
    }

    /**
     * Makes room for these views; what was in the slots is lost. If there is not enough memory there is no slot for anyone.
     *
     * @param slots how many there are from now on
     */
    void enlarge(List<CausalLM> views, int slots) {
        while (rank < views.stream().mapToInt(this::rank).max().orElse(0)) {
            rank *= 2;
        }
        List<Boolean> needed = new ArrayList<>();
        for (int site = 0; site < groups.size(); site++) {
            int index = site;
            needed.add(sites.get(site) != null || views.stream().anyMatch(view -> adds(view, index)));
        }
        close();
        try {
            for (int site = 0; site < groups.size(); site++) {
                if (needed.get(site)) {
                    sites.set(site, newSite(groups.get(site), slots));
                }
            }
        } catch (RuntimeException e) {
            // Steps would take some of them for the factors of slots that there are not.
            close();
            throw e;
        }
    }

    private Site newSite(List<Named<Linear>> group, int count) {
        int width = group.size() * rank;
        long out = group.stream()
                .mapToLong(linear -> linear.module().outFeatures())
                .sum();
        try (TensorScope scope = new TensorScope()) {
            Tensor a = zeros((long) count * width, group.get(0).module().inFeatures());
            Tensor b = zeros(out, (long) count * width);
            return new Site(scope.release(a), scope.release(b), width);
        }
    }

    @Nullable
    Site get(int group) {
        return sites.get(group);
    }

    /** The numbers of a slot that sites have, each once. */
    List<Integer> widths() {
        return sites.stream()
                .filter(Objects::nonNull)
                .map(Site::width)
                .distinct()
                .toList();
    }

    /** Zeros of the sites' type where they are; the caller's scope owns them. */
    Tensor zeros(long... shape) {
        return Tensors.zeros(device, type, shape);
    }

    /** The tensors from which {@link #write} copies. */
    List<Tensor> factors(CausalLM view) {
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

    /** Copies what a view adds to a slot. */
    void write(CausalLM view, int slot) {
        for (int index = 0; index < sites.size(); index++) {
            Site site = sites.get(index);
            if (site != null) {
                write(view, groups.get(index), site, slot);
            }
        }
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

    /** Frees the factors, for which {@link #enlarge} makes room again. */
    @Override
    public void close() {
        for (int site = 0; site < sites.size(); site++) {
            Site old = sites.get(site);
            if (old != null) {
                old.close();
                sites.set(site, null);
            }
        }
    }
}
