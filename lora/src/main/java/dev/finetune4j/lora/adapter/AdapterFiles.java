package dev.finetune4j.lora.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.CheckpointException;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.ConfigTie;
import dev.finetune4j.core.io.FolderTransaction;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.io.WrongFolder;
import dev.finetune4j.core.json.JsonFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Reads and writes adapters in the folder format of <a href="https://github.com/huggingface/peft">PEFT</a>:
 * {@code adapter_config.json} and {@code adapter_model.safetensors}. Stateless.
 */
public final class AdapterFiles {
    static final String CONFIG = "adapter_config.json";
    static final String WEIGHTS = "adapter_model.safetensors";

    private static final String PICKLED = "adapter_model.bin";
    private static final String CARD = "README.md";
    private static final String PREFIX = "base_model.model.";
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Writes files that belong to an adapter without being part of it. */
    @FunctionalInterface
    public interface Companions {
        void write(FolderTransaction into) throws IOException;
    }

    private AdapterFiles() {}

    /** The name of a tensor in the file; {@code part} is such as {@code lora_A.weight}. */
    static String tensorName(String module, String part) {
        return PREFIX + module + "." + part;
    }

    /**
     * Writes an adapter, as a whole or not at all. A model card is written when there is no README.md yet.
     *
     * @param base the model that the adapter sits on
     * @param folder made if absent; an older adapter that is there is replaced
     * @param baseName what {@code base_model_name_or_path} shall say
     * @param record what {@code finetune4j.json} shall say
     * @param companions writes further files with it
     * @throws SettingsException when the folder holds the weights of a whole model
     * @throws FineTune4jException when the folder cannot be written
     */
    public static void save(
            PeftAdapter adapter, CausalLM base, Path folder, String baseName, JsonNode record, Companions companions) {
        requireNoModel(folder);
        try (TensorScope scope = new TensorScope();
                FolderTransaction transaction = FolderTransaction.begin(folder, FolderTransaction.Kind.ADAPTER)) {
            Map<String, Tensor> tensors = adapter.stored();
            JsonNode config = AdapterConfig.write(adapter.storedSettings(), base, adapted(tensors.keySet()), baseName);
            companions.write(transaction);
            transaction.write(CONFIG, pretty(config));
            if (!transaction.isForeign(CARD)) {
                transaction.write(CARD, ModelCard.of(config, values(tensors)).getBytes(StandardCharsets.UTF_8));
            }
            ObjectNode recorded = record.deepCopy();
            transaction.hashes().forEach(recorded.putObject("files")::put);
            transaction.write(FolderTransaction.RECORD, pretty(recorded));
            SafetensorsWriter.write(transaction, WEIGHTS, tensors, ConfigTie.ofAdapter(config));
            transaction.commit();
        } catch (IOException e) {
            throw new FineTune4jException(
                    folder + ": the adapter could not be written (" + e
                            + "); what was there before is unchanged. Please"
                            + " check space and rights, or choose another folder",
                    e);
        }
    }

    private static byte[] pretty(JsonNode node) throws IOException {
        return JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(node);
    }

    /** Loaders would apply the adapter to the model beside it, and its tokenizer would take the place of the model's. */
    private static void requireNoModel(Path folder) {
        for (String weights : List.of("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")) {
            if (Files.exists(folder.resolve(weights))) {
                throw new SettingsException(List.of(
                        folder + " holds a whole model (" + weights + "); choose another folder for the adapter"));
            }
        }
    }

    private static long values(Map<String, Tensor> tensors) {
        return tensors.values().stream().mapToLong(Tensor::numel).sum();
    }

    /** The modules that have factors, by the names of the file's tensors. */
    private static Set<String> adapted(Set<String> tensors) {
        Set<String> paths = new LinkedHashSet<>();
        for (String name : tensors) {
            int end = Math.max(name.indexOf(".lora_"), name.indexOf(".ia3_"));
            if (name.startsWith(PREFIX) && end > 0) {
                paths.add(name.substring(PREFIX.length(), end));
            }
        }
        return paths;
    }

    /**
     * Reads an adapter for a base.
     *
     * @throws CheckpointException when a file is missing or damaged, when the adapter is of a kind that is not supported, or
     *     when its tensors do not fit the base; all differences are named at once
     */
    public static PeftAdapter load(Path folder, CausalLM base) {
        WrongFolder.refuse(folder, CONFIG);
        Path configFile = folder.resolve(CONFIG);
        JsonNode config = readJson(configFile);
        AdapterSettings settings = AdapterConfig.read(configFile, config, base);
        Path file = folder.resolve(WEIGHTS);
        if (!Files.isRegularFile(file)) {
            String pickled = Files.isRegularFile(folder.resolve(PICKLED))
                    ? "; " + PICKLED
                            + " is there, but pickles can run code and are not read: load and save the adapter once"
                            + " in Python, which writes " + WEIGHTS
                    : "; an adapter folder needs " + CONFIG + " and " + WEIGHTS;
            throw new CheckpointException(file + " is missing" + pickled);
        }
        try (SafetensorsFile stored = SafetensorsFile.open(file);
                WeightSource weights = AdapterNames.of(file, stored)) {
            if (config.path(LoraConfig.TYING).asBoolean(false)) {
                requireOneTable(file, weights, base);
            }
            ConfigTie.check(folder, CONFIG, config, stored.metadata());
            return settings instanceof LoraSettings || settings instanceof Ia3Settings
                    ? readParts(configFile, file, weights, settings, base)
                    : readVirtualTokens(file, weights, settings, base);
        }
    }

    /** Embedding and head that PEFT tied are one weight, which the file holds twice. */
    private static void requireOneTable(Path file, WeightSource weights, CausalLM base) {
        String embedding = tensorName("model.embed_tokens", "weight");
        String head = tensorName("lm_head", "weight");
        if (base.config().parts().tiedHead()
                && weights.names().containsAll(List.of(embedding, head))
                && !weights.areEqual(embedding, head)) {
            throw new CheckpointException(file + ": " + embedding + " and " + head + " differ, but by \""
                    + LoraConfig.TYING + "\" they are one weight; set it to false in " + CONFIG
                    + " if each was trained on its own");
        }
    }

    private static PeftAdapter readParts(
            Path configFile, Path file, WeightSource weights, AdapterSettings settings, CausalLM base) {
        List<PartPlan> plans;
        BaseModules modules = BaseModules.of(base);
        try {
            plans = new ArrayList<>(WeightAdapter.plans(settings, modules));
        } catch (SettingsException | CheckpointException e) {
            throw new CheckpointException(configFile + ": " + e.getMessage(), e);
        }
        List<PartPlan> brought = broughtAlong(weights, plans, modules);
        brought.forEach(table ->
                plans.replaceAll(plan -> plan.onResidual(table.modules().get(0))));
        plans.addAll(0, brought);
        check(file, weights, plans);
        ComputeDevice device = base.placement().device();
        try {
            return WeightAdapter.of(settings, plans, plan -> {
                Map<String, Tensor> tensors = new LinkedHashMap<>();
                plan.shapes().keySet().forEach(part -> tensors.put(part, read(weights, name(plan, part), device)));
                return plan.of(tensors);
            });
        } catch (SettingsException e) {
            throw new CheckpointException(configFile + ": " + e.getMessage(), e);
        }
    }

    /**
     * Tables of token vectors that PEFT adds to the file of an adapter that touches them or that was made after the
     * vocabulary had been changed. They take the place of the base's.
     */
    private static List<PartPlan> broughtAlong(WeightSource weights, List<PartPlan> plans, BaseModules base) {
        Set<String> planned = new LinkedHashSet<>();
        plans.forEach(plan -> plan.shapes().keySet().forEach(part -> planned.add(name(plan, part))));
        List<String> tables = new ArrayList<>(base.names().embeddings());
        base.names().linears().stream().filter(CausalLM::isOutputHead).forEach(tables::add);
        List<PartPlan> found = new ArrayList<>();
        for (String table : tables) {
            for (String part : List.of("weight", "base_layer.weight")) {
                String name = tensorName(table, part);
                if (weights.names().contains(name) && !planned.contains(name)) {
                    found.add(TrainedModules.plan(base, table, part));
                }
            }
        }
        return found;
    }

    private static PeftAdapter readVirtualTokens(
            Path file, WeightSource weights, AdapterSettings settings, CausalLM base) {
        AdapterCheck check = new AdapterCheck(file, weights);
        check.tensor(VirtualTokenAdapter.STORED, VirtualTokenAdapter.storedShape(settings, base.config()));
        check.finish();
        try (TensorScope scope = new TensorScope()) {
            Tensor table =
                    read(weights, VirtualTokenAdapter.STORED, base.placement().device());
            return VirtualTokenAdapter.of(settings, scope.release(table));
        }
    }

    private static Tensor read(WeightSource weights, String name, ComputeDevice device) {
        return Tensors.convert(weights.read(name), device, ScalarType.Float);
    }

    private static String name(PartPlan plan, String part) {
        return tensorName(plan.modules().get(0), part);
    }

    private static void check(Path file, WeightSource weights, List<PartPlan> plans) {
        AdapterCheck check = new AdapterCheck(file, weights);
        plans.forEach(plan -> plan.shapes().forEach((part, shape) -> check.tensor(name(plan, part), shape)));
        check.finish();
    }

    private static JsonNode readJson(Path file) {
        JsonNode json = JsonFile.object(file);
        if (!json.path("peft_type").isTextual()) {
            throw new CheckpointException(
                    file + " is not the configuration of an adapter: it must be a JSON object that"
                            + " names a \"peft_type\"");
        }
        return json;
    }
}
