package dev.finetune4j.lora.export;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.FolderTransaction;
import dev.finetune4j.core.io.SmallFiles;
import dev.finetune4j.core.json.JsonFile;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The small files of a folder that make what was trained chat and stop as in training, here and in transformers: those of
 * the base, with the chat template that was used and all tokens that end an answer. Immutable.
 *
 * @param source the base's folder
 * @param encoder with the template and the stop tokens
 */
public record ChatFiles(PretrainedFolder source, ChatEncoder encoder) {
    private static final Logger LOG = LoggerFactory.getLogger(ChatFiles.class);
    private static final String TOKENIZER = "tokenizer.json";
    private static final String TEMPLATE = "chat_template.jinja";
    private static final String TOKENIZER_CONFIG = "tokenizer_config.json";
    private static final String GENERATION_CONFIG = "generation_config.json";
    private static final String EOS = "eos_token_id";
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Writes all small files of the base, as a whole model needs them. */
    public void writeForModel(FolderTransaction into) throws IOException {
        if (!hasTokenizer()) {
            throw new IOException("the folder of the base, " + source.path() + ", is no longer there or has no "
                    + TOKENIZER + ", which is copied from it; put it back and save again");
        }
        write(into, SmallFiles.of(source.path()));
    }

    /** Writes the tokenizer's files, as they lie beside an adapter; none when the base's folder has gone meanwhile. */
    public void writeForAdapter(FolderTransaction into) throws IOException {
        if (hasTokenizer()) {
            write(into, SmallFiles.ofTokenizer(source.path()));
        } else {
            LOG.warn(
                    "{} is no longer there, so the adapter is saved without the tokenizer's files; it works with those of"
                            + " its base",
                    source.path().resolve(TOKENIZER));
        }
    }

    private boolean hasTokenizer() {
        return Files.isRegularFile(source.path().resolve(TOKENIZER));
    }

    private void write(FolderTransaction into, List<String> names) throws IOException {
        boolean own = bringsTemplate();
        for (String name : names) {
            boolean template = name.startsWith("chat_template.") || name.startsWith("additional_chat_templates/");
            boolean kept = !name.endsWith(".json") && !name.contains("token") && into.isForeign(name);
            if (!(template && !own) && !kept) {
                into.copy(source.path().resolve(name), name);
            }
        }
        if (!own) {
            into.write(TEMPLATE, encoder.template().jinjaSource().getBytes(StandardCharsets.UTF_8));
            dropTemplates(into);
        }
        writeStopIds(into);
    }

    /** Whether the base's own files hold the template that was used. */
    public boolean bringsTemplate() {
        try {
            return ChatTemplate.ofCheckpoint(encoder.tokenizer())
                    .filter(own -> own.name().equals(encoder.template().name()))
                    .isPresent();
        } catch (ModelFileException e) {
            return false;
        }
    }

    /** Older readers look for a template in tokenizer_config.json first. */
    private void dropTemplates(FolderTransaction into) throws IOException {
        Path file = source.path().resolve(TOKENIZER_CONFIG);
        if (Files.isRegularFile(file)) {
            ObjectNode config = JsonFile.object(file);
            if (config.has("chat_template")) {
                config.put("chat_template", encoder.template().jinjaSource());
                into.write(
                        TOKENIZER_CONFIG, JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(config));
            }
        }
    }

    private void writeStopIds(FolderTransaction into) throws IOException {
        JsonNode given = source.files().generationConfig().orElse(null);
        ObjectNode generation = given instanceof ObjectNode object ? object : JsonNodeFactory.instance.objectNode();
        if (given == null) {
            for (String key : List.of("bos_token_id", EOS, "pad_token_id")) {
                if (source.files().config().path(key).isNumber()
                        || source.files().config().path(key).isArray()) {
                    generation.set(key, source.files().config().path(key));
                }
            }
        }
        Set<Integer> ids = new LinkedHashSet<>();
        JsonNode current = generation.path(EOS);
        for (JsonNode id : current.isArray() ? current : List.of(current)) {
            if (id.canConvertToInt() && id.intValue() >= 0) {
                ids.add(id.intValue());
            }
        }
        if (given != null && ids.equals(encoder.stopIds())) {
            into.copy(source.path().resolve(GENERATION_CONFIG), GENERATION_CONFIG);
            return;
        }
        ids.addAll(new TreeSet<>(encoder.stopIds()));
        if (ids.size() == 1) {
            generation.put(EOS, ids.iterator().next());
        } else if (!ids.isEmpty()) {
            ArrayNode list = generation.putArray(EOS);
            ids.forEach(list::add);
        }
        into.write(GENERATION_CONFIG, JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(generation));
    }
}
