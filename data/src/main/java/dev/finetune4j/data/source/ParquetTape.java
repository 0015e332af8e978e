package dev.finetune4j.data.source;

import java.nio.ByteBuffer;
import java.util.Arrays;
import org.apache.parquet.io.api.Binary;
import org.apache.parquet.io.api.Converter;
import org.apache.parquet.io.api.GroupConverter;
import org.apache.parquet.io.api.PrimitiveConverter;
import org.apache.parquet.io.api.RecordMaterializer;
import org.apache.parquet.schema.GroupType;
import org.apache.parquet.schema.Type;

/**
 * Writes a row down as bytes while its columns are put together, without an object for each value. A group is its values in
 * the order of the schema, each behind the number of its field, counted from 1, and 0 at the end; what is missing is not
 * written. {@link ParquetRow} reads it.
 */
final class ParquetTape extends RecordMaterializer<ByteBuffer> {
    /** As a field's number has two bytes. */
    static final int MAX_FIELDS = 65_535;

    private static final int FIRST = 1 << 16;

    private byte[] bytes = new byte[FIRST];
    private int length;
    private final Root root;

    /** @throws IllegalArgumentException if a group has too many fields */
    ParquetTape(GroupType schema) {
        this.root = new Root(schema);
    }

    @Override
    public GroupConverter getRootConverter() {
        return root;
    }

    /** The row, up to the next one. */
    @Override
    public ByteBuffer getCurrentRecord() {
        return ByteBuffer.wrap(bytes, 0, length);
    }

    private int take(int count) {
        int start = length;
        long end = (long) start + count;
        if (end > bytes.length) {
            if (end > Integer.MAX_VALUE - 8) {
                throw new IllegalArgumentException("a row has more than 2 GiB, the limit");
            }
            bytes = Arrays.copyOf(bytes, (int) Math.min(Integer.MAX_VALUE - 8L, 2 * end));
        }
        length = (int) end;
        return start;
    }

    private void putTag(int tag) {
        int at = take(2);
        bytes[at] = (byte) (tag >>> 8);
        bytes[at + 1] = (byte) tag;
    }

    private void putInt(int value) {
        int at = take(4);
        for (int i = 0; i < 4; i++) {
            bytes[at + i] = (byte) (value >>> (24 - 8 * i));
        }
    }

    private void putLong(long value) {
        putInt((int) (value >>> 32));
        putInt((int) value);
    }

    private Converter[] converters(GroupType type) {
        if (type.getFieldCount() > MAX_FIELDS) {
            throw new IllegalArgumentException(
                    "the schema has " + type.getFieldCount() + " columns, more than " + MAX_FIELDS + ", the limit");
        }
        Converter[] converters = new Converter[type.getFieldCount()];
        for (int i = 0; i < converters.length; i++) {
            Type field = type.getType(i);
            converters[i] = field.isPrimitive() ? new Leaf(i + 1) : new Inner(field.asGroupType(), i + 1);
        }
        return converters;
    }

    private final class Root extends GroupConverter {
        private final Converter[] fields;

        Root(GroupType type) {
            this.fields = converters(type);
        }

        @Override
        public Converter getConverter(int field) {
            return fields[field];
        }

        @Override
        public void start() {
            length = 0;
        }

        @Override
        public void end() {
            putTag(0);
        }
    }

    private final class Inner extends GroupConverter {
        private final Converter[] fields;
        private final int tag;

        Inner(GroupType type, int tag) {
            this.fields = converters(type);
            this.tag = tag;
        }

        @Override
        public Converter getConverter(int field) {
            return fields[field];
        }

        @Override
        public void start() {
            putTag(tag);
        }

        @Override
        public void end() {
            putTag(0);
        }
    }

    private final class Leaf extends PrimitiveConverter {
        private final int tag;

        Leaf(int tag) {
            this.tag = tag;
        }

        @Override
        public void addBinary(Binary value) {
            putTag(tag);
            int count = value.length();
            putInt(count);
            int at = take(count);
            value.toByteBuffer().get(bytes, at, count);
        }

        @Override
        public void addBoolean(boolean value) {
            putTag(tag);
            bytes[take(1)] = (byte) (value ? 1 : 0);
        }

        @Override
        public void addInt(int value) {
            putTag(tag);
            putInt(value);
        }

        @Override
        public void addLong(long value) {
            putTag(tag);
            putLong(value);
        }

        @Override
        public void addFloat(float value) {
            addInt(Float.floatToRawIntBits(value));
        }

        @Override
        public void addDouble(double value) {
            addLong(Double.doubleToRawLongBits(value));
        }
    }
}
