package dev.finetune4j.core.text;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.json.JsonFile;
import dev.finetune4j.core.message.Arguments;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * A checkpoint's tokenizer, as its <a href="https://huggingface.co/docs/tokenizers">tokenizer.json</a> defines it: text
 * to token ids and back.
 *
 * <p>Texts are never cut or padded, whatever the file says, and the network is never used. Half a surrogate pair in a
 * text counts as U+FFFD.
 *
 * <p>Thread-safe. It holds native memory until it is closed; closing twice is fine, and every other method that encodes
 * or decodes then throws {@link IllegalStateException}.
 */
public final class Tokenizer implements AutoCloseable {
    private final Vocabulary vocabulary;
    private final NativeTokenizer tokenizer;
    /** The same as {@link #tokenizer}, save for checkpoints whose special tokens decode to another text. */
    private final NativeTokenizer decoder;

    private final Optional<String> bos;
    private final Optional<String> eos;
    private final Optional<String> pad;
    private final Optional<String> unk;
    private final Map<String, String> chatTemplates;
    private final Map<String, String> namedTokens;
    /** The texts of the added tokens, the longest first. */
    private final List<String> addedTokens;

    private final WrittenTokens writtenTokens;
    private final ControlTokens controls;
    private final String fingerprint;
    private final byte[] definition;
    private final TokenBytes tokenBytes;
    /** Tokenizers that lack some tokens, by what they lack; guarded by itself. */
    private final Map<Set<String>, NativeTokenizer> plain = new HashMap<>();

    private volatile boolean closed;

    private Tokenizer(TokenizerFiles files) {
        ObjectNode tree = files.definition();
        String source = tree.toString();
        this.addedTokens = addedTokens(tree);
        this.vocabulary = vocabulary(tree, files.file());
        this.tokenBytes = new TokenBytes(tree);
        this.tokenizer = open(source, files.file());
        this.decoder = Vocabulary.forDecoding(tree) ? open(tree.toString(), files.file()) : tokenizer;
        this.definition = source.getBytes(StandardCharsets.UTF_8);
        this.bos = files.names().token("bos_token");
        this.eos = files.names().token("eos_token");
        this.pad = files.names().token("pad_token");
        this.unk = files.names().token("unk_token");
        this.chatTemplates = Collections.unmodifiableMap(files.chatTemplates());
        this.namedTokens = Collections.unmodifiableMap(files.names().texts());
        this.fingerprint = files.fingerprint();
        this.writtenTokens = new WrittenTokens(addedTokens);
        Set<String> written = writtenTokens.in(String.join("\n", chatTemplates.values()));
        this.controls = ControlTokens.of(this, vocabulary.specials()).with(written);
    }

    /**
     * Loads a tokenizer.
     *
     * @param folderOrTokenizerJson a checkpoint's folder, or the tokenizer.json in it; the files beside it that name
     *     the special tokens and hold the chat template are read when they are there
     * @throws ModelFileException if tokenizer.json is missing or damaged; the message names the file and the remedy
     * @throws FineTune4jException if there is no native tokenizer for this platform
     */
    public static Tokenizer load(Path folderOrTokenizerJson) {
        Arguments.given(folderOrTokenizerJson, "load(folderOrTokenizerJson)");
        return new Tokenizer(TokenizerFiles.read(folderOrTokenizerJson));
    }

    /** Ids of a text in which special tokens are recognised, without those that the tokenizer would add around it. */
    public int[] encode(String text) {
        Arguments.given(text, "encode(text)");
        return tokenizer.encode(text, false);
    }

    /** As {@link #encode}, with the special tokens that the tokenizer adds around a text, such as a begin token. */
    public int[] encodeWithSpecialTokens(String text) {
        Arguments.given(text, "encodeWithSpecialTokens(text)");
        return tokenizer.encode(text, true);
    }

    /**
     * Ids of a text in which special tokens are not recognised, nor others that the checkpoint's own chat template writes
     * to steer the model: {@code <|im_end|>} typed by a user gives the ids of its letters. Further added tokens are
     * recognised.
     */
    public int[] encodePlain(String text) {
        Arguments.given(text, "encodePlain(text)");
        return controls.encodePlain(text);
    }

    /** The text of ids, special tokens included; ids that no token has are left out. */
    public String decode(int[] ids) {
        return decode(ids, false);
    }

    /**
     * The text of ids; ids that no token has are left out.
     *
     * @param skipSpecialTokens whether to leave special tokens out too
     * @throws IllegalArgumentException if an id is negative
     */
    public String decode(int[] ids, boolean skipSpecialTokens) {
        Arguments.given(ids, "decode(ids)");
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0) {
                throw new IllegalArgumentException("ids[" + i + "] is " + ids[i]
                        + ", but ids are not negative; leave out labels that only mark what is ignored");
            }
        }
        IntStream shown = Arrays.stream(ids).filter(id -> !(skipSpecialTokens && vocabulary.isSkipped(id)));
        return decoder.decode(shown.asLongStream().toArray());
    }

    /** The id of a token by its text in the vocabulary, which for many tokenizers is not the text it decodes to. */
    public OptionalInt idOf(String token) {
        Integer id = vocabulary.idOf(token);
        return id == null ? OptionalInt.empty() : OptionalInt.of(id);
    }

    /**
     * The text of a token in the vocabulary.
     *
     * @throws IllegalArgumentException if no token has this id
     */
    public String tokenOf(int id) {
        String token = vocabulary.tokenOf(id);
        if (token == null) {
            throw new IllegalArgumentException(
                    "no token has the id " + id + "; the vocabulary has ids from 0 to " + (vocabularySize() - 1));
        }
        return token;
    }

    /**
     * The bytes that a token adds to a text in UTF-8, which may be a part of a character. Some tokenizers drop a blank with
     * which a whole text begins.
     *
     * @return none for a special token, and for an id that no token has
     */
    public byte[] bytesOf(int id) {
        String token = vocabulary.tokenOf(id);
        if (token == null || vocabulary.isSpecial(id)) {
            return new byte[0];
        }
        if (vocabulary.isByte(id)) {
            return new byte[] {(byte) byteOf(id)};
        }
        return isAdded(token) ? token.getBytes(StandardCharsets.UTF_8) : tokenBytes.of(token);
    }

    /** The text of a token in the vocabulary; empty if no token has this id. */
    Optional<String> tokenIfAny(int id) {
        return Optional.ofNullable(vocabulary.tokenOf(id));
    }

    /** One more than the highest id. A model may have more rows than that, never fewer. */
    public int vocabularySize() {
        return vocabulary.size();
    }

    /** The token that begins a text. */
    public Optional<String> bosToken() {
        return bos;
    }

    /** The token that ends a text or an answer. */
    public Optional<String> eosToken() {
        return eos;
    }

    /** The token that fills up short rows. */
    public Optional<String> padToken() {
        return pad;
    }

    /** The token that stands for what the vocabulary cannot write. */
    public Optional<String> unkToken() {
        return unk;
    }

    /** Whether the token is one that controls the model rather than writing text. */
    public boolean isSpecial(int id) {
        return vocabulary.isSpecial(id);
    }

    /** The checkpoint's own chat template in Jinja: the one for all purposes, if it has several. */
    public Optional<String> chatTemplateSource() {
        return Optional.ofNullable(chatTemplates.get(TokenizerFiles.DEFAULT));
    }

    /**
     * The checkpoint's own chat templates in Jinja by name. One is named {@code default}, unless the checkpoint has
     * none for all purposes; one named {@code tool_use} is for conversations with tools. Unmodifiable.
     */
    public Map<String, String> chatTemplates() {
        return chatTemplates;
    }

    /**
     * A SHA-256 in hexadecimal of what defines how texts become ids: the same fingerprint means the same ids. It is that
     * of the bytes of tokenizer.json, unless the files beside it add tokens or change their flags. Chat templates do not
     * count.
     */
    public String fingerprint() {
        return fingerprint;
    }

    /** The tokenizer.json in force: with the added tokens of the files beside it, without truncation and padding. */
    public byte[] definition() {
        return definition.clone();
    }

    /**
     * A tokenizer.json that gives the same ids and has further tokens behind them, which texts may contain.
     *
     * @param tokens their texts; they get the ids from {@link #vocabularySize()} on
     * @throws SettingsException naming all that are blank, there already or given twice
     */
    public byte[] definitionWith(List<String> tokens) {
        List<String> problems = new ArrayList<>();
        if (tokens.isEmpty()) {
            problems.add("no new token was given; name at least one");
        }
        for (int i = 0; i < tokens.size(); i++) {
            String token = tokens.get(i);
            if (token.isBlank()) {
                problems.add("new token " + i + " is blank");
            } else if (idOf(token).isPresent() || tokens.subList(0, i).contains(token)) {
                problems.add("the token \"" + token + "\" is there already; leave it out");
            }
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
        ObjectNode tree = JsonFile.object(Path.of(TokenizerFiles.NAME), definition);
        ArrayNode list = tree.withArray("/added_tokens");
        int id = vocabularySize();
        for (String token : tokens) {
            list.addObject()
                    .put("id", id++)
                    .put("content", token)
                    .put("single_word", false)
                    .put("lstrip", false)
                    .put("rstrip", false)
                    .put("normalized", false)
                    .put("special", false);
        }
        return tree.toString().getBytes(StandardCharsets.UTF_8);
    }

    /**
     * A detokenizer for ids that come one by one. It borrows this tokenizer.
     *
     * @param skipSpecial whether special tokens are left out of the text
     */
    public IncrementalDetokenizer detokenizer(boolean skipSpecial) {
        return new IncrementalDetokenizer(this, skipSpecial);
    }

    /** The tokens that no text of a message may become: special ones, and those that the own chat templates write. */
    ControlTokens controls() {
        return controls;
    }

    /** Finds which added tokens a template writes to steer the model. */
    WrittenTokens writtenTokens() {
        return writtenTokens;
    }

    boolean isAdded(String token) {
        return addedTokens.contains(token);
    }

    /** Whether text that does not spell an added token can give it, because both are normalised before. */
    boolean isNormalized(String token) {
        return vocabulary.isNormalized(token);
    }

    /** The texts that chat templates find under names such as {@code bos_token}. */
    Map<String, String> namedTokens() {
        return namedTokens;
    }

    /** The added token, special or not, with which a text begins. */
    Optional<String> addedTokenAt(String text) {
        return addedTokens.stream().filter(text::startsWith).findFirst();
    }

    private static List<String> addedTokens(ObjectNode definition) {
        List<String> tokens = new ArrayList<>();
        definition
                .path("added_tokens")
                .forEach(token -> tokens.add(token.path("content").asText()));
        tokens.removeIf(String::isEmpty);
        tokens.sort(Comparator.comparingInt(String::length).reversed());
        return tokens;
    }

    boolean isByte(int id) {
        return vocabulary.isByte(id);
    }

    /** The byte, 0 to 255, of a token for which {@link #isByte} holds. */
    int byteOf(int id) {
        return Integer.parseInt(tokenOf(id).substring(3, 5), 16);
    }

    /** Whether decoding gives the token any part in the text. */
    boolean isShown(int id, boolean skipSpecialTokens) {
        return vocabulary.tokenOf(id) != null && !(skipSpecialTokens && vocabulary.isSkipped(id));
    }

    /** Ids of a text in which these added tokens are not recognised. */
    int[] encodeWithout(Set<String> tokens, String text) {
        return without(tokens).encode(text, false);
    }

    /** The instance that lacks the tokens, made when the first text asks for it: few ever do. */
    private NativeTokenizer without(Set<String> tokens) {
        synchronized (plain) {
            requireOpen();
            NativeTokenizer made = plain.get(tokens);
            if (made == null) {
                ObjectNode tree = JsonFile.object(Path.of(TokenizerFiles.NAME), definition);
                Vocabulary.disguise(tree, tokens);
                made = NativeTokenizer.variant(tree.toString());
                plain.put(Set.copyOf(tokens), made);
            }
            return made;
        }
    }

    /** @throws IllegalStateException after closing */
    void requireOpen() {
        if (closed) {
            throw new IllegalStateException("the tokenizer, or the model that it belongs to, is closed; load it again");
        }
    }

    private static Vocabulary vocabulary(ObjectNode definition, Path file) {
        try {
            return Vocabulary.of(definition);
        } catch (IllegalArgumentException e) {
            throw new ModelFileException(file + ": " + e.getMessage() + "; fetch the file again", e);
        }
    }

    private static NativeTokenizer open(String definition, Path file) {
        try {
            return new NativeTokenizer(definition);
        } catch (FineTune4jException e) {
            throw e;
        } catch (RuntimeException e) {
            throw new ModelFileException(
                    file + " is not accepted by the tokenizers library: " + e.getMessage()
                            + "; fetch the file again, or save it anew with a current version of transformers",
                    e);
        }
    }

    /** Frees the native memory, after the calls in progress. */
    @Override
    public void close() {
        synchronized (plain) {
            closed = true;
            plain.values().forEach(NativeTokenizer::close);
        }
        decoder.close();
        tokenizer.close();
    }
}
