package dev.finetune4j.core.io;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.ModelFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * The check of {@code quantization_config} in a config.json, by which a model says that its weights are packed.
 *
 * <p>The two 4-bit codes of bitsandbytes can be read. Any other form is refused here, by its name: its weights would
 * look like a long list of missing and unknown tensors.
 */
final class QuantizationConfig {
    private static final String KEY = "quantization_config";
    private static final String COMPRESSED = "compression_config";
    private static final Set<String> CODES = Set.of("nf4", "fp4");
    private static final Set<String> STORAGES = Set.of("uint8", "int8", "float16", "bfloat16", "float32", "float64");

    private final Path file;
    private final JsonNode root;
    private final List<String> problems = new ArrayList<>();

    private QuantizationConfig(Path file, JsonNode root) {
        this.file = file;
        this.root = root;
    }

    /**
     * Whether the weights are said to be 4-bit codes of bitsandbytes; false for dense weights.
     *
     * @param file for messages
     * @param config of that file
     * @throws ModelFileException when they are in another packed form, or the settings cannot be understood
     */
    static boolean saysFourBit(Path file, JsonNode config) {
        if (!absent(config.path(COMPRESSED)) && absent(config.path(KEY))) {
            throw unsupported(file, "compressed-tensors");
        }
        JsonNode root = config.path(KEY);
        return !absent(root) && new QuantizationConfig(file, root).fourBit();
    }

    private boolean fourBit() {
        if (!root.isObject()) {
            throw new ModelFileException(
                    file + ": \"" + KEY + "\" is " + root + ", expected an object; correct the file");
        }
        boolean four = flag("load_in_4bit");
        boolean eight = flag("load_in_8bit");
        flag("bnb_4bit_use_double_quant");
        JsonNode method = root.path("quant_method");
        if (absent(method) ? !four && !eight : !method.isTextual()) {
            problem("quant_method", method, "the name of a method");
        }
        if (method.isTextual() && !method.textValue().equals("bitsandbytes")) {
            throw unsupported(file, method.textValue());
        }
        if (eight) {
            throw four
                    ? new ModelFileException(file + ": \"" + KEY + "\" says load_in_4bit and load_in_8bit, but a"
                            + " weight has one form; correct the file")
                    : unsupported(file, "bitsandbytes in 8 bit (load_in_8bit)");
        }
        choice("bnb_4bit_quant_type", CODES);
        choice("bnb_4bit_quant_storage", STORAGES);
        skippedModules();
        if (!problems.isEmpty()) {
            throw new ModelFileException(file + ": \"" + KEY + "\" cannot be understood: " + String.join("; ", problems)
                    + "; correct the file");
        }
        return four;
    }

    private boolean flag(String key) {
        JsonNode value = root.path(key);
        if (!absent(value) && !value.isBoolean()) {
            problem(key, value, "true or false");
        }
        return value.asBoolean();
    }

    private void choice(String key, Set<String> allowed) {
        JsonNode value = root.path(key);
        if (!absent(value) && !(value.isTextual() && allowed.contains(value.textValue()))) {
            problem(key, value, allowed.stream().sorted().collect(Collectors.joining(" or ")));
        }
    }

    private void skippedModules() {
        JsonNode value = root.path("llm_int8_skip_modules");
        boolean texts = value.isArray();
        for (JsonNode name : value) {
            texts &= name.isTextual();
        }
        if (!absent(value) && !texts) {
            problem("llm_int8_skip_modules", value, "a list of module names");
        }
    }

    private void problem(String key, JsonNode value, String expected) {
        problems.add("\"" + key + "\" is " + (value.isMissingNode() ? "absent" : value) + ", expected " + expected);
    }

    private static boolean absent(JsonNode value) {
        return value.isMissingNode() || value.isNull();
    }

    private static ModelFileException unsupported(Path file, String form) {
        return new ModelFileException(file + " says that the weights are packed as " + form
                + ", which cannot be read; supported are dense weights and bitsandbytes in 4 bit (nf4, fp4). Use the"
                + " unquantized model, and quantize it while loading if memory is short");
    }
}
