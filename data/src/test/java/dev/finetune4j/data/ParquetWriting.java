package dev.finetune4j.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.example.data.Group;
import org.apache.parquet.example.data.simple.SimpleGroupFactory;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.example.ExampleParquetWriter;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;
import org.apache.parquet.io.LocalOutputFile;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.MessageTypeParser;

/** Writes small Parquet files as other programs do. */
public final class ParquetWriting {
    private static final MessageType ROWS = MessageTypeParser.parseMessageType(
            "message row { optional binary instruction (STRING); optional binary input (STRING);"
                    + " optional binary output (STRING); optional int64 id; }");
    private static final MessageType MESSAGES = MessageTypeParser.parseMessageType(
            "message row { optional group messages (LIST) { repeated group list { optional group element {"
                    + " optional binary role (STRING); optional binary content (STRING); } } } }");

    private ParquetWriting() {}

    /** Rows of instruction and output; those of odd numbers lack an id. */
    public static Path write(Path file, List<String> questions, List<String> answers) {
        try (ParquetWriter<Group> writer = writer(file, ROWS)) {
            SimpleGroupFactory groups = new SimpleGroupFactory(ROWS);
            for (int i = 0; i < questions.size(); i++) {
                Group row = groups.newGroup()
                        .append("instruction", questions.get(i))
                        .append("input", "")
                        .append("output", answers.get(i));
                writer.write(i % 2 == 0 ? row.append("id", (long) i) : row);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return file;
    }

    /** One row with a list of messages. */
    static Path writeMessages(Path file, String question, String answer) {
        try (ParquetWriter<Group> writer = writer(file, MESSAGES)) {
            Group row = new SimpleGroupFactory(MESSAGES).newGroup();
            Group messages = row.addGroup("messages");
            messages.addGroup("list").addGroup("element").append("role", "user").append("content", question);
            messages.addGroup("list")
                    .addGroup("element")
                    .append("role", "assistant")
                    .append("content", answer);
            writer.write(row);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return file;
    }

    private static ParquetWriter<Group> writer(Path file, MessageType schema) throws IOException {
        return ExampleParquetWriter.builder(new LocalOutputFile(file))
                .withConf(new PlainParquetConfiguration())
                .withType(schema)
                .withCompressionCodec(CompressionCodecName.SNAPPY)
                .build();
    }
}
