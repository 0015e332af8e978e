package dev.finetune4j.lora.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** LoRA with all that goes with it. */
final class LoraKind extends LayerAdapterKind<LoraSettings> {
    LoraKind() {
        super(LoraSettings.class, "LORA", 2e-4);
    }

    @Override
    List<String> problems(LoraSettings chosen, ModuleNames modules) {
        List<String> problems = new ArrayList<>();
        collect(
                problems,
                () -> chosen.modules().resolve("linear", LoraSpecs.candidates(modules), chosen.modulesToSave()));
        collect(problems, () -> ModulesToSave.resolve(modules, chosen.modulesToSave()));
        collect(
                problems,
                () -> TrainableTokens.resolve(
                        modules, chosen.trainableTokenIndices().keySet()));
        return problems.isEmpty() ? chosen.conflicts(modules) : problems;
    }

    @Override
    List<AdapterLayerSpec> specs(LoraSettings chosen, BaseModules base) {
        return LoraSpecs.of(chosen, base);
    }

    @Override
    LoraSettings read(ConfigFields fields, CausalLM base) {
        return LoraConfig.read(fields, base);
    }

    /** An adapter on a residual base is written as an ordinary one of twice the rank. */
    @Override
    void write(LoraSettings chosen, ObjectNode config, CausalLM base) {
        LoraConfig.write(
                chosen.initWeights().usesResidualBase() ? chosen.withDoubleRank() : chosen,
                config,
                chosen.modules().matching(LoraSpecs.candidates(base.moduleNames()), chosen.modulesToSave()));
    }

    @Override
    Set<String> namedByAdapter() {
        return Set.of("lora_A", "lora_B", LoraEmbeddingLayer.A, LoraEmbeddingLayer.B, LoraLayer.MAGNITUDE);
    }

    @Override
    Set<String> alsoCalledWeight() {
        return Set.of(LoraLayer.MAGNITUDE);
    }

    @Override
    PeftAdapter load(LoraSettings chosen, StoredAdapter file, CausalLM base) {
        if (file.config().path(LoraConfig.TYING).asBoolean(false)) {
            requireOneTable(file.file(), file.weights(), base);
        }
        return super.load(chosen, file, base);
    }

    /** Embedding and head that PEFT tied are one weight, which the file holds twice. */
    private static void requireOneTable(Path file, WeightSource weights, CausalLM base) {
        String embedding = AdapterFiles.tensorName("model.embed_tokens", "weight");
        String head = AdapterFiles.tensorName("lm_head", "weight");
        if (base.config().projections().tiedHead()
                && weights.names().containsAll(List.of(embedding, head))
                && !weights.areEqual(embedding, head)) {
            throw new ModelFileException(file + ": " + embedding + " and " + head + " differ, but by \""
                    + LoraConfig.TYING + "\" they are one weight; set it to false in " + AdapterFiles.CONFIG
                    + " if each was trained on its own");
        }
    }
}
