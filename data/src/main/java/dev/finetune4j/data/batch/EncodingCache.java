package dev.finetune4j.data.batch;

import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.batch.EncodedSequence.Kind;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
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
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import java.util.zip.CheckedOutputStream;
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

    /** Another one whenever the same examples become other tokens, or the file has another form. */
    private static final String VERSION = "finetune4j-encoded-1";

    private static final int LARGEST = 1 << 28;

    private final Path folder;
    private final String encoder;

    /** @param encoder tells encoders apart that make other tokens of the same examples */
    EncodingCache(Path folder, String encoder) {
        this.folder = folder;
        this.encoder = encoder;
    }

    /** The file for the rows of some examples. */
    Path file(List<Example> examples) {
        MessageDigest digest = sha256();
        add(digest, VERSION);
        add(digest, encoder);
        for (Example example : examples) {
            add(digest, example.kind());
            if (example instanceof SftExample sft) {
                Conversation conversation = sft.conversation();
                for (ChatMessage message : conversation.messages()) {
                    add(digest, message.role().name());
                    addValue(digest, message.fields());
                }
                addValue(digest, conversation.tools());
                addValue(digest, conversation.templateVariables());
                addValue(digest, sft.lossWeights());
            }
            addValue(digest, example.texts());
        }
        return folder.resolve(HexFormat.of().formatHex(digest.digest()) + ".rows");
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
    Optional<List<EncodedRow>> read(Path file, int count) {
        try (CheckedInputStream checked = new CheckedInputStream(
                        new BufferedInputStream(Files.newInputStream(file), 1 << 16), new CRC32());
                DataInputStream in = new DataInputStream(checked)) {
            if (!in.readUTF().equals(VERSION) || in.readInt() != count) {
                throw new IOException("it holds something else");
            }
            List<EncodedRow> rows = new ArrayList<>(count);
            for (int i = 0; i < count; i++) {
                rows.add(row(in));
            }
            long sum = checked.getChecksum().getValue();
            if (in.readLong() != sum || in.read() >= 0) {
                throw new IOException("its checksum is another");
            }
            return Optional.of(rows);
        } catch (NoSuchFileException e) {
            return Optional.empty();
        } catch (IOException | IllegalArgumentException e) {
            LOG.warn("the encoded rows in {} cannot be used and are made anew: {}", file, e.toString());
            return Optional.empty();
        }
    }

    private static EncodedRow row(DataInputStream in) throws IOException {
        boolean truncated = in.readBoolean();
        int tooLong = in.readInt();
        int count = size(in);
        List<EncodedExample> examples = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int length = size(in);
            examples.add(new EncodedExample(
                    List.of(new EncodedSequence(numbers(in, length), numbers(in, length), Kind.TARGET))));
        }
        return new EncodedRow(examples, truncated, tooLong, null, null);
    }

    private static int size(DataInputStream in) throws IOException {
        int size = in.readInt();
        if (size < 0 || size > LARGEST) {
            throw new IOException("it holds a size of " + size);
        }
        return size;
    }

    private static int[] numbers(DataInputStream in, int count) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(in.readNBytes(count * Integer.BYTES));
        if (bytes.remaining() != count * Integer.BYTES) {
            throw new IOException("it is cut off");
        }
        int[] numbers = new int[count];
        bytes.asIntBuffer().get(numbers);
        return numbers;
    }

    /** Writes rows that have one sequence in each example; a folder that cannot be written to is warned of. */
    void write(Path file, List<EncodedRow> rows) {
        Path part = null;
        try {
            Files.createDirectories(folder);
            part = Files.createTempFile(folder, "rows", ".part");
            try (CheckedOutputStream checked = new CheckedOutputStream(
                            new BufferedOutputStream(Files.newOutputStream(part), 1 << 16), new CRC32());
                    DataOutputStream out = new DataOutputStream(checked)) {
                out.writeUTF(VERSION);
                out.writeInt(rows.size());
                for (EncodedRow row : rows) {
                    write(out, row);
                }
                out.writeLong(checked.getChecksum().getValue());
            }
            Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            LOG.warn("encoded rows cannot be kept in {}: {}", folder, e.toString());
            delete(part);
        }
    }

    private static void write(DataOutputStream out, EncodedRow row) throws IOException {
        out.writeBoolean(row.truncated());
        out.writeInt(row.tooLong());
        out.writeInt(row.examples().size());
        for (EncodedExample example : row.examples()) {
            EncodedSequence sequence = example.sequences().get(0);
            out.writeInt(sequence.length());
            numbers(out, sequence.inputIds());
            numbers(out, sequence.labels());
        }
    }

    private static void numbers(DataOutputStream out, int[] numbers) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(numbers.length * Integer.BYTES);
        bytes.asIntBuffer().put(numbers);
        out.write(bytes.array());
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
