package dev.finetune4j.examples.basemodel;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * The three tokenizer files of a Hugging Face model folder, for a byte-level BPE with ChatML conversations (the layout
 * of <a href="https://huggingface.co/docs/tokenizers">tokenizers</a>).
 */
final class TokenizerFiles {
    private static final int MODEL_MAX_LENGTH = 512;
    private static final String CHAT_TEMPLATE = "{% for message in messages %}"
            + "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
            + "{% endfor %}"
            + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

    private final ObjectMapper json = new ObjectMapper();
    private final BpeTokenizer tokenizer;

    TokenizerFiles(BpeTokenizer tokenizer) {
        this.tokenizer = tokenizer;
    }

    void write(Path folder) {
        write(folder.resolve("tokenizer.json"), tokenizerJson());
        write(folder.resolve("tokenizer_config.json"), configJson());
        write(folder.resolve("special_tokens_map.json"), specialTokensJson());
    }

    private ObjectNode tokenizerJson() {
        ObjectNode root = json.createObjectNode();
        root.put("version", "1.0");
        root.putNull("truncation");
        root.putNull("padding");
        ArrayNode added = root.putArray("added_tokens");
        for (int id = 0; id < BpeTokenizer.SPECIAL_TOKENS.size(); id++) {
            added.add(addedToken(BpeTokenizer.SPECIAL_TOKENS.get(id)).put("id", id));
        }
        root.putNull("normalizer");
        root.set("pre_tokenizer", byteLevel());
        root.set("post_processor", byteLevel());
        root.set("decoder", byteLevel());
        root.set("model", model());
        return root;
    }

    private ObjectNode model() {
        ObjectNode model = json.createObjectNode();
        model.put("type", "BPE");
        model.putNull("dropout");
        model.putNull("unk_token");
        model.putNull("continuing_subword_prefix");
        model.putNull("end_of_word_suffix");
        model.put("fuse_unk", false);
        model.put("byte_fallback", false);
        model.put("ignore_merges", false);
        ObjectNode vocabulary = model.putObject("vocab");
        for (int id = 0; id < tokenizer.size(); id++) {
            vocabulary.put(tokenizer.tokens().get(id), id);
        }
        // The string form loads in every version of tokenizers; no symbol of the byte alphabet is a space.
        ArrayNode merges = model.putArray("merges");
        tokenizer.merges().forEach(merge -> merges.add(merge.left() + " " + merge.right()));
        return model;
    }

    private ObjectNode byteLevel() {
        return json.createObjectNode()
                .put("type", "ByteLevel")
                .put("add_prefix_space", false)
                .put("trim_offsets", false)
                .put("use_regex", true);
    }

    private ObjectNode addedToken(String content) {
        return json.createObjectNode()
                .put("content", content)
                .put("single_word", false)
                .put("lstrip", false)
                .put("rstrip", false)
                .put("normalized", false)
                .put("special", true);
    }

    private ObjectNode configJson() {
        ObjectNode root = specialTokensJson();
        root.put("tokenizer_class", "PreTrainedTokenizerFast");
        root.put("add_prefix_space", false);
        root.put("clean_up_tokenization_spaces", false);
        root.put("model_max_length", MODEL_MAX_LENGTH);
        root.put("chat_template", CHAT_TEMPLATE);
        ObjectNode decoder = root.putObject("added_tokens_decoder");
        for (int id = 0; id < BpeTokenizer.SPECIAL_TOKENS.size(); id++) {
            decoder.set(Integer.toString(id), addedToken(BpeTokenizer.SPECIAL_TOKENS.get(id)));
        }
        return root;
    }

    private ObjectNode specialTokensJson() {
        ObjectNode root = json.createObjectNode();
        root.put("eos_token", BpeTokenizer.TURN_END);
        root.put("pad_token", BpeTokenizer.END_OF_TEXT);
        root.putArray("additional_special_tokens").add(BpeTokenizer.TURN_START).add(BpeTokenizer.TURN_END);
        return root;
    }

    private void write(Path file, JsonNode content) {
        try {
            String text = json.writerWithDefaultPrettyPrinter().writeValueAsString(content);
            Files.writeString(file, text + "\n", StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(
                    "Cannot write " + file + ": check that the folder exists and is writable", e);
        }
    }
}
