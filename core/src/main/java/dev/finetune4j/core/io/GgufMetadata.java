package dev.finetune4j.core.io;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The keys and values at the start of a GGUF file, in the order in which they are given. Not thread-safe. */
public final class GgufMetadata {
    private static final int UINT32 = 4;
    private static final int INT32 = 5;
    private static final int FLOAT32 = 6;
    private static final int BOOL = 7;
    private static final int STRING = 8;
    private static final int ARRAY = 9;

    /** The values with their types in front, as they are in the file. */
    private final Map<String, byte[]> entries = new LinkedHashMap<>();

    /** A whole number of at least 0. */
    public GgufMetadata count(String key, long value) {
        if (value < 0 || value > 0xFFFFFFFFL) {
            throw new IllegalArgumentException(key + " is " + value + ", which no 32 bits hold");
        }
        return put(key, buffer(8).putInt(UINT32).putInt((int) value).array());
    }

    /** A number, float32. */
    public GgufMetadata number(String key, double value) {
        return put(key, buffer(8).putInt(FLOAT32).putFloat((float) value).array());
    }

    /** A truth value. */
    public GgufMetadata flag(String key, boolean value) {
        return put(key, buffer(5).putInt(BOOL).put((byte) (value ? 1 : 0)).array());
    }

    /** A text. */
    public GgufMetadata text(String key, String value) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.writeBytes(buffer(4).putInt(STRING).array());
        bytes.writeBytes(string(value));
        return put(key, bytes.toByteArray());
    }

    /** A list of texts. */
    public GgufMetadata texts(String key, List<String> values) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.writeBytes(arrayStart(STRING, values.size()));
        values.forEach(value -> bytes.writeBytes(string(value)));
        return put(key, bytes.toByteArray());
    }

    /** A list of float32 numbers. */
    public GgufMetadata numbers(String key, float[] values) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.writeBytes(arrayStart(FLOAT32, values.length));
        for (float value : values) {
            bytes.writeBytes(buffer(Float.BYTES).putFloat(value).array());
        }
        return put(key, bytes.toByteArray());
    }

    /** A list of whole numbers, int32. */
    public GgufMetadata integers(String key, int[] values) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.writeBytes(arrayStart(INT32, values.length));
        for (int value : values) {
            bytes.writeBytes(buffer(Integer.BYTES).putInt(value).array());
        }
        return put(key, bytes.toByteArray());
    }

    private GgufMetadata put(String key, byte[] typedValue) {
        if (entries.put(key, typedValue) != null) {
            throw new IllegalArgumentException("the key " + key + " was given twice");
        }
        return this;
    }

    int size() {
        return entries.size();
    }

    /** All entries, as they are in the file. */
    byte[] bytes() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        entries.forEach((key, value) -> {
            bytes.writeBytes(string(key));
            bytes.writeBytes(value);
        });
        return bytes.toByteArray();
    }

    /** A text with its length in front. */
    static byte[] string(String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        return buffer(8 + utf8.length).putLong(utf8.length).put(utf8).array();
    }

    private static byte[] arrayStart(int type, int length) {
        return buffer(16).putInt(ARRAY).putInt(type).putLong(length).array();
    }

    private static ByteBuffer buffer(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }
}
