package dev.finetune4j.data.batch;

import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.KtoExample;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.SftExample;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Encoded rows in files of a folder, each named by a SHA-256 of what they were made of: the examples, the tokenizer, the chat
 * template and the settings. A file that is damaged is made anew. Files appear complete, so several processes may share the
 * folder.
 */
final class EncodingCache {
    private static final Logger LOG = LoggerFactory.getLogger(EncodingCache.class);

    private final Path folder;
    private final String encoder;

    /** @param encoder tells encoders apart that make other tokens of the same examples */
    EncodingCache(Path folder, String encoder) {
        this.folder = folder;
        this.encoder = encoder;
    }

    /**
     * The one that an encoding asks for; null for none.
     *
     * @param purpose what the rows are encoded for
     */
    static @Nullable EncodingCache of(ChatEncoder encoder, Encoding encoding, String purpose) {
        Path folder = encoding.cache();
        return folder == null
                ? null
                : new EncodingCache(
                        folder,
                        String.join(
                                "\n",
                                purpose,
                                encoder.tokenizer().fingerprint(),
                                encoder.template().name(),
                                encoder.template().jinjaSource(),
                                new TreeSet<>(encoder.stopIds()).toString(),
                                encoder.tokenizer().eosToken().orElse(""),
                                probed(encoder),
                                encoding.maxLength() + " " + encoding.truncation() + " " + encoding.trainOn()));
    }

    /**
     * What the encoder makes of some conversations: so another default system text, another date in a template that writes it and
     * another way of this library to lay out or to mask make another encoder.
     */
    private static String probed(ChatEncoder encoder) {
        ChatMessage question = ChatMessage.user("Hello, 世界?");
        ChatMessage answer = ChatMessage.assistant("<think>1+1</think>\n\n It's 2. ");
        StringBuilder made = new StringBuilder();
        for (Conversation probe : List.of(
                Conversation.of(question, answer),
                Conversation.of(ChatMessage.system("Be kind."), question, answer, question, answer))) {
            try {
                EncodedChat chat = encoder.encode(probe, false);
                made.append(Arrays.toString(chat.ids())).append(Arrays.toString(chat.trained()));
            } catch (IllegalArgumentException e) {
                made.append(e.getMessage()); // a template may refuse a system text or several turns
            }
        }
        return made.toString();
    }

    /** The file for the rows of some examples. */
    Path file(List<Example> examples) {
        MessageDigest digest = sha256();
        add(digest, EncodedFile.VERSION);
        add(digest, encoder);
        for (Example example : examples) {
            add(digest, example.kind());
            if (example instanceof SftExample sft) {
                add(digest, sft.conversation());
                addValue(digest, sft.lossWeights());
            } else if (example instanceof PreferenceExample pair) {
                add(digest, pair.prompt());
                add(digest, pair.chosen());
                add(digest, pair.rejected());
            } else if (example instanceof KtoExample judged) {
                add(digest, judged.conversation());
                addValue(digest, judged.desirable());
            }
            addValue(digest, example.texts());
        }
        return folder.resolve(HexFormat.of().formatHex(digest.digest()) + ".rows");
    }

    /** All of a conversation but the texts. */
    private static void add(MessageDigest digest, Conversation conversation) {
        conversation.messages().forEach(message -> add(digest, message));
        addValue(digest, conversation.tools());
        addValue(digest, conversation.templateVariables());
    }

    private static void add(MessageDigest digest, ChatMessage message) {
        add(digest, message.role().name());
        addValue(digest, message.fields());
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every Java has it
        }
    }

    /** A value of {@link ChatMessage#fields()} with its type, since a template writes the text 1 and the number 1 differently. */
    private static void addValue(MessageDigest digest, @Nullable Object value) {
        if (value instanceof Map<?, ?> map) {
            add(digest, "map " + map.size());
            map.forEach((key, each) -> {
                addValue(digest, key);
                addValue(digest, each);
            });
        } else if (value instanceof List<?> list) {
            add(digest, "list " + list.size());
            list.forEach(each -> addValue(digest, each));
        } else {
            add(digest, value == null ? "null" : value.getClass().getName());
            add(digest, String.valueOf(value));
        }
    }

    /** The length goes before the text, so that texts cannot run into each other. */
    private static void add(MessageDigest digest, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        digest.update(ByteBuffer.allocate(Integer.BYTES).putInt(bytes.length).array());
        digest.update(bytes);
    }

    /** The rows of a file; empty if there is none, or none that can be used. */
    Optional<EncodedFile> read(Path file, int count) {
        try {
            EncodedFile rows = new EncodedFile(file, count);
            LOG.info("{} encoded rows are taken from {}", count, file);
            return Optional.of(rows);
        } catch (NoSuchFileException | FileNotFoundException e) {
            return Optional.empty();
        } catch (IOException e) {
            LOG.warn("the encoded rows in {} cannot be used and are made anew: {}", file, e.toString());
            return Optional.empty();
        }
    }

    /**
     * Gives the rows of examples to a sink, in order: known ones, or those that are made, which are kept unless something is wrong
     * with one.
     *
     * @param cache null for none
     * @param making gives each example with its row on, in order
     */
    static void rows(
            @Nullable EncodingCache cache,
            List<Example> examples,
            Consumer<BiConsumer<Example, EncodedRow>> making,
            BiConsumer<Example, EncodedRow> sink) {
        if (cache == null) {
            making.accept(sink);
            return;
        }
        Path file = cache.file(examples);
        List<EncodedRow> known = cache.readAll(file, examples.size());
        for (int i = 0; i < known.size(); i++) {
            sink.accept(examples.get(i), known.get(i));
        }
        if (!known.isEmpty()) {
            return;
        }
        List<EncodedRow> rows = new ArrayList<>(examples.size());
        making.accept((example, row) -> {
            rows.add(row);
            sink.accept(example, row);
        });
        if (rows.stream().allMatch(row -> row.problem() == null)) {
            cache.write(file, rows);
        }
    }

    private List<EncodedRow> readAll(Path file, int count) {
        Optional<EncodedFile> found = read(file, count);
        List<EncodedRow> rows = new ArrayList<>(count);
        try {
            for (int i = 0; found.isPresent() && i < count; i++) {
                rows.add(found.get().row(i));
            }
            return rows;
        } catch (IOException e) {
            LOG.warn("the encoded rows in {} cannot be used and are made anew: {}", file, e.toString());
            return List.of();
        }
    }

    /** Writes rows without problems; a folder that cannot be written to is warned of. */
    void write(Path file, List<EncodedRow> rows) {
        try {
            write(file, rows.size(), writer -> {
                for (EncodedRow row : rows) {
                    writer.add(row);
                }
            });
        } catch (IOException e) {
            LOG.warn("encoded rows cannot be kept in {}: {}", folder, e.toString());
        }
    }

    /** What is written into a file. */
    interface Content {
        /** Writes it. */
        void writeTo(EncodedFile.Writer writer) throws IOException;
    }

    /**
     * Writes rows, which appear under their name when they are complete.
     *
     * @param count how many there are
     */
    void write(Path file, int count, Content content) throws IOException {
        Path part = null;
        try {
            Files.createDirectories(folder);
            part = Files.createTempFile(folder, "rows", ".part");
            try (EncodedFile.Writer writer = new EncodedFile.Writer(part, count)) {
                content.writeTo(writer);
                writer.finish();
            }
            Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            delete(part);
        }
    }

    private static void delete(@Nullable Path part) {
        if (part != null) {
            try {
                Files.deleteIfExists(part);
            } catch (IOException e) {
                LOG.debug("{} cannot be deleted", part, e);
            }
        }
    }
}
