package dev.finetune4j.lora.hostile;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.Fixtures;
import dev.finetune4j.testsupport.Needs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** Complete folders whose files are to be damaged: a model with an adapter, rows and all small files. */
final class HostileFolders {
    private static final ObjectMapper JSON = new ObjectMapper();
    /** Of a published tokenizer so much is taken that its ids are those of the tiny models. */
    private static final int TOKENS = 400;

    private static final int ADDED = 30;

    private HostileFolders() {}

    /** One folder, which the project's own resources are enough for. */
    static Path plain(Path folder) throws IOException {
        Fixtures.tinyChatModel(folder);
        copy(Fixtures.reference("models/llama/generation_config.json"), folder.resolve("generation_config.json"));
        adapter(Fixtures.reference("adapters/lora"), folder);
        Fixtures.alpaca(folder.resolve("rows.json"), "b", "a", "c");
        Files.writeString(
                folder.resolve("rows.jsonl"),
                "{\"instruction\":\"a\",\"input\":\"\",\"output\":\"b\",\"system\":\"s\",\"history\":[[\"q\",\"r\"]]}\n"
                        + "{\"instruction\":\"c\",\"output\":\"d\"}\n\n");
        Files.writeString(
                folder.resolve("special_tokens_map.json"),
                "{\"bos_token\":\"<|begin_of_text|>\",\"eos_token\":{\"content\":\"<|im_end|>\",\"lstrip\":false,"
                        + "\"normalized\":false,\"rstrip\":false,\"single_word\":false},\"additional_special_tokens\":"
                        + "[\"<|im_start|>\",{\"content\":\"<|eot_id|>\",\"lstrip\":true}]}");
        Files.writeString(
                folder.resolve("added_tokens.json"), "{\"<|im_start|>\":1,\"<|im_end|>\":2,\"<|endoftext|>\":0}");
        Files.writeString(
                folder.resolve("chat_template.json"),
                JSON.createObjectNode()
                        .put("chat_template", Files.readString(folder.resolve("chat_template.jinja")))
                        .toString());
        index(folder);
        return folder;
    }

    /** The index names the one file of weights once more under another name, so that it is a model in shards. */
    private static void index(Path folder) throws IOException {
        ObjectNode root = JSON.createObjectNode();
        root.putObject("metadata").put("total_size", 1_000);
        byte[] bytes = Files.readAllBytes(folder.resolve("model.safetensors"));
        int header = (bytes[0] & 0xff) | (bytes[1] & 0xff) << 8 | (bytes[2] & 0xff) << 16;
        ObjectNode map = root.putObject("weight_map");
        JSON.readTree(bytes, Long.BYTES, header).fieldNames().forEachRemaining(name -> {
            if (!name.equals("__metadata__")) {
                map.put(name, "model-00001-of-00001.safetensors");
            }
        });
        copy(folder.resolve("model.safetensors"), folder.resolve("model-00001-of-00001.safetensors"));
        Files.writeString(folder.resolve("model.safetensors.index.json"), root.toString());
    }

    /**
     * The plain folder, and, where the wider fixtures are, one for each published template, with the models, the
     * tokenizers and the adapters in turns.
     */
    static List<Path> wide(Path root) throws IOException {
        List<Path> folders = new ArrayList<>(List.of(plain(root.resolve("plain"))));
        if (Needs.findShared("fixtures/chat-templates").isEmpty()) {
            return folders;
        }
        List<Path> templates = listed("fixtures/chat-templates", ".jinja");
        List<Path> models = listed("fixtures/reference/models", "");
        List<Path> adapters = listed("fixtures/reference/adapters", "");
        List<Path> tokenizers = new ArrayList<>(listed("fixtures/tokenizers", ""));
        tokenizers.addAll(listed("fixtures/reference/tokenizers", ""));
        tokenizers.removeIf(folder -> !Files.isDirectory(folder));
        for (int i = 0; i < templates.size(); i++) {
            Path folder = plain(root.resolve(String.valueOf(templates.get(i).getFileName())));
            for (String name : List.of("config.json", "model.safetensors", "generation_config.json")) {
                copy(models.get(i % models.size()).resolve(name), folder.resolve(name));
            }
            copy(folder.resolve("model.safetensors"), folder.resolve("model-00001-of-00001.safetensors"));
            index(folder);
            tokenizer(tokenizers.get(i % tokenizers.size()), folder);
            adapter(adapters.get(i % adapters.size()), folder);
            copy(templates.get(i), folder.resolve("chat_template.jinja"));
            folders.add(folder);
        }
        return folders;
    }

    private static List<Path> listed(String shared, String end) throws IOException {
        try (Stream<Path> files = Files.list(Needs.shared(shared))) {
            return files.filter(file -> file.toString().endsWith(end) && (!end.isEmpty() || Files.isDirectory(file)))
                    .sorted()
                    .toList();
        }
    }

    private static void adapter(Path from, Path folder) throws IOException {
        Path adapter = Files.createDirectories(folder.resolve("adapter"));
        for (String name : List.of("adapter_config.json", "adapter_model.safetensors")) {
            copy(from.resolve(name), adapter.resolve(name));
        }
    }

    private static void tokenizer(Path from, Path folder) throws IOException {
        for (String name : List.of("tokenizer_config.json", "special_tokens_map.json")) {
            if (Files.exists(from.resolve(name))) {
                copy(from.resolve(name), folder.resolve(name));
            }
        }
        if (!Files.exists(from.resolve("special_tokens_map.json"))) {
            Files.writeString(folder.resolve("special_tokens_map.json"), "{\"additional_special_tokens\":[]}");
        }
        ObjectNode root =
                small((ObjectNode) JSON.readTree(from.resolve("tokenizer.json").toFile()));
        Files.writeString(folder.resolve("tokenizer.json"), root.toString());
        ObjectNode added = JSON.createObjectNode();
        root.path("added_tokens")
                .forEach(token -> added.set(token.path("content").asText(), token.path("id")));
        Files.writeString(folder.resolve("added_tokens.json"), added.toString());
        decoder(folder.resolve("tokenizer_config.json"), added);
    }

    /** The configuration of a tokenizer names its tokens by their ids. */
    private static void decoder(Path config, ObjectNode ids) throws IOException {
        ObjectNode root = (ObjectNode) JSON.readTree(config.toFile());
        ObjectNode named = JSON.createObjectNode();
        for (JsonNode token : root.path("added_tokens_decoder")) {
            JsonNode id = ids.path(token.path("content").asText());
            if (id.isInt()) {
                named.set(id.asText(), token);
            }
        }
        if (root.has("added_tokens_decoder")) {
            root.set("added_tokens_decoder", named);
        }
        Files.writeString(config, root.toString());
    }

    /** A tokenizer with the same steps and few tokens. */
    private static ObjectNode small(ObjectNode root) {
        ObjectNode model = (ObjectNode) root.get("model");
        Map<String, Integer> ids = new HashMap<>();
        if (model.get("vocab") instanceof ArrayNode pieces) {
            while (pieces.size() > TOKENS) {
                pieces.remove(pieces.size() - 1);
            }
            pieces.forEach(piece -> ids.put(piece.get(0).textValue(), ids.size()));
        } else {
            ObjectNode vocab = (ObjectNode) model.get("vocab");
            vocab.properties().removeIf(entry -> entry.getValue().intValue() >= TOKENS);
            vocab.properties()
                    .forEach(entry -> ids.put(entry.getKey(), entry.getValue().intValue()));
            ArrayNode merges = JSON.createArrayNode();
            for (JsonNode merge : model.path("merges")) {
                String[] parts = merge.isArray()
                        ? new String[] {merge.get(0).textValue(), merge.get(1).textValue()}
                        : merge.textValue().split(" ", 2);
                if (ids.containsKey(parts[0]) && ids.containsKey(parts[1]) && ids.containsKey(parts[0] + parts[1])) {
                    merges.add(merge);
                }
            }
            model.set("merges", merges);
        }
        ArrayNode added = JSON.createArrayNode();
        for (JsonNode token : root.path("added_tokens")) {
            if (added.size() < ADDED) {
                String content = token.path("content").textValue();
                int id = ids.computeIfAbsent(content, name -> ids.size());
                added.add(((ObjectNode) token).put("id", id));
            }
        }
        root.set("added_tokens", added);
        root.path("post_processor").findParents("ids").forEach(token -> {
            ArrayNode known = ((ObjectNode) token).putArray("ids");
            token.path("tokens").forEach(name -> known.add(ids.getOrDefault(name.textValue(), 0)));
        });
        return root;
    }

    private static void copy(Path from, Path to) throws IOException {
        Files.copy(from, to, StandardCopyOption.REPLACE_EXISTING);
        to.toFile().setWritable(true);
    }
}
