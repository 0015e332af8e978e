package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.examples.server.http.HttpCall;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** {@code POST /v1/load_lora_adapter} and {@code /v1/unload_lora_adapter} as vLLM has them, for folders in one folder. Thread-safe. */
final class AdapterEndpoint {
    private static final Pattern NAME = Pattern.compile("[\\p{L}\\p{N}][\\p{L}\\p{N}._:@/-]{0,99}");

    private final String modelName;
    private final @Nullable Path folder;

    AdapterEndpoint(ServerSettings settings) {
        this.modelName = settings.modelName();
        this.folder = settings.adapters();
    }

    synchronized void load(HttpCall http, ServedModel model) throws IOException {
        Path root = root();
        Fields fields = new Fields(JsonBody.read(http), "");
        String name = name(fields);
        String path = fields.requiredText("lora_path");
        boolean inPlace = fields.flag("load_inplace").orElse(false);
        fields.refuseUnless("is_3d_lora_weight", "false", "such weights are not read here");
        fields.text("base_model_name");
        fields.end();
        if (model.adapters().contains(name) && !inPlace) {
            throw ApiException.invalid(
                    "lora_name",
                    "the adapter \"" + name + "\" is loaded already; unload it first, or send load_inplace: true");
        }
        try {
            model.loadAdapter(name, resolve(root, path));
        } catch (FineTune4jException | IllegalArgumentException e) {
            throw ApiException.invalid("lora_path", String.valueOf(e.getMessage()));
        }
        succeed(http, "Success: LoRA adapter '" + name + "' added successfully.");
    }

    synchronized void unload(HttpCall http, ServedModel model) throws IOException {
        root();
        Fields fields = new Fields(JsonBody.read(http), "");
        String name = name(fields);
        fields.integer("lora_int_id", Integer.MIN_VALUE, Integer.MAX_VALUE);
        fields.end();
        if (!model.unloadAdapter(name)) {
            throw ApiException.noModel(name);
        }
        succeed(http, "Success: LoRA adapter '" + name + "' removed successfully.");
    }

    private Path root() throws IOException {
        if (folder == null) {
            throw ApiException.invalid(
                    404, "not_found", "adapters are loaded at the start alone; name a folder for them in the settings");
        }
        return folder.toRealPath();
    }

    private String name(Fields fields) {
        String name = fields.requiredText("lora_name");
        if (!NAME.matcher(name).matches() || name.equals(modelName)) {
            throw ApiException.invalid(
                    "lora_name",
                    "an adapter's name has up to 100 letters, digits and . _ : @ / -, begins with a letter or digit, and is"
                            + " not the model's");
        }
        return name;
    }

    private static Path resolve(Path root, String path) {
        return new ConfinedFolder(root)
                .find(path)
                .filter(Files::isDirectory)
                .orElseThrow(() -> ApiException.invalid(
                        "lora_path",
                        "there is no folder " + Texts.shortened(path) + " in the one from which adapters are loaded"));
    }

    private static void succeed(HttpCall http, String message) throws IOException {
        http.respond(200, "text/plain; charset=utf-8", message.getBytes(StandardCharsets.UTF_8));
    }

    /** The folders that hold adapters. */
    ObjectNode list() throws IOException {
        ObjectNode list = JsonBody.MAPPER.createObjectNode().put("object", "list");
        list.putArray("data");
        if (folder == null) {
            return list;
        }
        Path root = root();
        try (var folders = Files.find(root, 3, (file, attributes) -> file.endsWith("adapter_config.json"))) {
            folders.map(file -> String.valueOf(root.relativize(file).getParent()))
                    .sorted()
                    .limit(500)
                    .forEach(path -> list.withArray("data").addObject().put("lora_path", path));
        }
        return list;
    }
}
