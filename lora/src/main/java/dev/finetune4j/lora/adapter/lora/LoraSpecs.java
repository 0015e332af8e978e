package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.layer.AdapterLayer;
import dev.finetune4j.lora.adapter.layer.AdapterLayerSpec;
import dev.finetune4j.lora.adapter.layer.AdapterShape;
import dev.finetune4j.lora.adapter.layer.BaseModules;
import dev.finetune4j.lora.adapter.layer.InitContext;
import dev.finetune4j.lora.adapter.modules.ModulesToSave;
import dev.finetune4j.lora.adapter.modules.TrainableBias;
import dev.finetune4j.lora.adapter.modules.TrainableTokens;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
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

/** The layers that LoRA settings ask for on a base. */
final class LoraSpecs {
    /** The router's weight, beside the experts. */
    private static final String ROUTER = "gate.weight";

    private LoraSpecs() {}

    /** The modules that can get factors: all linears, the head included, and the embedding. */
    static Collection<String> candidates(ModuleNames modules) {
        Set<String> candidates = new LinkedHashSet<>(modules.linears());
        candidates.addAll(modules.embeddings());
        return candidates;
    }

    /**
     * Those that targets can mean. Where parameters of all experts are targets, the linears of single experts are none, as in
     * transformers, which has the one or the other.
     */
    static Collection<String> candidates(LoraSettings settings, ModuleNames modules) {
        Collection<String> all = candidates(modules);
        return settings.targetParameters().isEmpty()
                ? all
                : all.stream().filter(path -> !ModuleNames.isOfExpert(path)).toList();
    }

    /**
     * The layers in the order in which they are made; on one module the earlier one is beneath.
     *
     * @throws SettingsException when no module matches
     */
    static List<AdapterLayerSpec> of(LoraSettings settings, BaseModules base) {
        Set<String> targets = targets(settings, base.names());
        List<AdapterLayerSpec> specs = new ArrayList<>(ModulesToSave.specs(base, settings.modulesToSave()));
        specs.addAll(TrainableTokens.specs(base, settings.trainableTokenIndices()));
        specs.addAll(TrainableBias.specs(base, settings.bias(), targets, settings.modulesToSave()));
        Map<String, Integer> numbers = new HashMap<>();
        candidates(base.names()).forEach(path -> numbers.put(path, numbers.size()));
        for (String path : targets) {
            Embedding embedding = base.embeddings().get(path);
            if (embedding != null) {
                requireNoBias(settings, path);
                specs.add(new OnEmbedding(settings, path, embedding));
            } else {
                specs.add(new OnLinear(
                        settings,
                        path,
                        Objects.requireNonNull(base.linears().get(path)),
                        Objects.requireNonNull(numbers.get(path)),
                        false));
            }
        }
        stacks(settings, base.names())
                .forEach(stack -> specs.add(new OnExperts(
                        settings,
                        stack,
                        Objects.requireNonNull(
                                base.linears().get(stack.linears().get(0))),
                        stack.parameter().equals(ExpertStack.GATE_AND_UP)
                                && stacks(settings, base.names()).stream()
                                        .anyMatch(other -> other.module().equals(stack.module())
                                                && other.parameter().equals(ExpertStack.DOWN)))));
        return specs;
    }

    /** The linears and embeddings that get factors; none where only parameters are meant. */
    static Set<String> targets(LoraSettings settings, ModuleNames names) {
        return settings.modules().targets() instanceof TargetModules.None
                ? Set.of()
                : settings.modules().matchingSome("linear", candidates(settings, names), settings.modulesToSave());
    }

    /**
     * The stacks of experts that get factors.
     *
     * @throws SettingsException when one of the names means none
     */
    static List<ExpertStack> stacks(LoraSettings settings, ModuleNames names) {
        List<ExpertStack> all = ExpertStack.of(names);
        List<String> problems = new ArrayList<>();
        for (String target : settings.targetParameters()) {
            if (all.stream().noneMatch(stack -> stack.isNamedBy(List.of(target)))) {
                problems.add(missing(target, all));
            }
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
        return all.stream()
                .filter(stack -> stack.isNamedBy(settings.targetParameters()))
                .toList();
    }

    private static String missing(String target, List<ExpertStack> all) {
        if (all.isEmpty()) {
            return "no parameter of the model matches the target parameter " + target + "; it has no experts";
        }
        String there = "mlp.experts." + ExpertStack.GATE_AND_UP + " and mlp.experts." + ExpertStack.DOWN;
        boolean router = all.stream()
                .map(stack -> stack.module().replaceFirst("experts$", ROUTER))
                .anyMatch(path -> path.equals(target) || path.endsWith("." + target));
        return router
                ? "the target parameter " + target
                        + " is a router, which chooses the experts and gets no factors here; train"
                        + " without it, with the target parameters " + there
                : "no parameter of the model matches the target parameter " + target + "; it has " + there;
    }

    private static void requireNoBias(LoraSettings settings, String path) {
        if (settings.loraBias()) {
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
            implements AdapterLayerSpec {
        @Override
        public AdapterLayerSpec onResidual(String wanted) {
            return wanted.equals(path) ? new OnLinear(settings, path, linear, module, true) : this;
        }

        @Override
        public List<String> modules() {
            return List.of(path);
        }

        @Override
        public Map<String, long[]> shapes() {
            Map<String, long[]> shapes = new LinkedHashMap<>();
            shapes.put(LoraLayer.A, new long[] {settings.rankOf(path), linear.inFeatures()});
            shapes.put(LoraLayer.B, new long[] {linear.outFeatures(), settings.rankOf(path)});
            if (settings.loraBias()) {
                shapes.put(LoraLayer.BIAS, new long[] {linear.outFeatures()});
            }
            if (settings.useDora()) {
                shapes.put(LoraLayer.MAGNITUDE, new long[] {linear.outFeatures()});
            }
            return shapes;
        }

        /** The initial factors, when they are subtracted from the base. */
        @Override
        public List<long[]> frozen() {
            return settings.initWeights().usesResidualBase()
                    ? List.of(
                            new long[] {settings.rankOf(path), linear.inFeatures()},
                            new long[] {linear.outFeatures(), settings.rankOf(path)})
                    : List.of();
        }

        @Override
        public AdapterShape.Footprint footprint() {
            boolean fused = !(settings.useDora() && settings.dropout() > 0)
                    && !settings.initWeights().usesResidualBase()
                    && !settings.loraBias();
            return new LoraFootprint(settings.rankOf(path), settings.dropout(), fused, settings.useDora());
        }

        @Override
        public AdapterLayer init(InitContext context) {
            LoraLayer.Factors factors = LoraInitializer.of(settings, path, linear, context);
            LoraLayer.Factors subtracted = settings.initWeights().usesResidualBase()
                    ? new LoraLayer.Factors(factors.a().clone(), factors.b().clone())
                    : null;
            Tensor bias = settings.loraBias()
                    ? Tensors.zeros(context.device(), ScalarType.Float, linear.outFeatures())
                    : null;
            return layer(factors, bias, settings.useDora() ? lengths(linear.denseWeight(), 1) : null, subtracted);
        }

        @Override
        public AdapterLayer of(Map<String, Tensor> tensors) {
            Tensor a = Objects.requireNonNull(tensors.get(LoraLayer.A));
            Tensor b = Objects.requireNonNull(tensors.get(LoraLayer.B));
            LoraLayer.Factors subtracted = settings.initWeights().usesResidualBase() && !onResidual
                    ? LoraInitializer.ofBase(settings, path, linear)
                    : null;
            return layer(
                    new LoraLayer.Factors(a, b),
                    tensors.get(LoraLayer.BIAS),
                    tensors.get(LoraLayer.MAGNITUDE),
                    subtracted);
        }

        private LoraLayer layer(
                LoraLayer.Factors factors,
                @Nullable Tensor bias,
                @Nullable Tensor magnitude,
                LoraLayer.@Nullable Factors subtracted) {
            return new LoraLayer(
                    new Parameter(factors.a()),
                    new Parameter(factors.b()),
                    bias,
                    magnitude,
                    subtracted,
                    settings.scaleOf(path),
                    settings.dropout(),
                    module,
                    new RowNorms(),
                    settings.initWeights().usesResidualBase());
        }
    }

    /**
     * Factors beside a weight.
     *
     * @param rank r
     * @param dropout share of the inputs that is hidden
     * @param isFused whether their backward pass is written by hand
     * @param decomposed whether the rows of the weight have trained lengths
     */
    private record LoraFootprint(int rank, double dropout, boolean isFused, boolean decomposed)
            implements AdapterShape.Footprint {
        @Override
        public boolean savesInput() {
            return isFused || dropout == 0;
        }

        /** What A puts out, and what dropout leaves where libtorch records it; its mask is made again. */
        @Override
        public long savedBytes(long in, long out, int number) {
            return (rank + (savesInput() ? 0 : in) + (decomposed ? (isFused ? 1 : 2) * out : 0)) * number;
        }

        @Override
        public long temporaryBytes(long in, long out, int number) {
            long outputs = isFused ? (decomposed ? 1 : 0) : decomposed ? 4 : 2;
            return outputs * out * number;
        }

        /** The sum of weight and product, and its square. */
        @Override
        public long weightCopyBytes(int number) {
            return decomposed ? 2L * Float.BYTES : 0;
        }
    }

    /**
     * Factors of all experts of a layer.
     *
     * @param first its first linear, whose shape all have
     * @param inner whether PEFT has another parameter's factors around these
     */
    private record OnExperts(LoraSettings settings, ExpertStack stack, Linear first, boolean inner)
            implements AdapterLayerSpec {
        private int rank() {
            return settings.rankOf(stack.path());
        }

        private long outputs() {
            return first.outFeatures() * stack.linears().size() / stack.experts();
        }

        private long width() {
            return (long) rank() * stack.experts();
        }

        @Override
        public List<String> modules() {
            return stack.linears();
        }

        @Override
        public String nameOf(String layer) {
            return stack.fileName(inner, layer);
        }

        @Override
        public Map<String, long[]> shapes() {
            Map<String, long[]> shapes = new LinkedHashMap<>();
            shapes.put(LoraLayer.A, new long[] {width(), first.inFeatures()});
            shapes.put(LoraLayer.B, new long[] {outputs(), width()});
            return shapes;
        }

        @Override
        public AdapterShape.Footprint footprint() {
            return new LoraFootprint(rank(), 0, false, false);
        }

        @Override
        public AdapterLayer init(InitContext context) {
            double bound = 1 / Math.sqrt((double) first.inFeatures());
            Tensor a = Tensors.uniform(context.device(), context.random(), bound, width(), first.inFeatures());
            return layer(a, Tensors.zeros(context.device(), ScalarType.Float, outputs(), width()));
        }

        @Override
        public AdapterLayer of(Map<String, Tensor> tensors) {
            return layer(
                    Objects.requireNonNull(tensors.get(LoraLayer.A)), Objects.requireNonNull(tensors.get(LoraLayer.B)));
        }

        private ExpertsLoraLayer layer(Tensor a, Tensor b) {
            return new ExpertsLoraLayer(
                    stack, new Parameter(a), new Parameter(b), rank(), settings.scaleOf(stack.path()));
        }
    }

    private record OnEmbedding(LoraSettings settings, String path, Embedding embedding) implements AdapterLayerSpec {
        @Override
        public List<String> modules() {
            return List.of(path);
        }

        @Override
        public Map<String, long[]> shapes() {
            Map<String, long[]> shapes = new LinkedHashMap<>();
            shapes.put(LoraEmbeddingLayer.A, new long[] {settings.rankOf(path), embedding.vocabulary()});
            shapes.put(LoraEmbeddingLayer.B, new long[] {embedding.width(), settings.rankOf(path)});
            if (settings.useDora()) {
                shapes.put(LoraLayer.MAGNITUDE, new long[] {embedding.width()});
            }
            return shapes;
        }

        /** A is zero and B random whatever the start, as in PEFT. */
        @Override
        public AdapterLayer init(InitContext context) {
            int rank = settings.rankOf(path);
            Tensor a = Tensors.zeros(context.device(), ScalarType.Float, rank, embedding.vocabulary());
            Tensor b = Tensors.normal(context.device(), context.random(), 1, embedding.width(), rank);
            return new LoraEmbeddingLayer(
                    a,
                    b,
                    settings.useDora() ? lengths(embedding.denseWeight(), 0) : null,
                    settings.scaleOf(path),
                    settings.initWeights().usesResidualBase());
        }

        @Override
        public AdapterLayer of(Map<String, Tensor> tensors) {
            return new LoraEmbeddingLayer(
                    Objects.requireNonNull(tensors.get(LoraEmbeddingLayer.A)),
                    Objects.requireNonNull(tensors.get(LoraEmbeddingLayer.B)),
                    tensors.get(LoraLayer.MAGNITUDE),
                    settings.scaleOf(path),
                    settings.initWeights().usesResidualBase());
        }
    }
}
