package dev.finetune4j;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.FolderTransaction;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.json.JsonFile;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Properties;
import java.util.SortedSet;
import java.util.TreeSet;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What {@code finetune4j.json} says beside an adapter: which base it was trained on and with which chat template and
 * tokenizer, so that using it on something else is an error or a warning and not a riddle. Adapters from elsewhere have no
 * such file.
 *
 * @param baseFingerprint {@link ModelFiles#fingerprint()} of the base
 * @param template name of the chat template
 * @param tokenizerFingerprint {@link dev.finetune4j.core.text.Tokenizer#fingerprint()}
 * @param stopIds ids that end an answer, in rising order
 */
record AdapterRecord(String baseFingerprint, String template, String tokenizerFingerprint, SortedSet<Integer> stopIds) {
    private static final Logger LOG = LoggerFactory.getLogger(AdapterRecord.class);
    private static final String FILE = FolderTransaction.RECORD;
    private static final int FORMAT = 1;
    private static final ObjectMapper JSON = new ObjectMapper();

    static AdapterRecord of(ModelFiles files, ChatEncoder encoder) {
        return new AdapterRecord(
                files.fingerprint(),
                encoder.template().name(),
                encoder.tokenizer().fingerprint(),
                new TreeSet<>(encoder.stopIds()));
    }

    /** The content of the file beside an adapter. */
    ObjectNode ofAdapter() {
        ObjectNode node = JSON.createObjectNode();
        node.put("format", FORMAT);
        node.put("library_version", libraryVersion());
        node.put("base_fingerprint", baseFingerprint);
        node.put("chat_template", template);
        node.put("tokenizer_sha256", tokenizerFingerprint);
        ArrayNode ids = node.putArray("stop_token_ids");
        stopIds.forEach(ids::add);
        return node;
    }

    /** The content of the file in the folder of a whole model, which needs no base. */
    ObjectNode ofModel() {
        ObjectNode node = ofAdapter();
        node.remove("base_fingerprint");
        return node;
    }

    /**
     * Compares the record in the folder, if there is one, with the base that the adapter is to sit on. Another base or
     * template is an error; another tokenizer file or other stop tokens may be meant and are warned of.
     */
    static void check(Path folder, LanguageModel base) {
        check(folder, base.record(), base.folder().path(), base.encoder().template());
    }

    /**
     * The same for a base that is not loaded.
     *
     * @param expected what an adapter of this base notes
     */
    static void check(Path folder, AdapterRecord expected, Path base, ChatTemplate used) {
        Path file = folder.resolve(FILE);
        if (!Files.isRegularFile(file)) {
            return;
        }
        JsonNode node = JsonFile.object(file);
        if (node.path("format").asInt(FORMAT) > FORMAT) {
            throw new ModelFileException(file + " has the format " + node.path("format") + ", written by version "
                    + node.path("library_version").asText("unknown") + "; this version reads format " + FORMAT
                    + ": use a newer version of the library");
        }
        String trainedOn = node.path("base_fingerprint").asText("");
        if (!trainedOn.equals(expected.baseFingerprint())) {
            throw new ModelFileException(folder + " was trained on another base model than "
                    + base + " (fingerprints " + shorten(trainedOn) + " and "
                    + shorten(expected.baseFingerprint())
                    + "); load it on the model that it was trained on, or, if that is"
                    + " this one and its config.json alone was edited since, delete " + file);
        }
        String template = node.path("chat_template").asText("");
        if (!used.isNamed(template)) {
            throw new ModelFileException(folder + " was trained with the chat template \"" + template
                    + "\", but the base was loaded with \"" + expected.template() + "\"; "
                    + remedy(template, expected.template(), base));
        }
        warn(file, node, expected);
    }

    /** What brings the template of the training back: its name, or the file that a name of no known one stands for. */
    private static String remedy(String trainedWith, String loadedWith, Path base) {
        if (ChatTemplate.names().contains(trainedWith)) {
            return "load the base with chatTemplate(\"" + trainedWith + "\")";
        }
        String named = ChatTemplate.names().contains(loadedWith) ? "load the base without chatTemplate(…), and " : "";
        return "that is the chat template of a model folder, and not the one that " + base + " has now: " + named
                + "restore the chat_template.jinja (or the chat_template in tokenizer_config.json) that was there when"
                + " the adapter was trained";
    }

    private static void warn(Path file, JsonNode node, AdapterRecord expected) {
        String tokenizer = node.path("tokenizer_sha256").asText(expected.tokenizerFingerprint());
        if (!tokenizer.equals(expected.tokenizerFingerprint())) {
            LOG.warn(
                    "{}: the adapter was trained with another tokenizer.json (sha-256 {}) than the base has now ({}); if"
                            + " the texts' ids differ, its answers suffer",
                    file,
                    shorten(tokenizer),
                    shorten(expected.tokenizerFingerprint()));
        }
        SortedSet<Integer> stopIds = new TreeSet<>();
        node.path("stop_token_ids").forEach(id -> stopIds.add(id.asInt()));
        if (node.has("stop_token_ids") && !stopIds.equals(expected.stopIds())) {
            LOG.warn(
                    "{}: the adapter was trained to end its answers with one of the tokens {}, but the base now stops at"
                            + " {}; answers may run on",
                    file,
                    stopIds,
                    expected.stopIds());
        }
    }

    /** The version of this library. */
    static String libraryVersion() {
        Properties properties = new Properties();
        try (InputStream in = Objects.requireNonNull(
                AdapterRecord.class.getResourceAsStream("version.properties"), "version.properties")) {
            properties.load(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return properties.getProperty("version");
    }

    private static String shorten(String fingerprint) {
        return fingerprint.length() > 12 ? fingerprint.substring(0, 12) + "…" : fingerprint;
    }
}
