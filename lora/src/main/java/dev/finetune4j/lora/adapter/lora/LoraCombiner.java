package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.adapter.BiasTraining;
import dev.finetune4j.lora.adapter.Combination;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.kind.LayerAdapter;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.AdapterLayer;
import dev.finetune4j.lora.adapter.layer.AdapterLayerSpec;
import dev.finetune4j.lora.adapter.layer.BaseModules;
import dev.finetune4j.lora.adapter.layer.PeftNames;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.StringViewOptional;
import org.bytedeco.pytorch.T_TensorTensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/** Combines LoRA adapters on one base into a new one, with the numbers of PEFT's {@code add_weighted_adapter}. */
public final class LoraCombiner {
    private final Combination how;
    private final Pruning pruning;
    private final List<Source> sources;
    private final int rank;

    /** An adapter with its share. */
    private record Source(LoraSettings settings, Map<String, Tensor> stored, double weight) {
        /** A tensor of a module that the adapter touches. */
        Tensor tensor(String module, String end) {
            return Objects.requireNonNull(stored.get(PeftNames.tensorName(module, end)));
        }

        boolean has(String module) {
            return stored.containsKey(PeftNames.tensorName(module, LoraLayer.A))
                    || stored.containsKey(PeftNames.tensorName(module, LoraEmbeddingLayer.A));
        }

        double scale(String module) {
            return settings.scaleOf(module);
        }

        /** Rank of the largest module in the file. */
        int rank() {
            int largest = settings.rankPattern().values().stream()
                    .mapToInt(Integer::intValue)
                    .reduce(settings.rank(), Math::max);
            return settings.initWeights().usesResidualBase() ? 2 * largest : largest;
        }
    }

    private LoraCombiner(List<Source> sources, Combination how, RandomMasks masks) {
        this.sources = sources;
        this.how = how;
        this.pruning = new Pruning(how, masks);
        this.rank = newRank();
    }

    /**
     * Combines adapters.
     *
     * @param adapters LoRA on this base; they stay the caller's
     * @param weights the share of each, any number
     * @throws SettingsException naming all that cannot be combined
     * @throws IllegalStateException when an adapter or the base is closed
     */
    public static PeftAdapter combine(
            List<PeftAdapter> adapters, List<Double> weights, Combination how, CausalLM base) {
        return combine(adapters, weights, how, base, RandomMasks.seeded(how.seed()));
    }

    static PeftAdapter combine(
            List<PeftAdapter> adapters, List<Double> weights, Combination how, CausalLM base, RandomMasks masks) {
        requireCombinable(adapters);
        List<Lifetime.Use> uses = new ArrayList<>();
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            List<Source> sources = new ArrayList<>();
            for (int i = 0; i < adapters.size(); i++) {
                uses.add(adapters.get(i).use());
                sources.add(new Source(
                        (LoraSettings) adapters.get(i).settings(),
                        adapters.get(i).stored(),
                        weights.get(i)));
            }
            Combination actual = adapters.size() == 1
                    ? Combination.of(Combination.Type.LINEAR) // as in PEFT
                    : how;
            return new LoraCombiner(sources, actual, masks).combine(base);
        } finally {
            uses.forEach(Lifetime.Use::close);
        }
    }

    private static void requireCombinable(List<PeftAdapter> adapters) {
        List<String> problems = new ArrayList<>();
        if (adapters.isEmpty()) {
            problems.add("no adapter was given; name at least one");
        }
        for (int i = 0; i < adapters.size(); i++) {
            if (!(adapters.get(i).settings() instanceof LoraSettings lora)) {
                problems.add("adapter " + i + " is no LoRA adapter, and only those can be combined");
            } else if (lora.useDora()
                    || lora.loraBias()
                    || lora.bias() != BiasTraining.NONE
                    || !lora.modulesToSave().isEmpty()
                    || !lora.trainableTokenIndices().isEmpty()) {
                problems.add("adapter " + i + " has more than the factors A and B (magnitudes, biases, whole modules or"
                        + " tokens), which have no weighted sum; train it without, or merge it");
            }
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    private int newRank() {
        List<Integer> ranks = sources.stream().map(Source::rank).toList();
        int largest = ranks.stream().mapToInt(Integer::intValue).max().orElseThrow();
        if (how.type().decomposes()) {
            return how.svdRank() == 0 ? largest : how.svdRank();
        }
        if (how.type() == Combination.Type.CAT) {
            return ranks.stream().mapToInt(Integer::intValue).sum();
        }
        if (ranks.stream().distinct().count() > 1) {
            throw new SettingsException(List.of("the adapters have the ranks " + ranks + ", but " + how.type()
                    + " adds A to A and B to B, for which they must be equal; use CAT or one of the types with SVD"));
        }
        return largest;
    }

    private PeftAdapter combine(CausalLM base) {
        Set<String> modules = new LinkedHashSet<>();
        for (String path : LoraSpecs.candidates(base.moduleNames())) {
            if (sources.stream().anyMatch(source -> source.has(path))) {
                modules.add(path);
            }
        }
        LoraSettings settings = LoraSettings.builder()
                .rank(rank)
                .alpha(rank)
                .targetModules(TargetModules.named(modules.toArray(String[]::new)))
                .build();
        return LayerAdapter.of(settings, LoraSpecs.of(settings, BaseModules.of(base)), this::layer);
    }

    private AdapterLayer layer(AdapterLayerSpec spec) {
        String module = spec.modules().get(0);
        boolean embedding = spec.shapes().containsKey(LoraEmbeddingLayer.A);
        String endOfA = embedding ? LoraEmbeddingLayer.A : LoraLayer.A;
        String endOfB = embedding ? LoraEmbeddingLayer.B : LoraLayer.B;
        List<Source> having =
                sources.stream().filter(source -> source.has(module)).toList();
        LoraLayer.Factors made = how.type().decomposes()
                ? decomposed(having, module, endOfA, endOfB)
                : apart(having, module, endOfA, endOfB);
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put(endOfA, padded(made.a(), 0));
        tensors.put(endOfB, padded(made.b(), 1));
        return spec.of(tensors);
    }

    /** Up to the rank of the new adapter with zeros, which add nothing; a tensor of its own. */
    private Tensor padded(Tensor factor, int dimension) {
        long[] shape = factor.shape();
        long missing = rank - shape[dimension];
        if (missing == 0) {
            return factor.contiguous().clone();
        }
        shape[dimension] = missing;
        return torch.cat(new TensorVector(factor, torch.zeros(shape, factor.options())), dimension);
    }

    private LoraLayer.Factors apart(List<Source> having, String module, String endOfA, String endOfB) {
        List<Tensor> a =
                having.stream().map(source -> source.tensor(module, endOfA)).toList();
        List<Tensor> b =
                having.stream().map(source -> source.tensor(module, endOfB)).toList();
        if (how.type() == Combination.Type.CAT) {
            TensorVector rows = new TensorVector();
            TensorVector columns = new TensorVector();
            for (int i = 0; i < having.size(); i++) {
                double share = having.get(i).weight() * having.get(i).scale(module);
                rows.push_back(a.get(i).mul(new Scalar(share)));
                columns.push_back(b.get(i));
            }
            return new LoraLayer.Factors(torch.cat(rows, 0), torch.cat(columns, 1));
        }
        if (a.stream().mapToLong(tensor -> tensor.size(0)).distinct().count() > 1) {
            throw new SettingsException(List.of("the adapters have other ranks on " + module + ", but " + how.type()
                    + " adds A to A and B to B, for which they must be equal; use CAT or one of the types with SVD"));
        }
        double[] ofA = new double[having.size()];
        double[] ofB = new double[having.size()];
        for (int i = 0; i < having.size(); i++) {
            double share = having.get(i).weight() * having.get(i).scale(module);
            ofB[i] = Math.sqrt(Math.abs(share));
            ofA[i] = share < 0 ? -ofB[i] : ofB[i]; // the sign is on one side
        }
        return new LoraLayer.Factors(pruning.sum(a, ofA), pruning.sum(b, ofB));
    }

    /** The nearest product of the rank to the sum of what the adapters add. */
    private LoraLayer.Factors decomposed(List<Source> having, String module, String endOfA, String endOfB) {
        List<Tensor> added = having.stream()
                .map(source -> torch.matmul(source.tensor(module, endOfB), source.tensor(module, endOfA))
                        .mul(new Scalar(source.scale(module))))
                .toList();
        double[] weights = having.stream().mapToDouble(Source::weight).toArray();
        Tensor sum = pruning.sum(added, weights); // (out, in)
        T_TensorTensorTensor_T svd = torch.linalg_svd(sum, false, new StringViewOptional());
        long kept = Math.min(rank, svd.get1().size(0));
        Tensor values = svd.get1().narrow(0, 0, kept);
        return new LoraLayer.Factors(
                svd.get2().narrow(0, 0, kept), svd.get0().narrow(1, 0, kept).mul(values));
    }
}
