package dev.finetune4j.lora.adapter.lora;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.kind.ConfigFields;
import dev.finetune4j.lora.adapter.kind.LayerAdapterKind;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.kind.StoredAdapter;
import dev.finetune4j.lora.adapter.layer.AdapterLayerSpec;
import dev.finetune4j.lora.adapter.layer.BaseModules;
import dev.finetune4j.lora.adapter.layer.PeftNames;
import dev.finetune4j.lora.adapter.modules.ModulesToSave;
import dev.finetune4j.lora.adapter.modules.TrainableTokens;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** LoRA with all that goes with it. */
public final class LoraKind extends LayerAdapterKind<LoraSettings> {
    public LoraKind() {
        super(LoraSettings.class, "LORA", 2e-4);
    }

    @Override
    public boolean rateDependsOnWidth() {
        return true;
    }

    @Override
    public boolean supportsLoraPlus() {
        return true;
    }

    @Override
    public List<String> trainingProblems(LoraSettings chosen, boolean quantized) {
        List<String> problems = new ArrayList<>();
        if (chosen.alpha() <= 0 || chosen.alphaPattern().values().stream().anyMatch(alpha -> alpha <= 0)) {
            problems.add("the LoRA alpha must be above 0 for training, but is " + chosen.alpha()
                    + (chosen.alphaPattern().isEmpty() ? "" : " and " + chosen.alphaPattern())
                    + "; once or twice the rank is usual");
        }
        if (chosen.initWeights().requiresQuantizedBase() && !quantized) {
            problems.add("LoftQ starts from what quantizing the base loses; use qlora(…) or quantize(…) with it");
        }
        return problems;
    }

    @Override
    public void prepare(LoraSettings chosen, ComputeDevice device) {
        DeviceKernels.of(device).lowRank().prepare(chosen.rank(), chosen.dropout() > 0);
    }

    @Override
    public List<String> problems(LoraSettings chosen, ModuleNames modules) {
        List<String> problems = new ArrayList<>();
        if (!(chosen.modules().targets() instanceof TargetModules.None)) {
            collect(
                    problems,
                    () -> chosen.modules()
                            .resolve("linear", LoraSpecs.candidates(chosen, modules), chosen.modulesToSave()));
        }
        collect(problems, () -> LoraSpecs.stacks(chosen, modules));
        collect(problems, () -> ModulesToSave.resolve(modules, chosen.modulesToSave()));
        collect(
                problems,
                () -> TrainableTokens.resolve(
                        modules, chosen.trainableTokenIndices().keySet()));
        return problems.isEmpty() ? conflicts(chosen, modules) : problems;
    }

    /** Modules of a model that these settings would change in two ways, which PEFT cannot load either. */
    private static List<String> conflicts(LoraSettings chosen, ModuleNames names) {
        Set<String> targets =
                new HashSet<>(chosen.modules().matching(LoraSpecs.candidates(chosen, names), chosen.modulesToSave()));
        List<String> whole = ModulesToSave.matching(names, chosen.modulesToSave());
        List<String> tables =
                TrainableTokens.resolve(names, chosen.trainableTokenIndices().keySet());
        List<String> conflicts = new ArrayList<>();
        for (String path : names.all()) {
            int ways =
                    (targets.contains(path) ? 1 : 0) + (whole.contains(path) ? 1 : 0) + (tables.contains(path) ? 1 : 0);
            if (ways > 1) {
                conflicts.add(
                        "the module " + path + " is in more than one of targets, modules trained whole and trained"
                                + " tokens; leave it in one");
            }
        }
        return conflicts;
    }

    @Override
    protected List<AdapterLayerSpec> specs(LoraSettings chosen, BaseModules base) {
        return LoraSpecs.of(chosen, base);
    }

    @Override
    public LoraSettings read(ConfigFields fields, CausalLM base) {
        return LoraConfig.read(fields, base);
    }

    @Override
    public void write(LoraSettings chosen, ObjectNode config, CausalLM base) {
        LoraConfig.write(
                chosen,
                config,
                chosen.modules().matching(LoraSpecs.candidates(chosen, base.moduleNames()), chosen.modulesToSave()));
    }

    /**
     * Transformers 4 has the experts' linears as modules, which names such as {@code down_proj} reach, and transformers 5 as
     * parameters, which they do not. Which of them made the file shows in what it holds.
     */
    @Override
    public LoraSettings asStored(LoraSettings chosen, Set<String> stored, ModuleNames modules) {
        if (stored.stream().anyMatch(ModuleNames::isOfExpert)
                || chosen.modules().targets() instanceof TargetModules.None) {
            return chosen;
        }
        Set<String> reached = chosen.modules().matching(LoraSpecs.candidates(chosen, modules), chosen.modulesToSave());
        boolean someOfExperts = reached.stream().anyMatch(ModuleNames::isOfExpert);
        boolean others = !reached.stream().allMatch(ModuleNames::isOfExpert);
        return someOfExperts && others ? chosen.withoutExperts() : chosen;
    }

    @Override
    public Set<String> namedByAdapter() {
        return Set.of("lora_A", "lora_B", LoraEmbeddingLayer.A, LoraEmbeddingLayer.B, LoraLayer.MAGNITUDE);
    }

    @Override
    public Set<String> alsoCalledWeight() {
        return Set.of(LoraLayer.MAGNITUDE);
    }

    @Override
    public PeftAdapter load(LoraSettings chosen, StoredAdapter file, CausalLM base) {
        if (file.config().path(LoraConfig.TYING).asBoolean(false)) {
            requireOneTable(file.file(), file.weights(), base);
        }
        return super.load(chosen, file, base);
    }

    /** Embedding and head that PEFT tied are one weight, which the file holds twice. */
    private static void requireOneTable(Path file, WeightSource weights, CausalLM base) {
        String embedding = PeftNames.tensorName("model.embed_tokens", "weight");
        String head = PeftNames.tensorName("lm_head", "weight");
        if (base.config().projections().tiedHead()
                && weights.names().containsAll(List.of(embedding, head))
                && !weights.areEqual(embedding, head)) {
            throw new ModelFileException(file + ": " + embedding + " and " + head + " differ, but by \""
                    + LoraConfig.TYING + "\" they are one weight; set it to false in " + StoredAdapter.CONFIG
                    + " if each was trained on its own");
        }
    }
}
