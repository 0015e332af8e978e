package dev.finetune4j.lora.adapter.ia3;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.Ia3Settings;
import dev.finetune4j.lora.adapter.ModuleSelection;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.kind.ConfigFields;
import dev.finetune4j.lora.adapter.kind.ConfigKeys;
import dev.finetune4j.lora.adapter.kind.LayerAdapterKind;
import dev.finetune4j.lora.adapter.layer.AdapterLayer;
import dev.finetune4j.lora.adapter.layer.AdapterLayerSpec;
import dev.finetune4j.lora.adapter.layer.AdapterShape;
import dev.finetune4j.lora.adapter.layer.BaseModules;
import dev.finetune4j.lora.adapter.layer.InitContext;
import dev.finetune4j.lora.adapter.modules.ModulesToSave;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** (IA)³. */
public final class Ia3Kind extends LayerAdapterKind<Ia3Settings> {
    private static final TargetModules VALUES_AND_KEYS = TargetModules.named("k_proj", "v_proj", "down_proj");
    private static final TargetModules VALUES_AND_QUERIES = TargetModules.named("q_proj", "v_proj", "down_proj");

    /** What PEFT takes for a model type when the file names no modules. */
    private static final Map<String, TargetModules> USUAL_TARGETS = Map.of(
            "llama", VALUES_AND_KEYS,
            "mistral", VALUES_AND_KEYS,
            "qwen2", VALUES_AND_QUERIES,
            "qwen3", VALUES_AND_QUERIES,
            "gemma", VALUES_AND_QUERIES,
            "gemma2", VALUES_AND_QUERIES,
            "gemma3_text", VALUES_AND_QUERIES);

    public Ia3Kind() {
        super(Ia3Settings.class, "IA3", 3e-3);
    }

    @Override
    public List<String> problems(Ia3Settings chosen, ModuleNames modules) {
        List<String> problems = new ArrayList<>();
        collect(problems, () -> chosen.modules().resolve("linear", modules.linears(), chosen.modulesToSave()));
        collect(problems, () -> ModulesToSave.resolve(modules, chosen.modulesToSave()));
        return problems;
    }

    @Override
    protected List<AdapterLayerSpec> specs(Ia3Settings chosen, BaseModules base) {
        Set<String> targets =
                chosen.modules().matchingSome("linear", base.names().linears(), chosen.modulesToSave());
        List<AdapterLayerSpec> specs = new ArrayList<>(ModulesToSave.specs(base, chosen.modulesToSave()));
        for (String path : targets) {
            Linear linear = Objects.requireNonNull(base.linears().get(path));
            specs.add(new OnLinear(path, linear, rescalesInput(chosen.feedForward(), path)));
        }
        return specs;
    }

    /** Whether the input of the linear with this path is rescaled; PEFT compares the ends of paths as plain text. */
    private static boolean rescalesInput(TargetModules feedForward, String path) {
        if (feedForward instanceof TargetModules.Named named) {
            return named.names().stream().anyMatch(path::endsWith);
        }
        return feedForward instanceof TargetModules.Matching matching && matching.matches(path);
    }

    @Override
    public Ia3Settings read(ConfigFields fields, CausalLM base) {
        boolean unnamed = fields.isAbsent("target_modules");
        TargetModules targets =
                ConfigKeys.targets(fields, USUAL_TARGETS.get(base.config().modelType()));
        TargetModules exclude = fields.modules("exclude_modules");
        TargetModules feedForward = unnamed && fields.isAbsent("feedforward_modules")
                ? TargetModules.named("down_proj")
                : fields.modules("feedforward_modules");
        List<String> whole = fields.texts("modules_to_save");
        fields.harmless("init_ia3_weights");
        return fields.build(() -> new Ia3Settings(
                new ModuleSelection(targets, exclude, List.of(), List.of()),
                feedForward == null ? TargetModules.matching("(?!)") : feedForward,
                whole));
    }

    @Override
    public void write(Ia3Settings chosen, ObjectNode config, CausalLM base) {
        Set<String> adapted = chosen.modules().matching(base.moduleNames().linears(), chosen.modulesToSave());
        ConfigKeys.putModules(config, "target_modules", chosen.modules().targets(), adapted);
        ConfigKeys.putModules(config, "exclude_modules", chosen.modules().exclude(), adapted);
        ConfigKeys.putModules(config, "feedforward_modules", chosen.feedForward(), adapted);
        config.put("fan_in_fan_out", false);
        config.put("init_ia3_weights", true);
        ConfigKeys.putNames(config, "modules_to_save", chosen.modulesToSave());
    }

    @Override
    public Set<String> namedByAdapter() {
        return Set.of(Ia3Layer.FACTORS);
    }

    private record OnLinear(String path, Linear linear, boolean ofInput) implements AdapterLayerSpec {
        @Override
        public List<String> modules() {
            return List.of(path);
        }

        private long[] shape() {
            return ofInput ? new long[] {1, linear.inFeatures()} : new long[] {linear.outFeatures(), 1};
        }

        @Override
        public Map<String, long[]> shapes() {
            return Map.of(Ia3Layer.FACTORS, shape());
        }

        @Override
        public AdapterShape.Footprint footprint() {
            return new Ia3Footprint(ofInput);
        }

        @Override
        public AdapterLayer init(InitContext context) {
            return new Ia3Layer(Tensors.ones(context.device(), ScalarType.Float, shape()), ofInput);
        }

        @Override
        public AdapterLayer of(Map<String, Tensor> tensors) {
            return new Ia3Layer(Objects.requireNonNull(tensors.get(Ia3Layer.FACTORS)), ofInput);
        }
    }

    /**
     * Factors on what goes in or comes out.
     *
     * @param savesInput which of the two; what is rescaled is kept
     */
    private record Ia3Footprint(boolean savesInput) implements AdapterShape.Footprint {
        @Override
        public long savedBytes(long in, long out, int number) {
            return savesInput ? 0 : out * number;
        }

        /** The product in float32, and rounded. */
        @Override
        public long temporaryBytes(long in, long out, int number) {
            return (savesInput ? in : out) * (number + Float.BYTES);
        }
    }
}
