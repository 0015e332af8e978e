package dev.finetune4j.core.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.cache.Sha256;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.json.JsonFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * The files of a checkpoint folder that say how its tokenizer works: {@code tokenizer.json}, which is enough alone, and
 * beside it, when there, {@code tokenizer_config.json}, {@code special_tokens_map.json}, {@code added_tokens.json}, and
 * {@code chat_template.jinja} with {@code additional_chat_templates/} or {@code chat_template.json}.
 *
 * @param file the tokenizer.json, for messages
 * @param definition what it says, with the added tokens of the other files, and with truncation and padding switched
 *     off
 * @param names what the other files say of the tokens
 * @param chatTemplates Jinja sources by name; the one for all purposes is named {@code default}
 * @param fingerprint a SHA-256 in hexadecimal of what decides which ids a text has: of tokenizer.json, and of the added
 *     tokens if other files change them
 */
record TokenizerFiles(
        Path file, ObjectNode definition, TokenNames names, Map<String, String> chatTemplates, String fingerprint) {
    /** Twice the largest tokenizer.json that is published. */
    private static final long MAX_BYTES = 64L << 20;

    /** Fifty times the longest chat template that is published. */
    private static final long MAX_TEMPLATE_BYTES = 1 << 20;

    /** The name of the template for all purposes. */
    static final String DEFAULT = "default";

    static final String NAME = "tokenizer.json";
    private static final String JINJA = ".jinja";

    static TokenizerFiles read(Path folderOrFile) {
        Path file = Files.isDirectory(folderOrFile) ? folderOrFile.resolve(NAME) : folderOrFile;
        Path folder = file.toAbsolutePath().getParent();
        if (folder != null) {
            ModelFiles.settle(folder);
        }
        if (!Files.isRegularFile(file)) {
            throw new ModelFileException(missing(file));
        }
        byte[] source = JsonFile.bytes(file, MAX_BYTES);
        ObjectNode definition = JsonFile.object(file, source);
        if (!definition.path("model").isObject()) {
            throw new ModelFileException(file + " has no object \"model\", so it is not a " + NAME
                    + " of the tokenizers library; fetch the file again");
        }
        require(file, () -> {
            NativeAssumptions.check(definition);
            DefinitionLimits.check(definition);
        });
        // Both would change ids in silence: truncation drops the end of a text, padding adds tokens that nobody said.
        definition.putNull("truncation");
        definition.putNull("padding");
        ObjectNode config = optional(file.resolveSibling("tokenizer_config.json"));
        TokenNames names = TokenNames.of(
                file,
                config,
                optional(file.resolveSibling("special_tokens_map.json")),
                optional(file.resolveSibling("added_tokens.json")));
        boolean changed = AddedTokens.complete(file, definition, names);
        require(file, () -> VanishingTokens.check(definition));
        String fingerprint = Sha256.hex(source);
        if (changed) {
            fingerprint = Sha256.hex(fingerprint + definition.path("added_tokens"));
        }
        return new TokenizerFiles(file, definition, names, templates(file, config), fingerprint);
    }

    private static void require(Path file, Runnable check) {
        try {
            check.run();
        } catch (IllegalArgumentException e) {
            throw new ModelFileException(
                    file + " is no tokenizer that can be used: " + e.getMessage() + "; use another checkpoint", e);
        }
    }

    /**
     * As in transformers, files of templates hide those in tokenizer_config.json. The older chat_template.json, which
     * belongs to the processor of a model with images, serves where there is no other.
     */
    private static Map<String, String> templates(Path file, ObjectNode config) {
        Map<String, String> templates = new LinkedHashMap<>();
        Path own = file.resolveSibling("chat_template.jinja");
        if (Files.isRegularFile(own)) {
            templates.put(DEFAULT, JsonFile.text(own, MAX_TEMPLATE_BYTES));
        }
        Path folder = file.resolveSibling("additional_chat_templates");
        if (Files.isDirectory(folder)) {
            additional(folder)
                    .forEach(path -> templates.put(baseName(folder, path), JsonFile.text(path, MAX_TEMPLATE_BYTES)));
        }
        if (!templates.isEmpty()) {
            return templates;
        }
        JsonNode template = config.path("chat_template");
        if (template.isTextual()) {
            templates.put(DEFAULT, template.textValue());
        }
        for (JsonNode entry : template) {
            if (entry.path("template").isTextual()) {
                templates.put(
                        entry.path("name").asText(), entry.path("template").textValue());
            }
        }
        if (templates.isEmpty()) {
            JsonNode older = optional(file.resolveSibling("chat_template.json")).path("chat_template");
            if (older.isTextual()) {
                templates.put(DEFAULT, older.textValue());
            }
        }
        return templates;
    }

    private static List<Path> additional(Path folder) {
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(path -> path.toString().endsWith(JINJA))
                    .sorted()
                    .toList();
        } catch (IOException e) {
            throw new ModelFileException(folder + " cannot be read: " + e, e);
        }
    }

    private static String baseName(Path folder, Path path) {
        String name = folder.relativize(path).toString();
        return name.substring(0, name.length() - JINJA.length());
    }

    private static ObjectNode optional(Path file) {
        return Files.isRegularFile(file) ? JsonFile.object(file) : JsonNodeFactory.instance.objectNode();
    }

    private static String missing(Path file) {
        Path folder = file.toAbsolutePath().getParent();
        if (folder == null || !Files.isDirectory(folder)) {
            return file + " does not exist; give the folder of a checkpoint or its " + NAME;
        }
        String make = "make it once in Python: AutoTokenizer.from_pretrained(\"" + folder
                + "\", use_fast=True).save_pretrained(\"" + folder + "\")";
        for (String other : new String[] {"tokenizer.model", "vocab.json", "vocab.txt"}) {
            if (Files.isRegularFile(folder.resolve(other))) {
                return folder + " has " + other + " but no " + NAME + ", which this library reads; " + make;
            }
        }
        return file + " is missing; fetch it from the model's repository, or, if there is none, " + make;
    }
}
