package dev.finetune4j.core.text;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.CheckpointException;
import java.io.IOException;
import java.nio.charset.MalformedInputException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The files of a checkpoint folder that say how its tokenizer works: {@code tokenizer.json}, and beside it, when there,
 * {@code tokenizer_config.json}, {@code special_tokens_map.json} and {@code chat_template.jinja}.
 *
 * @param file the tokenizer.json, for messages
 * @param definition what it says, with truncation and padding switched off
 * @param config of tokenizer_config.json; empty without the file
 * @param tokenMap of special_tokens_map.json; empty without the file
 * @param chatTemplate a Jinja source
 * @param fingerprint the SHA-256 of tokenizer.json in hexadecimal
 */
record TokenizerFiles(
        Path file,
        ObjectNode definition,
        ObjectNode config,
        ObjectNode tokenMap,
        Optional<String> chatTemplate,
        String fingerprint) {
    static final ObjectMapper JSON = new ObjectMapper();

    private static final String NAME = "tokenizer.json";

    static TokenizerFiles read(Path folderOrFile) {
        Path file = Files.isDirectory(folderOrFile) ? folderOrFile.resolve(NAME) : folderOrFile;
        if (!Files.isRegularFile(file)) {
            throw new CheckpointException(missing(file));
        }
        String source = content(file);
        ObjectNode definition = object(file, source);
        if (!definition.path("model").isObject()) {
            throw new CheckpointException(file + " has no object \"model\", so it is not a " + NAME
                    + " of the tokenizers library; fetch the file again");
        }
        // Both would change ids in silence: truncation drops the end of a text, padding adds tokens that nobody said.
        definition.putNull("truncation");
        definition.putNull("padding");
        ObjectNode config = optional(file.resolveSibling("tokenizer_config.json"));
        ObjectNode tokenMap = optional(file.resolveSibling("special_tokens_map.json"));
        return new TokenizerFiles(file, definition, config, tokenMap, template(file, config), sha256(source));
    }

    /** The token that one of the files gives a part, such as {@code eos_token}. */
    Optional<String> token(String part) {
        String token = text(config.path(part));
        return Optional.ofNullable(token != null ? token : text(tokenMap.path(part)));
    }

    private static @Nullable String text(JsonNode token) {
        JsonNode content = token.isObject() ? token.path("content") : token;
        return content.isTextual() && !content.textValue().isEmpty() ? content.textValue() : null;
    }

    private static Optional<String> template(Path file, ObjectNode config) {
        Path own = file.resolveSibling("chat_template.jinja");
        if (Files.isRegularFile(own)) {
            return Optional.of(content(own));
        }
        JsonNode template = config.path("chat_template");
        if (template.isArray()) {
            for (JsonNode entry : template) {
                if (entry.path("name").asText().equals("default")) {
                    template = entry.path("template");
                    break;
                }
            }
        }
        return template.isTextual() ? Optional.of(template.textValue()) : Optional.empty();
    }

    private static ObjectNode optional(Path file) {
        return Files.isRegularFile(file) ? object(file, content(file)) : JSON.createObjectNode();
    }

    private static ObjectNode object(Path file, String source) {
        try {
            if (JSON.readTree(source) instanceof ObjectNode object) {
                return object;
            }
        } catch (JsonProcessingException e) {
            int line = e.getLocation() == null ? 0 : e.getLocation().getLineNr();
            throw new CheckpointException(
                    file + " is no valid JSON (line " + line + ": " + e.getOriginalMessage()
                            + "); the download may be incomplete, fetch the file again",
                    e);
        }
        throw new CheckpointException(file + " holds no JSON object; fetch the file again");
    }

    /** Of the UTF-8 form, which is the file's own: a file that is no UTF-8 is not read. */
    private static String sha256(String text) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(digest);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }

    private static String content(Path file) {
        try {
            return Files.readString(file);
        } catch (MalformedInputException e) {
            throw new CheckpointException(file + " is no UTF-8 text; fetch the file again", e);
        } catch (IOException e) {
            throw new CheckpointException(file + " cannot be read: " + e, e);
        }
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
