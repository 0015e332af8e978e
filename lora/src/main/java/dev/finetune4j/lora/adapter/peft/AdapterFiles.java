package dev.finetune4j.lora.adapter.peft;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.ConfigTie;
import dev.finetune4j.core.io.FolderTransaction;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.io.WrongFolder;
import dev.finetune4j.core.json.JsonFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.kind.AdapterKind;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.kind.StoredAdapter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * Reads and writes adapters in the folder format of <a href="https://github.com/huggingface/peft">PEFT</a>:
 * {@code adapter_config.json} and {@code adapter_model.safetensors}. Stateless.
 */
public final class AdapterFiles {
    private static final String PICKLED = "adapter_model.bin";
    private static final String CARD = "README.md";
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Writes files that belong to an adapter without being part of it. */
    @FunctionalInterface
    public interface Companions {
        void write(FolderTransaction into) throws IOException;
    }

    private AdapterFiles() {}

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
        try (TensorScope scope = new TensorScope()) {
            save(adapter.settings(), adapter.stored(), base, folder, baseName, record, companions);
        }
    }

    /** Writes an adapter as it was when it was copied; else as the other method. */
    public static void save(
            AdapterCopy copy, CausalLM base, Path folder, String baseName, JsonNode record, Companions companions) {
        save(copy.settings(), copy.stored(), base, folder, baseName, record, companions);
    }

    private static void save(
            AdapterSettings settings,
            Map<String, Tensor> tensors,
            CausalLM base,
            Path folder,
            String baseName,
            JsonNode record,
            Companions companions) {
        requireNoModel(folder);
        try (FolderTransaction transaction = FolderTransaction.begin(folder, FolderTransaction.Kind.ADAPTER)) {
            JsonNode config = AdapterConfig.write(settings, base, baseName);
            companions.write(transaction);
            transaction.write(StoredAdapter.CONFIG, pretty(config));
            if (!transaction.isForeign(CARD)) {
                transaction.write(CARD, ModelCard.of(config, values(tensors)).getBytes(StandardCharsets.UTF_8));
            }
            ObjectNode recorded = record.deepCopy();
            transaction.hashes().forEach(recorded.putObject("files")::put);
            transaction.write(FolderTransaction.RECORD, pretty(recorded));
            SafetensorsWriter.write(transaction, StoredAdapter.WEIGHTS, tensors, ConfigTie.ofAdapter(config));
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
        for (String weights : List.of(
                "model.safetensors",
                "model.safetensors.index.json",
                "pytorch_model.bin",
                "pytorch_model.bin.index.json")) {
            if (Files.exists(folder.resolve(weights))) {
                throw new SettingsException(List.of(
                        folder + " holds a whole model (" + weights + "); choose another folder for the adapter"));
            }
        }
    }

    private static long values(Map<String, Tensor> tensors) {
        return tensors.values().stream().mapToLong(Tensor::numel).sum();
    }

    /**
     * Reads the settings of an adapter, to train it further.
     *
     * @param base the model that it sits on, or one of its shapes without weights
     * @throws ModelFileException when the folder holds none, or one of a kind that is not supported
     * @throws SettingsException when the file does not hold all that was trained, or names what the base does not have
     */
    public static AdapterSettings trainableSettings(Path folder, CausalLM base) {
        WrongFolder.refuse(folder, StoredAdapter.CONFIG);
        Path configFile = folder.resolve(StoredAdapter.CONFIG);
        AdapterSettings settings = AdapterConfig.read(configFile, readJson(configFile), base);
        AdapterKind<AdapterSettings> kind = AdapterKinds.of(settings);
        if (!kind.isStoredWhole(settings)) {
            throw new SettingsException(
                    List.of(folder + " holds the virtual tokens of an adapter that were trained by way of a"
                            + " network, but not the network, so its training cannot go on; train a new adapter"));
        }
        Path file = folder.resolve(StoredAdapter.WEIGHTS);
        if (Files.isRegularFile(file)) {
            try (SafetensorsFile stored = SafetensorsFile.open(file);
                    WeightSource weights = AdapterNames.of(file, stored, kind)) {
                settings = kind.asStored(settings, weights.names(), base.moduleNames());
            }
        }
        AdapterKinds.check(settings, base.moduleNames());
        return settings;
    }

    /**
     * Reads an adapter for a base.
     *
     * @throws ModelFileException when a file is missing or damaged, when the adapter is of a kind that is not supported, or
     *     when its tensors do not fit the base; all differences are named at once
     */
    public static PeftAdapter load(Path folder, CausalLM base) {
        WrongFolder.refuse(folder, StoredAdapter.CONFIG);
        Path configFile = folder.resolve(StoredAdapter.CONFIG);
        JsonNode config = readJson(configFile);
        AdapterSettings settings = AdapterConfig.read(configFile, config, base);
        Path file = folder.resolve(StoredAdapter.WEIGHTS);
        if (!Files.isRegularFile(file)) {
            String pickled = Files.isRegularFile(folder.resolve(PICKLED))
                    ? "; " + PICKLED
                            + " is there, but pickles can run code and are not read: load and save the adapter once"
                            + " in Python, which writes " + StoredAdapter.WEIGHTS
                    : "; an adapter folder needs " + StoredAdapter.CONFIG + " and " + StoredAdapter.WEIGHTS;
            throw new ModelFileException(file + " is missing" + pickled);
        }
        AdapterKind<AdapterSettings> kind = AdapterKinds.of(settings);
        try (SafetensorsFile stored = SafetensorsFile.open(file);
                WeightSource weights = AdapterNames.of(file, stored, kind)) {
            ConfigTie.check(folder, StoredAdapter.CONFIG, config, stored.metadata());
            AdapterSettings meant = kind.asStored(settings, weights.names(), base.moduleNames());
            return kind.load(meant, new StoredAdapter(configFile, config, file, weights), base);
        }
    }

    private static JsonNode readJson(Path file) {
        JsonNode json = JsonFile.object(file);
        if (!json.path("peft_type").isTextual()) {
            throw new ModelFileException(file + " is not the configuration of an adapter: it must be a JSON object that"
                    + " names a \"peft_type\"");
        }
        return json;
    }
}
