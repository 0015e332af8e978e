package dev.finetune4j.data.source;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.DatasetException;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import org.apache.parquet.column.ParquetProperties.WriterVersion;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.example.data.Group;
import org.apache.parquet.example.data.simple.SimpleGroupFactory;
import org.apache.parquet.format.FileMetaData;
import org.apache.parquet.format.Util;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.example.ExampleParquetWriter;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;
import org.apache.parquet.io.LocalOutputFile;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.MessageTypeParser;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Rows of a file of many pages, some values in dictionaries, in any order and by any of the ways to them. */
class ParquetByNumberTest {
    private static final int ROWS = 700;
    private static final MessageType FLAT = MessageTypeParser.parseMessageType(
            "message row { optional binary text (STRING); required binary kind (STRING); optional int64 id; }");
    private static final MessageType NESTED = MessageTypeParser.parseMessageType(
            "message row { required int64 id; optional group words (LIST) { repeated group list {"
                    + " optional binary element (STRING); } } }");
    private static final int LENGTH_AND_MAGIC = 8;

    @TempDir
    private Path folder;

    private Path write(MessageType schema, WriterVersion version, boolean indexed) throws IOException {
        Path file = folder.resolve("rows.parquet");
        Files.deleteIfExists(file);
        try (ParquetWriter<Group> writer = ExampleParquetWriter.builder(new LocalOutputFile(file))
                .withConf(new PlainParquetConfiguration())
                .withType(schema)
                .withWriterVersion(version)
                .withRowGroupRowCountLimit(150)
                .withPageSize(512)
                .withDictionaryPageSize(600)
                .withMinRowCountForPageSizeCheck(5)
                .withMaxRowCountForPageSizeCheck(10)
                .withCompressionCodec(CompressionCodecName.SNAPPY)
                .build()) {
            SimpleGroupFactory groups = new SimpleGroupFactory(schema);
            for (int i = 0; i < ROWS; i++) {
                writer.write(schema.equals(FLAT) ? flat(groups, i) : nested(groups, i));
            }
        }
        return indexed ? file : withoutIndex(file);
    }

    private static Group flat(SimpleGroupFactory groups, int i) {
        Group row = groups.newGroup().append("kind", "kind " + i % 3);
        if (i % 5 != 0) {
            row.append("text", "text 世界 " + "of a row ".repeat(i % 7) + i);
        }
        return i % 2 == 0 ? row.append("id", (long) i) : row;
    }

    private static Group nested(SimpleGroupFactory groups, int i) {
        Group row = groups.newGroup().append("id", (long) i);
        if (i % 4 != 0) {
            Group words = row.addGroup("words");
            for (int word = 0; word < i % 6; word++) {
                Group element = words.addGroup("list");
                if (word != 2) {
                    element.append("element", "word " + i + "." + word);
                }
            }
        }
        return row;
    }

    /** As many programs leave it out. */
    private static Path withoutIndex(Path file) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        int end = bytes.length - LENGTH_AND_MAGIC;
        int start = end - ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getInt(end);
        FileMetaData footer = Util.readFileMetaData(new ByteArrayInputStream(bytes, start, end - start));
        footer.getRow_groups()
                .forEach(group -> group.getColumns().forEach(column -> {
                    column.unsetOffset_index_offset();
                    column.unsetOffset_index_length();
                    column.unsetColumn_index_offset();
                    column.unsetColumn_index_length();
                }));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(bytes, 0, start);
        Util.writeFileMetaData(footer, out);
        out.write(ByteBuffer.allocate(Integer.BYTES)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(out.size() - start)
                .array());
        out.write(bytes, end + Integer.BYTES, Integer.BYTES);
        return Files.write(file, out.toByteArray());
    }

    private static List<JsonNode> inOrder(Path file) throws IOException {
        List<JsonNode> rows = new ArrayList<>();
        ParquetFile.open(file).read((row, index, line) -> rows.add(row));
        assertEquals(ROWS, rows.size());
        return rows;
    }

    private static RowGroups groups(Path file) throws IOException {
        try (ParquetRows.Cursor cursor = new ParquetRows.Cursor(ParquetInput.of(file))) {
            return new RowGroups(cursor.groupSizes());
        }
    }

    @ParameterizedTest
    @CsvSource({
        "false, PARQUET_1_0, true", "false, PARQUET_1_0, false", "false, PARQUET_2_0, true",
                "false, PARQUET_2_0, false",
        "true, PARQUET_1_0, true", "true, PARQUET_1_0, false", "true, PARQUET_2_0, true", "true, PARQUET_2_0, false"
    })
    void eachRowIsTheSameByAnyWay(boolean nested, WriterVersion version, boolean indexed) throws IOException {
        Path file = write(nested ? NESTED : FLAT, version, indexed);
        List<JsonNode> expected = inOrder(file);
        RowGroups groups = groups(file);
        assertTrue(groups.count() > 2 && groups.first(1) > 40, groups.count() + " groups");
        boolean canBeFound = indexed || !nested || version == WriterVersion.PARQUET_2_0;
        ParquetSpool spool = ParquetSpool.begin(ParquetInput.of(file), groups.count(), 2, () -> {});
        try (ParquetPages pages = new ParquetPages(ParquetInput.of(file))) {
            for (int i : shuffled()) {
                int group = groups.of(i);
                int place = i - groups.first(group);
                assertEquals(
                        canBeFound ? Optional.of(expected.get(i)) : Optional.empty(),
                        pages.row(group, place),
                        "row " + i);
                assertEquals(expected.get(i), spool.row(group, place), "row " + i);
            }
        }
    }

    private static List<Integer> shuffled() {
        List<Integer> order = new ArrayList<>(IntStream.range(0, ROWS).boxed().toList());
        Collections.shuffle(order, new Random(1));
        return order;
    }

    @Test
    void whoeverReadsAtTheSameTimeGetsHisRows() throws IOException {
        Path file = write(FLAT, WriterVersion.PARQUET_1_0, false);
        List<JsonNode> expected = inOrder(file);
        for (int round = 0; round < 5; round++) {
            RowsByNumber rows = ParquetFile.open(file).byNumber();
            shuffled().parallelStream().forEach(i -> assertEquals(expected.get(i), rows.row(i)));
            for (int i = 0; i < ROWS; i++) {
                assertEquals(expected.get(i), rows.row(i));
            }
        }
    }

    @Test
    void rowsInOrderFromAnyGroupOnNeedNoTemporaryFile() throws IOException {
        Path file = write(FLAT, WriterVersion.PARQUET_1_0, true);
        RowGroups groups = groups(file);
        RowsByNumber rows = ParquetFile.open(file).byNumber();
        List<JsonNode> expected = inOrder(file);
        for (int from : new int[] {0, groups.first(2), groups.first(1), 0}) {
            for (int i = from; i < ROWS; i++) {
                assertEquals(expected.get(i), rows.row(i));
            }
        }
    }

    @Test
    void aFileThatWasChangedIsNotMixedWithWhatItWas() throws IOException {
        Path file = write(FLAT, WriterVersion.PARQUET_1_0, true);
        RowsByNumber rows = ParquetFile.open(file).byNumber();
        Files.setLastModifiedTime(file, FileTime.fromMillis(1));
        DatasetException e = assertThrows(DatasetException.class, () -> rows.row(5));
        assertTrue(e.getMessage().contains("has changed since it was opened"), e.getMessage());
    }

    /** Were it mapped into memory, the process would be sent a signal. */
    @Test
    void aFileThatBecomesShorterWhileItIsReadIsAnError() throws IOException {
        Path file = write(FLAT, WriterVersion.PARQUET_1_0, true);
        List<JsonNode> expected = inOrder(file);
        RowsByNumber rows = ParquetFile.open(file).byNumber();
        assertEquals(expected.get(0), rows.row(0));
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.truncate(channel.size() / 2);
        }
        DatasetException e = assertThrows(DatasetException.class, () -> {
            for (int i = 1; i < ROWS; i++) {
                assertEquals(expected.get(i), rows.row(i));
            }
        });
        assertTrue(e.getMessage().contains("cut off or damaged in row group"), e.getMessage());
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void damageIsSaidOfItsGroup(boolean indexed) throws IOException {
        Path file = write(FLAT, WriterVersion.PARQUET_1_0, indexed);
        byte[] bytes = Files.readAllBytes(file);
        Arrays.fill(bytes, 4, bytes.length / 8, (byte) 0x7F);
        Files.write(file, bytes);
        RowsByNumber rows = ParquetFile.open(file).byNumber();
        DatasetException e = assertThrows(DatasetException.class, () -> rows.row(1));
        assertTrue(e.getMessage().contains("cut off or damaged in row group 0"), e.getMessage());
    }

    @Test
    void groupsMayBeEmpty() {
        RowGroups groups = new RowGroups(0, 3, 0, 0, 2);
        assertEquals(
                List.of(1, 1, 1, 4, 4),
                IntStream.range(0, 5).mapToObj(groups::of).toList());
        assertEquals(5, groups.rows());
        assertThrows(ArithmeticException.class, () -> new RowGroups(1L << 31));
    }
}
