package dev.finetune4j.lora.export.gguf;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.io.GgufMetadata;
import dev.finetune4j.core.json.JsonFile;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.lora.export.ChatFiles;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The tokenizer and the chat template of a model in llama.cpp's keys. */
final class VocabularyMetadata {
    private static final Logger LOG = LoggerFactory.getLogger(VocabularyMetadata.class);
    private static final String KEY = "tokenizer.ggml.";
    private static final String TEMPLATE = "tokenizer.chat_template";
    /** By a part of a model's name llama.cpp strips spaces behind special tokens, as Phi-3's are declared. */
    private static final List<String> STRIPPING_NAMES = List.of("phi-3", "phi3");
    /** The special tokens behind which it does not then. */
    private static final Set<String> NOT_STRIPPING = Set.of("<unk>", "<s>", "<|endoftext|>");
    /** What it strips spaces behind besides. */
    private static final String END = "</s>";

    private final ChatFiles files;
    private final ChatEncoder encoder;
    private final Tokenizer tokenizer;
    private final JsonNode definition;
    private final TokenList tokens;
    private final int rows;

    /** @param rows of the model's embedding */
    VocabularyMetadata(ChatFiles files, int rows) {
        this.files = files;
        this.encoder = files.encoder();
        this.tokenizer = encoder.tokenizer();
        this.definition = JsonFile.object(Path.of("tokenizer.json"), tokenizer.definition());
        this.rows = rows;
        this.tokens = new TokenList(definition, rows);
    }

    /** What of it llama.cpp does not do. */
    List<String> differences() {
        List<String> found = new ArrayList<>();
        if (tokenizer.vocabularySize() > rows) {
            found.add("the tokenizer has " + tokenizer.vocabularySize() + " tokens, but the model has rows for " + rows
                    + " only");
        }
        if (ByteLevelBpe.is(definition)) {
            new ByteLevelBpe(definition).differences(found);
        } else if (SentencePieceBpe.is(definition)) {
            new SentencePieceBpe(definition).differences(found);
        } else {
            JsonNode model = definition.path("model");
            found.add("the tokenizer is of the kind "
                    + model.path("type").asText(model.path("vocab").isArray() ? "Unigram" : "unknown")
                    + ", expected byte-level BPE, or BPE of SentencePiece with bytes for what has no piece");
        }
        for (JsonNode token : definition.path("added_tokens")) {
            String text = token.path("content").asText();
            boolean strips = token.path("rstrip").asBoolean();
            if (token.path("lstrip").asBoolean()
                    || (strips && !stripsAsPhi3())
                    || token.path("single_word").asBoolean()) {
                found.add("the token " + text + " takes the spaces beside it along or stands for whole words only, for"
                        + " which llama.cpp has no key");
            }
        }
        return found;
    }

    /** Whether exactly those tokens strip the spaces behind them behind which llama.cpp strips them for a Phi-3. */
    private boolean stripsAsPhi3() {
        int stripping = 0;
        Set<String> needed = new TreeSet<>(NOT_STRIPPING);
        needed.add(END);
        for (JsonNode token : definition.path("added_tokens")) {
            String text = token.path("content").asText();
            boolean expected = text.equals(END)
                    || (!NOT_STRIPPING.contains(text) && token.path("special").asBoolean());
            if (token.path("rstrip").asBoolean() != expected) {
                return false;
            }
            stripping += expected ? 1 : 0;
            needed.remove(text);
        }
        return stripping > 0 && needed.isEmpty();
    }

    /** The name of the model in the file, by which llama.cpp decides about the spaces behind special tokens. */
    String name(String wanted) {
        boolean named = STRIPPING_NAMES.stream().anyMatch(wanted.toLowerCase(Locale.ROOT)::contains);
        if (named == stripsAsPhi3()) {
            return wanted;
        }
        return named ? wanted.replaceAll("(?i)phi(-?)3", "phi $13") : "phi-3 " + wanted;
    }

    void write(GgufMetadata metadata) {
        if (ByteLevelBpe.is(definition)) {
            new ByteLevelBpe(definition).write(metadata, tokens);
        } else {
            new SentencePieceBpe(definition).write(metadata, tokens);
        }
        writeIds(metadata);
        writeTemplates(metadata);
    }

    private void writeIds(GgufMetadata metadata) {
        put(metadata, "bos_token_id", tokenizer.bosToken());
        put(metadata, "unknown_token_id", tokenizer.unkToken());
        put(metadata, "padding_token_id", tokenizer.padToken());
        Set<Integer> ends = new LinkedHashSet<>();
        OptionalInt eos = tokenizer.eosToken().map(tokenizer::idOf).orElse(OptionalInt.empty());
        eos.ifPresent(ends::add);
        ends.addAll(new TreeSet<>(encoder.stopIds()));
        List<Integer> ids = List.copyOf(ends);
        List<String> keys = List.of("eos_token_id", "eot_token_id", "eom_token_id");
        for (int i = 0; i < Math.min(keys.size(), ids.size()); i++) {
            metadata.count(KEY + keys.get(i), ids.get(i));
        }
        if (ids.size() > keys.size()) {
            LOG.warn(
                    "a GGUF file names three tokens that end an answer; llama.cpp may not stop at {}",
                    ids.subList(keys.size(), ids.size()).stream()
                            .map(tokenizer::tokenOf)
                            .toList());
        }
        String probe = "a";
        int[] plain = tokenizer.encode(probe);
        int[] surrounded = tokenizer.encodeWithSpecialTokens(probe);
        boolean begins = surrounded.length > plain.length && surrounded[0] != plain[0];
        metadata.flag(KEY + "add_bos_token", begins);
        metadata.flag(KEY + "add_eos_token", surrounded.length > plain.length + (begins ? 1 : 0));
    }

    private void put(GgufMetadata metadata, String key, Optional<String> token) {
        OptionalInt id = token.map(tokenizer::idOf).orElse(OptionalInt.empty());
        id.ifPresent(value -> metadata.count(KEY + key, value));
    }

    private void writeTemplates(GgufMetadata metadata) {
        Map<String, String> own = tokenizer.chatTemplates();
        String usual = own.get("default");
        if (usual == null || !files.bringsTemplate()) {
            metadata.text(TEMPLATE, encoder.template().jinjaSource());
            return;
        }
        metadata.text(TEMPLATE, usual);
        List<String> names = new ArrayList<>();
        new TreeMap<>(own).forEach((name, template) -> {
            if (name.matches("[a-z0-9_]+") && !name.equals("default")) {
                names.add(name);
                metadata.text(TEMPLATE + "." + name, template);
            }
        });
        if (!names.isEmpty()) {
            metadata.texts("tokenizer.chat_templates", names);
        }
    }
}
