package dev.finetune4j.lora.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.CheckpointException;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.Dtype;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.io.TensorInfo;
import dev.finetune4j.core.io.WrongFolder;
import dev.finetune4j.core.json.JsonFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Reads and writes adapters in the folder format of <a href="https://github.com/huggingface/peft">PEFT</a>:
 * {@code adapter_config.json} and {@code adapter_model.safetensors}. Stateless; do not write one folder from two threads.
 */
public final class AdapterFiles {
    static final String CONFIG = "adapter_config.json";
    static final String WEIGHTS = "adapter_model.safetensors";

    private static final String PICKLED = "adapter_model.bin";
    private static final String CARD = "README.md";
    private static final String PREFIX = "base_model.model.";
    private static final Set<Dtype> NUMBERS = EnumSet.of(Dtype.F64, Dtype.F32, Dtype.F16, Dtype.BF16);
    private static final ObjectMapper JSON = new ObjectMapper();

    private AdapterFiles() {}

    /** The name of a tensor in the file; {@code part} is such as {@code lora_A.weight}. */
    static String tensorName(String module, String part) {
        return PREFIX + module + "." + part;
    }

    /**
     * Writes an adapter. The folder is made if it is absent; files of an older adapter in it are replaced once everything
     * new is complete, so that a failure leaves the older adapter as it was. A model card is written when there is no
     * README.md yet.
     *
     * @param base the model that the adapter sits on
     * @param baseName what {@code base_model_name_or_path} shall say
     * @param companions further JSON files to write with it, by file name
     * @throws FineTune4jException when the folder cannot be written
     */
    public static void save(
            PeftAdapter adapter, CausalLM base, Path folder, String baseName, Map<String, JsonNode> companions) {
        try (TensorScope scope = new TensorScope()) {
            Map<String, Tensor> tensors = adapter.stored();
            JsonNode config = AdapterConfig.write(adapter.storedSettings(), base, adapted(tensors.keySet()), baseName);
            Map<String, JsonNode> texts = new LinkedHashMap<>(companions);
            texts.put(CONFIG, config);
            Files.createDirectories(folder);
            try {
                SafetensorsWriter.write(unfinished(folder, WEIGHTS), tensors, Map.of("format", "pt"));
                for (Map.Entry<String, JsonNode> text : texts.entrySet()) {
                    JSON.writerWithDefaultPrettyPrinter()
                            .writeValue(unfinished(folder, text.getKey()).toFile(), text.getValue());
                }
                finish(folder, WEIGHTS);
                for (String name : texts.keySet()) {
                    finish(folder, name);
                }
                if (!Files.exists(folder.resolve(CARD))) {
                    Files.writeString(folder.resolve(CARD), ModelCard.of(config, values(tensors)));
                }
            } finally {
                Files.deleteIfExists(unfinished(folder, WEIGHTS));
                for (String name : texts.keySet()) {
                    Files.deleteIfExists(unfinished(folder, name));
                }
            }
        } catch (IOException e) {
            throw new FineTune4jException(
                    folder + ": the adapter could not be written (" + e
                            + "); check space and rights, or choose another folder",
                    e);
        }
    }

    private static long values(Map<String, Tensor> tensors) {
        return tensors.values().stream().mapToLong(Tensor::numel).sum();
    }

    private static Path unfinished(Path folder, String name) {
        return folder.resolve(name + ".new");
    }

    private static void finish(Path folder, String name) throws IOException {
        Files.move(unfinished(folder, name), folder.resolve(name), StandardCopyOption.REPLACE_EXISTING);
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
        AdapterSettings settings = AdapterConfig.read(configFile, readJson(configFile));
        Path file = folder.resolve(WEIGHTS);
        if (!Files.isRegularFile(file)) {
            String pickled = Files.isRegularFile(folder.resolve(PICKLED))
                    ? "; " + PICKLED
                            + " is there, but pickles can run code and are not read: load and save the adapter once"
                            + " in Python, which writes " + WEIGHTS
                    : "; an adapter folder needs " + CONFIG + " and " + WEIGHTS;
            throw new CheckpointException(file + " is missing" + pickled);
        }
        try (SafetensorsFile weights = SafetensorsFile.open(file)) {
            return settings instanceof LoraSettings || settings instanceof Ia3Settings
                    ? readParts(configFile, file, weights, settings, base)
                    : readVirtualTokens(file, weights, settings, base);
        }
    }

    private static PeftAdapter readParts(
            Path configFile, Path file, SafetensorsFile weights, AdapterSettings settings, CausalLM base) {
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
    private static List<PartPlan> broughtAlong(SafetensorsFile weights, List<PartPlan> plans, BaseModules base) {
        Set<String> planned = new LinkedHashSet<>();
        plans.forEach(plan -> plan.shapes().keySet().forEach(part -> planned.add(name(plan, part))));
        List<String> tables = new ArrayList<>(base.names().embeddings());
        base.names().linears().stream().filter(CausalLM::isOutputHead).forEach(tables::add);
        List<PartPlan> found = new ArrayList<>();
        for (String table : tables) {
            for (String part : List.of("weight", "base_layer.weight")) {
                String name = tensorName(table, part);
                if (weights.tensors().containsKey(name) && !planned.contains(name)) {
                    found.add(TrainedModules.plan(base, table, part));
                }
            }
        }
        return found;
    }

    private static PeftAdapter readVirtualTokens(
            Path file, SafetensorsFile weights, AdapterSettings settings, CausalLM base) {
        Set<String> unread = new LinkedHashSet<>(weights.tensors().keySet());
        List<String> problems = new ArrayList<>();
        long[] expected = VirtualTokenAdapter.storedShape(settings, base.config());
        checkTensor(weights, unread, problems, VirtualTokenAdapter.STORED, expected);
        report(file, unread, problems);
        try (TensorScope scope = new TensorScope()) {
            Tensor table =
                    read(weights, VirtualTokenAdapter.STORED, base.placement().device());
            return VirtualTokenAdapter.of(settings, scope.release(table));
        }
    }

    private static Tensor read(SafetensorsFile weights, String name, ComputeDevice device) {
        return Tensors.convert(weights.read(name), device, ScalarType.Float);
    }

    private static String name(PartPlan plan, String part) {
        return tensorName(plan.modules().get(0), part);
    }

    private static void check(Path file, SafetensorsFile weights, List<PartPlan> plans) {
        Set<String> unread = new LinkedHashSet<>(weights.tensors().keySet());
        List<String> problems = new ArrayList<>();
        plans.forEach(plan -> plan.shapes()
                .forEach((part, shape) -> checkTensor(weights, unread, problems, name(plan, part), shape)));
        report(file, unread, problems);
    }

    private static void report(Path file, Set<String> unread, List<String> problems) {
        unread.forEach(name -> problems.add("tensor " + name + " belongs to no module that " + CONFIG + " names"));
        if (!problems.isEmpty()) {
            throw new CheckpointException(file + " does not fit this base model:\n  - "
                    + String.join("\n  - ", problems)
                    + "\nLoad the adapter on the model that it was trained on.");
        }
    }

    private static void checkTensor(
            SafetensorsFile weights, Set<String> unread, List<String> problems, String name, long... expected) {
        if (!unread.remove(name)) {
            problems.add("tensor " + name + " " + Arrays.toString(expected) + " is missing");
            return;
        }
        TensorInfo info = weights.tensors().get(name);
        if (info != null && !Arrays.equals(info.shape(), expected)) {
            problems.add("tensor " + name + " has the shape " + Arrays.toString(info.shape()) + ", this base needs "
                    + Arrays.toString(expected));
        }
        if (info != null && !NUMBERS.contains(info.dtype())) {
            problems.add("tensor " + name + " is of the type " + info.dtype() + "; an adapter's are one of " + NUMBERS);
        }
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
