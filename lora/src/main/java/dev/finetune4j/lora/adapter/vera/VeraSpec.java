package dev.finetune4j.lora.adapter.vera;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.VeraSettings;
import dev.finetune4j.lora.adapter.layer.AdapterLayer;
import dev.finetune4j.lora.adapter.layer.AdapterLayerSpec;
import dev.finetune4j.lora.adapter.layer.AdapterShape;
import dev.finetune4j.lora.adapter.layer.BaseModules;
import dev.finetune4j.lora.adapter.layer.InitContext;
import dev.finetune4j.lora.adapter.layer.PeftNames;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Plans a VeRA adapter: the matrices that all its linears share are as large as the largest of them asks for, and each uses
 * their first columns and rows.
 *
 * @param targets the adapted linears, in the model's order
 * @param numbers of the linears within the model
 */
record VeraSpec(VeraSettings settings, Map<String, Linear> targets, Map<String, Integer> numbers)
        implements AdapterLayerSpec {
    /** Where the shared matrices are in a file. */
    static final String OUTSIDE = "base_model.";

    static VeraSpec of(VeraSettings settings, BaseModules base, Set<String> targets) {
        Map<String, Linear> linears = new LinkedHashMap<>();
        Map<String, Integer> numbers = new LinkedHashMap<>();
        List<String> all = new ArrayList<>(base.names().linears());
        for (String path : targets) {
            linears.put(path, Objects.requireNonNull(base.linears().get(path)));
            numbers.put(path, all.indexOf(path));
        }
        return new VeraSpec(settings, linears, numbers);
    }

    @Override
    public List<String> modules() {
        return List.copyOf(targets.keySet());
    }

    @Override
    public Map<String, long[]> trained() {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        targets.forEach((path, linear) -> {
            shapes.put(path + "." + VeraLayer.LAMBDA_B, new long[] {linear.outFeatures()});
            shapes.put(path + "." + VeraLayer.LAMBDA_D, new long[] {settings.rank()});
        });
        return shapes;
    }

    @Override
    public Map<String, long[]> shapes() {
        Map<String, long[]> shapes = trained();
        if (settings.saveProjection()) {
            shapes.put(VeraLayer.A, shapeOfA());
            shapes.put(VeraLayer.B, shapeOfB());
        }
        return shapes;
    }

    @Override
    public List<long[]> frozen() {
        return List.of(shapeOfA(), shapeOfB());
    }

    private long[] shapeOfA() {
        return new long[] {
            settings.rank(),
            targets.values().stream().mapToLong(Linear::inFeatures).max().orElseThrow()
        };
    }

    private long[] shapeOfB() {
        return new long[] {
            targets.values().stream().mapToLong(Linear::outFeatures).max().orElseThrow(), settings.rank()
        };
    }

    @Override
    public String nameOf(String layer) {
        int end = layer.lastIndexOf('.');
        return end < 0 ? OUTSIDE + layer : PeftNames.tensorName(layer.substring(0, end), layer.substring(end + 1));
    }

    @Override
    public AdapterShape.Footprint footprint() {
        return new VeraFootprint(settings.rank());
    }

    @Override
    public AdapterLayer init(InitContext context) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        trained().forEach((name, shape) -> {
            Tensor tensor = Tensors.zeros(context.device(), ScalarType.Float, shape);
            tensors.put(
                    name, name.endsWith(VeraLayer.LAMBDA_D) ? tensor.fill_(new Scalar(settings.dInitial())) : tensor);
        });
        return with(random(context.device()), tensors);
    }

    @Override
    public AdapterLayer of(Map<String, Tensor> tensors) {
        Tensor any = tensors.values().iterator().next();
        return with(settings.saveProjection() ? tensors : random(Tensors.deviceOf(any)), tensors);
    }

    private VeraLayer with(Map<String, Tensor> matrices, Map<String, Tensor> tensors) {
        Map<String, VeraLayer.Vectors> vectors = new LinkedHashMap<>();
        numbers.forEach((path, number) -> vectors.put(
                path,
                new VeraLayer.Vectors(
                        Objects.requireNonNull(tensors.get(path + "." + VeraLayer.LAMBDA_B)),
                        Objects.requireNonNull(tensors.get(path + "." + VeraLayer.LAMBDA_D)),
                        number)));
        return new VeraLayer(
                Objects.requireNonNull(matrices.get(VeraLayer.A)),
                Objects.requireNonNull(matrices.get(VeraLayer.B)),
                vectors,
                settings.dropout(),
                settings.saveProjection());
    }

    /** The matrices that PyTorch draws on the CPU for the key, A first: evenly from ±√(6 / columns). */
    private Map<String, Tensor> random(ComputeDevice device) {
        try (Generator generator = torch.make_generator_cpu(settings.projectionPrngKey());
                NoGradGuard off = new NoGradGuard()) {
            Map<String, Tensor> matrices = new LinkedHashMap<>();
            matrices.put(VeraLayer.A, random(device, generator, shapeOfA()));
            matrices.put(VeraLayer.B, random(device, generator, shapeOfB()));
            return matrices;
        }
    }

    private static Tensor random(ComputeDevice device, Generator generator, long... shape) {
        double bound = Math.sqrt(3) * (Math.sqrt(2) / Math.sqrt((double) shape[1]));
        Tensor drawn = Tensors.zeros(ComputeDevice.cpu(), ScalarType.Float, shape)
                .uniform_(-bound, bound, new GeneratorOptional(generator));
        return Tensors.convert(drawn, device, ScalarType.Float);
    }

    /**
     * Trained vectors behind two frozen matrices: each needs what its matrix put out, and nobody the input.
     *
     * @param rank r
     */
    private record VeraFootprint(int rank) implements AdapterShape.Footprint {
        @Override
        public boolean savesInput() {
            return false;
        }

        @Override
        public long savedBytes(long in, long out, int number) {
            return (rank + out) * number;
        }

        /** The scaled product, and its sum with what the base puts out. */
        @Override
        public long temporaryBytes(long in, long out, int number) {
            return 2 * out * number;
        }
    }
}
