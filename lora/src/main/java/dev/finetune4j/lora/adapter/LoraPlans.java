package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** The parts that LoRA settings ask for on a base. */
final class LoraPlans {
    private LoraPlans() {}

    /** The modules that can get factors: all linears, the head included, and the embedding. */
    static Collection<String> candidates(ModuleNames modules) {
        Set<String> candidates = new LinkedHashSet<>(modules.linears());
        candidates.addAll(modules.embeddings());
        return candidates;
    }

    /**
     * The parts in the order in which they are made; on one module the earlier one is beneath.
     *
     * @throws SettingsException when no module matches
     */
    static List<PartPlan> of(LoraSettings settings, BaseModules base) {
        Set<String> targets =
                settings.modules().matchingSome("linear", candidates(base.names()), settings.trainedWhole());
        List<PartPlan> plans = new ArrayList<>(TrainedModules.plans(base, settings.trainedWhole()));
        plans.addAll(TokenRows.plans(base, settings.trainedTokens()));
        plans.addAll(TrainedBias.plans(base, settings.bias(), targets, settings.trainedWhole()));
        List<String> all = new ArrayList<>(candidates(base.names()));
        for (String path : targets) {
            Embedding embedding = base.embeddings().get(path);
            if (embedding != null) {
                requireNoBias(settings, path);
                plans.add(new OnEmbedding(settings, path, embedding));
            } else {
                plans.add(new OnLinear(
                        settings, path, Objects.requireNonNull(base.linears().get(path)), all.indexOf(path), false));
            }
        }
        return plans;
    }

    private static void requireNoBias(LoraSettings settings, String path) {
        if (settings.outputBias()) {
            throw new SettingsException(List.of("the embedding " + path
                    + " cannot have a bias on B; leave it out of the targets or switch the bias off"));
        }
    }

    /** The lengths of a weight's rows or columns, with which an adapter changes nothing yet. */
    private static Tensor lengths(Tensor weight, long summed) {
        return weight.pow(new Scalar(2)).sum(summed).sqrt();
    }

    /**
     * @param module number of the linear among all that can get factors, whichever do
     * @param onResidual whether the file brings the base's weight along as it is without the starting factors
     */
    private record OnLinear(LoraSettings settings, String path, Linear linear, int module, boolean onResidual)
            implements PartPlan {
        @Override
        public PartPlan onResidual(String wanted) {
            return wanted.equals(path) ? new OnLinear(settings, path, linear, module, true) : this;
        }

        @Override
        public List<String> modules() {
            return List.of(path);
        }

        @Override
        public Map<String, long[]> shapes() {
            Map<String, long[]> shapes = new LinkedHashMap<>();
            shapes.put(LoraPart.A, new long[] {settings.rankOf(path), linear.inFeatures()});
            shapes.put(LoraPart.B, new long[] {linear.outFeatures(), settings.rankOf(path)});
            if (settings.outputBias()) {
                shapes.put(LoraPart.BIAS, new long[] {linear.outFeatures()});
            }
            if (settings.weightDecomposed()) {
                shapes.put(LoraPart.MAGNITUDE, new long[] {linear.outFeatures()});
            }
            return shapes;
        }

        /** The factors that the base goes without. */
        @Override
        public List<long[]> frozen() {
            return settings.start().leavesBase()
                    ? List.of(
                            new long[] {settings.rankOf(path), linear.inFeatures()},
                            new long[] {linear.outFeatures(), settings.rankOf(path)})
                    : List.of();
        }

        @Override
        public AdapterOutline.Change change() {
            boolean fused = !settings.weightDecomposed()
                    && !settings.start().leavesBase()
                    && !settings.outputBias()
                    && settings.dropout() == 0;
            return new LowRank(settings.rankOf(path), settings.dropout(), fused, settings.weightDecomposed());
        }

        @Override
        public ModulePart start(StartContext context) {
            LoraPart.Factors factors = FirstFactors.of(settings, path, linear, context);
            LoraPart.Factors without = settings.start().leavesBase()
                    ? new LoraPart.Factors(factors.a().clone(), factors.b().clone())
                    : null;
            Tensor bias = settings.outputBias()
                    ? Tensors.zeros(context.device(), ScalarType.Float, linear.outFeatures())
                    : null;
            return part(factors, bias, settings.weightDecomposed() ? lengths(linear.denseWeight(), 1) : null, without);
        }

        @Override
        public ModulePart of(Map<String, Tensor> tensors) {
            Tensor a = Objects.requireNonNull(tensors.get(LoraPart.A));
            Tensor b = Objects.requireNonNull(tensors.get(LoraPart.B));
            LoraPart.Factors without =
                    settings.start().leavesBase() && !onResidual ? FirstFactors.ofBase(settings, path, linear) : null;
            return part(
                    new LoraPart.Factors(a, b), tensors.get(LoraPart.BIAS), tensors.get(LoraPart.MAGNITUDE), without);
        }

        private LoraPart part(
                LoraPart.Factors factors,
                @Nullable Tensor bias,
                @Nullable Tensor magnitude,
                LoraPart.@Nullable Factors without) {
            return new LoraPart(
                    factors.a(),
                    factors.b(),
                    bias,
                    magnitude,
                    without,
                    settings.scaleOf(path),
                    settings.dropout(),
                    module,
                    settings.start().leavesBase());
        }
    }

    /**
     * Factors beside a weight.
     *
     * @param rank r
     * @param dropout share of the inputs that is hidden
     * @param isFused whether they are added and nothing else, so that their backward pass is written by hand
     * @param decomposed whether the rows of the weight have trained lengths
     */
    private record LowRank(int rank, double dropout, boolean isFused, boolean decomposed)
            implements AdapterOutline.Change {
        @Override
        public boolean keepsInput() {
            return dropout == 0;
        }

        /** What A puts out, and what dropout leaves; its mask is made again. */
        @Override
        public long kept(long in, long out, int number) {
            return (rank + (dropout > 0 ? in : 0) + (decomposed ? 2 * out : 0)) * number;
        }

        @Override
        public long temporary(long out, int number) {
            return isFused ? 0 : (decomposed ? 4L : 2L) * out * number;
        }

        /** The sum of weight and product, and its square. */
        @Override
        public long copies(int number) {
            return decomposed ? 2L * Float.BYTES : 0;
        }
    }

    private record OnEmbedding(LoraSettings settings, String path, Embedding embedding) implements PartPlan {
        @Override
        public List<String> modules() {
            return List.of(path);
        }

        @Override
        public Map<String, long[]> shapes() {
            Map<String, long[]> shapes = new LinkedHashMap<>();
            shapes.put(LoraEmbeddingPart.A, new long[] {settings.rankOf(path), embedding.vocabulary()});
            shapes.put(LoraEmbeddingPart.B, new long[] {embedding.width(), settings.rankOf(path)});
            if (settings.weightDecomposed()) {
                shapes.put(LoraPart.MAGNITUDE, new long[] {embedding.width()});
            }
            return shapes;
        }

        /** A is zero and B random whatever the start, as in PEFT. */
        @Override
        public ModulePart start(StartContext context) {
            int rank = settings.rankOf(path);
            Tensor a = Tensors.zeros(context.device(), ScalarType.Float, rank, embedding.vocabulary());
            Tensor b = Tensors.normal(context.device(), context.random(), 1, embedding.width(), rank);
            return new LoraEmbeddingPart(
                    a,
                    b,
                    settings.weightDecomposed() ? lengths(embedding.denseWeight(), 0) : null,
                    settings.scaleOf(path),
                    settings.start().leavesBase());
        }

        @Override
        public ModulePart of(Map<String, Tensor> tensors) {
            return new LoraEmbeddingPart(
                    Objects.requireNonNull(tensors.get(LoraEmbeddingPart.A)),
                    Objects.requireNonNull(tensors.get(LoraEmbeddingPart.B)),
                    tensors.get(LoraPart.MAGNITUDE),
                    settings.scaleOf(path),
                    settings.start().leavesBase());
        }
    }
}
