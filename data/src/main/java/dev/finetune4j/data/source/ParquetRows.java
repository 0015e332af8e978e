package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Path;
import org.apache.parquet.ParquetReadOptions;
import org.apache.parquet.column.page.PageReadStore;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.example.data.Group;
import org.apache.parquet.example.data.simple.convert.GroupRecordConverter;
import org.apache.parquet.hadoop.ParquetFileReader;
import org.apache.parquet.io.ColumnIOFactory;
import org.apache.parquet.io.LocalInputFile;
import org.apache.parquet.io.MessageColumnIO;
import org.apache.parquet.io.RecordReader;
import org.apache.parquet.schema.GroupType;
import org.apache.parquet.schema.LogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.DecimalLogicalTypeAnnotation;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.PrimitiveType;
import org.apache.parquet.schema.Type;
import org.apache.parquet.schema.Type.Repetition;

/** The rows of a <a href="https://parquet.apache.org/docs/file-format/">Parquet</a> file. */
final class ParquetRows implements ParquetFile {
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    private final Path file;

    ParquetRows(Path file) {
        this.file = file;
    }

    @Override
    public void read(RowConsumer consumer) throws IOException {
        long index = 0;
        try (ParquetFileReader reader = open(file)) {
            MessageType schema = reader.getFileMetaData().getSchema();
            MessageColumnIO columns = new ColumnIOFactory().getColumnIO(schema);
            for (PageReadStore pages = reader.readNextRowGroup(); pages != null; pages = reader.readNextRowGroup()) {
                RecordReader<Group> records = columns.getRecordReader(pages, new GroupRecordConverter(schema));
                for (long i = 0; i < pages.getRowCount(); i++) {
                    if (!consumer.accept(object(records.read(), schema), index++, null)) {
                        return;
                    }
                }
            }
        } catch (DatasetException | FileSystemException e) {
            throw e;
        } catch (IOException | RuntimeException e) {
            // The library reports damage by any of them.
            throw new DatasetException(
                    DatasetProblem.ofFile(
                            file.toString(),
                            "is a Parquet file that is cut off or damaged after row " + index + "; fetch it again"),
                    e);
        }
    }

    @Override
    public RowsByNumber byNumber() throws IOException {
        try (ParquetFileReader reader = open(file)) {
            return new ParquetByNumber(file, Math.toIntExact(reader.getRecordCount()));
        } catch (RuntimeException e) {
            throw new DatasetException(
                    DatasetProblem.ofFile(
                            file.toString(), "is a Parquet file that is cut off or damaged; fetch it again"),
                    e);
        }
    }

    static ParquetFileReader open(Path file) throws IOException {
        ParquetReadOptions options =
                ParquetReadOptions.builder(new PlainParquetConfiguration()).build();
        return ParquetFileReader.open(new LocalInputFile(file), options);
    }

    static ObjectNode object(Group group, GroupType type) {
        ObjectNode object = NODES.objectNode();
        for (int i = 0; i < type.getFieldCount(); i++) {
            object.set(type.getFieldName(i), field(group, i, type.getType(i)));
        }
        return object;
    }

    private static JsonNode field(Group group, int field, Type type) {
        int count = group.getFieldRepetitionCount(field);
        if (type.isRepetition(Repetition.REPEATED)) {
            ArrayNode array = NODES.arrayNode(count);
            for (int i = 0; i < count; i++) {
                array.add(value(group, field, i, type));
            }
            return array;
        }
        return count == 0 ? NODES.nullNode() : value(group, field, 0, type);
    }

    private static JsonNode value(Group group, int field, int index, Type type) {
        if (type.isPrimitive()) {
            return primitive(group, field, index, type.asPrimitiveType());
        }
        Group inner = group.getGroup(field, index);
        GroupType innerType = type.asGroupType();
        LogicalTypeAnnotation meaning = type.getLogicalTypeAnnotation();
        if (meaning instanceof LogicalTypeAnnotation.ListLogicalTypeAnnotation) {
            return list(inner, innerType);
        }
        if (meaning instanceof LogicalTypeAnnotation.MapLogicalTypeAnnotation) {
            return map(inner, innerType);
        }
        return object(inner, innerType);
    }

    /** A group with one repeated field, which holds the elements or a group of one field that does. */
    private static JsonNode list(Group list, GroupType type) {
        Type repeated = type.getType(0);
        boolean wrapped = !repeated.isPrimitive()
                && repeated.asGroupType().getFieldCount() == 1
                && !repeated.getName().equals("array")
                && !repeated.getName().endsWith("_tuple");
        ArrayNode array = NODES.arrayNode();
        for (int i = 0; i < list.getFieldRepetitionCount(0); i++) {
            array.add(
                    wrapped
                            ? field(
                                    list.getGroup(0, i),
                                    0,
                                    repeated.asGroupType().getType(0))
                            : value(list, 0, i, repeated));
        }
        return array;
    }

    private static JsonNode map(Group map, GroupType type) {
        GroupType entryType = type.getType(0).asGroupType();
        ObjectNode object = NODES.objectNode();
        for (int i = 0; i < map.getFieldRepetitionCount(0); i++) {
            Group entry = map.getGroup(0, i);
            object.set(field(entry, 0, entryType.getType(0)).asText(), field(entry, 1, entryType.getType(1)));
        }
        return object;
    }

    private static JsonNode primitive(Group group, int field, int index, PrimitiveType type) {
        if (type.getLogicalTypeAnnotation() instanceof DecimalLogicalTypeAnnotation decimal) {
            BigInteger digits = switch (type.getPrimitiveTypeName()) {
                case INT32 -> BigInteger.valueOf(group.getInteger(field, index));
                case INT64 -> BigInteger.valueOf(group.getLong(field, index));
                default -> new BigInteger(group.getBinary(field, index).getBytes());
            };
            return NODES.numberNode(new BigDecimal(digits, decimal.getScale()));
        }
        return switch (type.getPrimitiveTypeName()) {
            case BOOLEAN -> NODES.booleanNode(group.getBoolean(field, index));
            case INT32 -> NODES.numberNode(group.getInteger(field, index));
            case INT64 -> NODES.numberNode(group.getLong(field, index));
            case FLOAT -> NODES.numberNode(group.getFloat(field, index));
            case DOUBLE -> NODES.numberNode(group.getDouble(field, index));
            case BINARY, FIXED_LEN_BYTE_ARRAY, INT96 ->
                text(group.getBinary(field, index).getBytes());
        };
    }

    /** What is no text, such as a picture, is kept as bytes, which no format takes for a text. */
    private static JsonNode text(byte[] bytes) {
        try {
            return NODES.textNode(StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes))
                    .toString());
        } catch (CharacterCodingException e) {
            return NODES.binaryNode(bytes);
        }
    }
}
