package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import org.apache.parquet.schema.GroupType;
import org.apache.parquet.schema.LogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.DecimalLogicalTypeAnnotation;
import org.apache.parquet.schema.PrimitiveType;
import org.apache.parquet.schema.Type;
import org.apache.parquet.schema.Type.Repetition;

/** Reads a row that {@link ParquetTape} has written, as the JSON that it means. */
final class ParquetRow {
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    private final ByteBuffer bytes;
    /** The number of the field whose value comes next, counted from 1; 0 at the end of a group. */
    private int tag;

    private ParquetRow(ByteBuffer bytes) {
        this.bytes = bytes;
    }

    /** The row with all fields of the schema; one that is missing is null. */
    static ObjectNode read(ByteBuffer bytes, GroupType schema) {
        return new ParquetRow(bytes).object(schema);
    }

    private void next() {
        tag = bytes.getShort() & 0xFFFF;
    }

    private ObjectNode object(GroupType type) {
        next();
        ObjectNode object = NODES.objectNode();
        for (int i = 0; i < type.getFieldCount(); i++) {
            object.set(type.getFieldName(i), field(type.getType(i), i + 1));
        }
        return object;
    }

    /** A field of a group, where its values may come next. */
    private JsonNode field(Type type, int number) {
        if (!type.isRepetition(Repetition.REPEATED)) {
            return tag == number ? value(type) : NODES.nullNode();
        }
        ArrayNode array = NODES.arrayNode();
        while (tag == number) {
            array.add(value(type));
        }
        return array;
    }

    private JsonNode value(Type type) {
        JsonNode value = type.isPrimitive() ? primitive(type.asPrimitiveType()) : group(type.asGroupType());
        next();
        return value;
    }

    private JsonNode group(GroupType type) {
        LogicalTypeAnnotation meaning = type.getLogicalTypeAnnotation();
        boolean one = type.getFieldCount() == 1 && type.getType(0).isRepetition(Repetition.REPEATED);
        if (one && meaning instanceof LogicalTypeAnnotation.ListLogicalTypeAnnotation) {
            return list(type.getType(0));
        }
        boolean pairs = one
                && !type.getType(0).isPrimitive()
                && type.getType(0).asGroupType().getFieldCount() == 2;
        if (pairs
                && (meaning instanceof LogicalTypeAnnotation.MapLogicalTypeAnnotation
                        || meaning instanceof LogicalTypeAnnotation.MapKeyValueTypeAnnotation)) {
            return map(type.getType(0).asGroupType());
        }
        return object(type);
    }

    /** The repeated field holds the elements, or groups of one field that does. */
    private JsonNode list(Type repeated) {
        boolean wrapped = !repeated.isPrimitive()
                && repeated.asGroupType().getFieldCount() == 1
                && !repeated.getName().equals("array")
                && !repeated.getName().endsWith("_tuple");
        ArrayNode array = NODES.arrayNode();
        next();
        while (tag == 1) {
            if (wrapped) {
                next();
                array.add(field(repeated.asGroupType().getType(0), 1));
                next();
            } else {
                array.add(value(repeated));
            }
        }
        return array;
    }

    private JsonNode map(GroupType entry) {
        ObjectNode object = NODES.objectNode();
        next();
        while (tag == 1) {
            next();
            String key = field(entry.getType(0), 1).asText();
            object.set(key, field(entry.getType(1), 2));
            next();
        }
        return object;
    }

    private JsonNode primitive(PrimitiveType type) {
        if (type.getLogicalTypeAnnotation() instanceof DecimalLogicalTypeAnnotation decimal) {
            BigInteger digits = switch (type.getPrimitiveTypeName()) {
                case INT32 -> BigInteger.valueOf(bytes.getInt());
                case INT64 -> BigInteger.valueOf(bytes.getLong());
                default -> new BigInteger(binary());
            };
            return NODES.numberNode(new BigDecimal(digits, decimal.getScale()));
        }
        return switch (type.getPrimitiveTypeName()) {
            case BOOLEAN -> NODES.booleanNode(bytes.get() != 0);
            case INT32 -> NODES.numberNode(bytes.getInt());
            case INT64 -> NODES.numberNode(bytes.getLong());
            case FLOAT -> NODES.numberNode(bytes.getFloat());
            case DOUBLE -> NODES.numberNode(bytes.getDouble());
            case BINARY, FIXED_LEN_BYTE_ARRAY, INT96 -> text(binary());
        };
    }

    private byte[] binary() {
        byte[] value = new byte[bytes.getInt()];
        bytes.get(value);
        return value;
    }

    /** What is no text, such as a picture, is kept as bytes, which no format takes for a text. */
    private static JsonNode text(byte[] bytes) {
        try {
            return NODES.textNode(Utf8.decode(bytes, false));
        } catch (CharacterCodingException e) {
            return NODES.binaryNode(bytes);
        }
    }
}
