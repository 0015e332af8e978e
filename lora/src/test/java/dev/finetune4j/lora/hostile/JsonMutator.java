package dev.finetune4j.lora.hostile;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** Changes JSON by its structure: values go, come twice, change places, or become those of other kinds of the format. */
final class JsonMutator {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** A mark in the text, for values that no tree can hold. */
    private static final String MARK = "@@mark@@";

    /** Fields that readers look for although the original may not have them. */
    private static final List<String> FIELDS = List.of(
            "rope_scaling",
            "quantization_config",
            "layer_types",
            "sliding_window",
            "max_window_layers",
            "num_experts",
            "text_config",
            "torch_dtype",
            "eos_token_id",
            "partial_rotary_factor",
            "attention_bias",
            "query_pre_attn_scalar",
            "final_logit_softcapping",
            "original_max_position_embeddings",
            "short_factor",
            "rank_pattern",
            "alpha_pattern",
            "modules_to_save",
            "layers_to_transform",
            "layers_pattern",
            "exclude_modules",
            "trainable_token_indices",
            "num_virtual_tokens",
            "encoder_hidden_size",
            "feedforward_modules",
            "added_tokens",
            "added_tokens_decoder",
            "extra_special_tokens",
            "additional_special_tokens",
            "chat_template",
            "normalizer",
            "pre_tokenizer",
            "post_processor",
            "decoder",
            "truncation",
            "padding",
            "unk_id",
            "unk_token",
            "dropout",
            "continuing_subword_prefix",
            "max_input_chars_per_word",
            "precompiled_charsmap",
            "special_tokens",
            "pair",
            "single",
            "pattern",
            "pretokenizers",
            "normalizers",
            "processors",
            "decoders",
            "type");

    private static final List<String> WORDS = List.of(
            "LORA",
            "IA3",
            "PREFIX_TUNING",
            "PROMPT_TUNING",
            "P_TUNING",
            "all",
            "lora_only",
            "pissa",
            "olora",
            "eva",
            "default",
            "linear",
            "dynamic",
            "yarn",
            "longrope",
            "llama3",
            "gemma2",
            "gemma3_text",
            "qwen2",
            "qwen3",
            "phi3",
            "mistral",
            "gelu_pytorch_tanh",
            "bfloat16",
            "Sequence",
            "Split",
            "ByteLevel",
            "Metaspace",
            "Precompiled",
            "Replace",
            "Prepend",
            "Strip",
            "NFKC",
            "BertNormalizer",
            "BertPreTokenizer",
            "Digits",
            "Punctuation",
            "Whitespace",
            "WordPiece",
            "WordLevel",
            "Unigram",
            "BPE",
            "TemplateProcessing",
            "BertProcessing",
            "ByteFallback",
            "Fuse",
            "CTC");

    private static final List<String> PARTS = List.of(
            "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a|a)*$\"},\"behavior\":\"Isolated\",\"invert\":false}",
            "{\"type\":\"Split\",\"pattern\":{\"String\":\"\"},\"behavior\":\"Removed\",\"invert\":true}",
            "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\"},\"content\":\"xx\"}",
            "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(x+x+)+y\"},\"content\":\"xx\"}",
            "{\"type\":\"Prepend\",\"prepend\":\"\u2581\"}",
            "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}",
            "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"//////////8=\"}",
            "{\"type\":\"Strip\",\"content\":\" \",\"start\":4294967295,\"stop\":4294967295}",
            "{\"type\":\"Unigram\",\"vocab\":[[\"a\",0.0],[\"b\",-1e308]],\"unk_id\":7}",
            "{\"type\":\"Unigram\",\"vocab\":[[\"\",0.0]],\"unk_id\":0,\"byte_fallback\":true}",
            "{\"type\":\"WordPiece\",\"unk_token\":\"?\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":0,"
                    + "\"vocab\":{\"a\":0}}",
            "{\"rope_type\":\"yarn\",\"factor\":1e30,\"original_max_position_embeddings\":1}",
            "{\"rope_type\":\"longrope\",\"short_factor\":[],\"long_factor\":[0],\"factor\":0}",
            "{\"quant_method\":\"bitsandbytes\",\"load_in_4bit\":true,\"bnb_4bit_quant_type\":\"nf4\"}",
            "{\"content\":\"\",\"id\":4294967296,\"special\":true}",
            "{\"content\":\"<|im_end|>\",\"id\":3,\"lstrip\":true,\"rstrip\":true,\"normalized\":true}",
            "{\"0\":{\"content\":\"a\"},\"999999999999\":{\"content\":\"b\"},\"x\":null}",
            "{\"(a+)+$\":8,\"q_proj\":1000000000}",
            "{\"q_proj\":0,\"v_proj\":-3,\"\":1}",
            "[2147483647,-1,0,0]",
            "[[0,1],[0,1000000000]]");

    /** Steps in their right form, by the part of a tokenizer that may have them. */
    private static final List<String> NORMALIZERS = List.of(
            "{\"type\":\"NFC\"}",
            "{\"type\":\"NFD\"}",
            "{\"type\":\"NFKC\"}",
            "{\"type\":\"NFKD\"}",
            "{\"type\":\"Lowercase\"}",
            "{\"type\":\"Nmt\"}",
            "{\"type\":\"StripAccents\"}",
            "{\"type\":\"ByteLevel\"}",
            "{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}",
            "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true}",
            "{\"type\":\"Prepend\",\"prepend\":\"\"}",
            "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\u2581\"}",
            "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"[a-z]\"},\"content\":\"\"}");

    private static final List<String> PRE_TOKENIZERS = List.of(
            "{\"type\":\"BertPreTokenizer\"}",
            "{\"type\":\"Whitespace\"}",
            "{\"type\":\"WhitespaceSplit\"}",
            "{\"type\":\"UnicodeScripts\"}",
            "{\"type\":\"Digits\",\"individual_digits\":true}",
            "{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"l\"}",
            "{\"type\":\"Metaspace\",\"replacement\":\"\u2581\",\"prepend_scheme\":\"always\",\"split\":true}",
            "{\"type\":\"Metaspace\",\"replacement\":\" \",\"prepend_scheme\":\"first\",\"split\":false}",
            "{\"type\":\"FixedLength\",\"length\":0}",
            "{\"type\":\"Punctuation\",\"behavior\":\"Removed\"}",
            "{\"type\":\"Punctuation\",\"behavior\":\"Isolated\"}",
            "{\"type\":\"Punctuation\",\"behavior\":\"MergedWithPrevious\"}",
            "{\"type\":\"Punctuation\",\"behavior\":\"MergedWithNext\"}",
            "{\"type\":\"Punctuation\",\"behavior\":\"Contiguous\"}",
            "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\"},\"behavior\":\"Isolated\",\"invert\":false}",
            "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\b\"},\"behavior\":\"Contiguous\",\"invert\":true}",
            "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\"},\"behavior\":\"MergedWithNext\",\"invert\":true}",
            "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"l\"},\"behavior\":\"MergedWithPrevious\",\"invert\":true}",
            "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true}");

    private static final List<String> PROCESSORS = List.of(
            "{\"type\":\"BertProcessing\",\"sep\":[\"a\",1],\"cls\":[\"b\",4294967295]}",
            "{\"type\":\"RobertaProcessing\",\"sep\":[\"a\",1],\"cls\":[\"b\",2],\"trim_offsets\":true,\"add_prefix_space\":true}",
            "{\"type\":\"TemplateProcessing\",\"single\":[\"$A:0\",\"x:1\"],\"pair\":[\"$A\",\"$B\"],\"special_tokens\":{}}",
            "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{}}",
            "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"q\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{\"q\":{\"id\":\"q\",\"ids\":[1,2],\"tokens\":[]}}}");

    private static final List<String> DECODERS = List.of(
            "{\"type\":\"ByteFallback\"}",
            "{\"type\":\"Fuse\"}",
            "{\"type\":\"CTC\",\"pad_token\":\"\",\"word_delimiter_token\":\"\",\"cleanup\":true}",
            "{\"type\":\"WordPiece\",\"prefix\":\"\",\"cleanup\":true}",
            "{\"type\":\"BPEDecoder\",\"suffix\":\"\"}",
            "{\"type\":\"Strip\",\"content\":\"o\",\"start\":1,\"stop\":1}",
            "{\"type\":\"Strip\",\"content\":\" \",\"start\":5,\"stop\":99}",
            "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\"},\"content\":\"y\"}",
            "{\"type\":\"Metaspace\",\"replacement\":\"\u2581\",\"prepend_scheme\":\"always\",\"split\":true}");

    private final Random random;
    private final List<String> values;

    /** @param values texts of JSON values to put in, valid or not */
    JsonMutator(Random random, List<String> values) {
        this.random = random;
        this.values = values;
    }

    /** The text with one to three places changed. */
    String changed(String text) {
        try {
            JsonNode root = JSON.readTree(text);
            String raw = "null";
            if (root.has("pre_tokenizer") && random.nextInt(3) == 0) {
                steps((ObjectNode) root);
                return root.toString();
            }
            for (int i = 1 + random.nextInt(3); i > 0; i--) {
                raw = values.get(random.nextInt(values.size()));
                change(root);
            }
            return root.toString().replace('"' + MARK + '"', raw);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("the original is no JSON", e);
        }
    }

    /** Gives a tokenizer other steps, each in its right form. */
    private void steps(ObjectNode root) throws JsonProcessingException {
        steps(root, "normalizer", "normalizers", NORMALIZERS);
        steps(root, "pre_tokenizer", "pretokenizers", PRE_TOKENIZERS);
        steps(root, "post_processor", "processors", PROCESSORS);
        steps(root, "decoder", "decoders", DECODERS);
    }

    private void steps(ObjectNode root, String part, String list, List<String> steps) throws JsonProcessingException {
        if (random.nextInt(3) == 0) {
            return;
        }
        ObjectNode sequence = JSON.createObjectNode().put("type", "Sequence");
        ArrayNode inner = sequence.putArray(list);
        for (int i = random.nextInt(5); i > 0; i--) {
            boolean own = random.nextInt(4) == 0 && root.path(part).isObject();
            JsonNode step = own ? root.get(part) : JSON.readTree(steps.get(random.nextInt(steps.size())));
            if (step.path("pattern").isObject() && random.nextBoolean()) {
                ((ObjectNode) step.path("pattern")).removeAll().put("Regex", new RegexWriter(random).expression());
            }
            inner.add(step);
        }
        root.set(part, sequence);
    }

    private void change(JsonNode root) throws JsonProcessingException {
        JsonNode at = root;
        while (true) {
            List<JsonNode> inner = new ArrayList<>();
            at.forEach(child -> {
                if (child.isContainerNode() && !child.isEmpty()) {
                    inner.add(child);
                }
            });
            if (inner.isEmpty() || random.nextInt(3) == 0) {
                break;
            }
            at = inner.get(random.nextInt(inner.size()));
        }
        if (at instanceof ObjectNode object && !object.isEmpty()) {
            change(root, object);
        } else if (at instanceof ArrayNode array && !array.isEmpty()) {
            change(root, array);
        }
    }

    private void change(JsonNode root, ObjectNode object) throws JsonProcessingException {
        List<String> names = new ArrayList<>();
        object.fieldNames().forEachRemaining(names::add);
        String name = names.get(random.nextInt(names.size()));
        switch (random.nextInt(8)) {
            case 0 -> object.remove(name);
            case 1 -> object.set(FIELDS.get(random.nextInt(FIELDS.size())), value(root));
            case 2 ->
                object.set(
                        FIELDS.get(random.nextInt(FIELDS.size())),
                        object.get(name).deepCopy());
            case 3 ->
                object.set(
                        name,
                        object.get(names.get(random.nextInt(names.size()))).deepCopy());
            default -> object.set(name, value(root));
        }
    }

    private void change(JsonNode root, ArrayNode array) throws JsonProcessingException {
        int at = random.nextInt(array.size());
        switch (random.nextInt(5)) {
            case 0 -> array.remove(at);
            case 1 -> array.add(array.get(at).deepCopy());
            case 2 -> array.insert(at, value(root));
            default -> array.set(at, value(root));
        }
    }

    private JsonNode value(JsonNode root) throws JsonProcessingException {
        return switch (random.nextInt(6)) {
            case 5 -> TextNode.valueOf(new RegexWriter(random).expression());
            case 0 -> TextNode.valueOf(WORDS.get(random.nextInt(WORDS.size())));
            case 1 -> JSON.readTree(PARTS.get(random.nextInt(PARTS.size())));
            case 2 -> part(root).deepCopy();
            default -> TextNode.valueOf(MARK);
        };
    }

    private JsonNode part(JsonNode root) {
        JsonNode at = root;
        while (at.isContainerNode() && !at.isEmpty() && random.nextInt(4) != 0) {
            List<JsonNode> children = new ArrayList<>();
            at.forEach(children::add);
            at = children.get(random.nextInt(children.size()));
        }
        return at;
    }
}
