package dev.finetune4j.lora.export;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A GGUF file read back: metadata by key, and tensors in float32.
 *
 * @param metadata numbers, texts, truth values and lists of them
 * @param tensors by name
 */
public record GgufContent(Map<String, Object> metadata, Map<String, Stored> tensors) {
    /**
     * A tensor.
     *
     * @param type its number in the file
     * @param shape outermost first
     */
    public record Stored(int type, List<Long> shape, float[] numbers) {}

    private record Place(int type, List<Long> shape, long offset) {}

    /** Reads a file whose tensors are of float32 or half precision. */
    public static GgufContent read(Path file) throws IOException {
        ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        if (in.getInt() != 0x46554747 || in.getInt() != 3) {
            throw new IOException(file + " is no GGUF file of version 3");
        }
        long tensors = in.getLong();
        long keys = in.getLong();
        Map<String, Object> metadata = new LinkedHashMap<>();
        for (long i = 0; i < keys; i++) {
            metadata.put(text(in), value(in, in.getInt()));
        }
        Map<String, Place> places = new LinkedHashMap<>();
        for (long i = 0; i < tensors; i++) {
            String name = text(in);
            List<Long> shape = new ArrayList<>();
            for (int n = in.getInt(); n > 0; n--) {
                shape.add(0, in.getLong());
            }
            places.put(name, new Place(in.getInt(), shape, in.getLong()));
        }
        int data = (in.position() + 31) / 32 * 32;
        Map<String, Stored> read = new LinkedHashMap<>();
        places.forEach((name, place) -> read.put(name, stored(in, data, place)));
        return new GgufContent(metadata, read);
    }

    private static Stored stored(ByteBuffer in, int data, Place place) {
        int count = (int) place.shape().stream().reduce(1L, Math::multiplyExact).longValue();
        float[] numbers = new float[count];
        in.position(data + (int) place.offset());
        for (int i = 0; i < count; i++) {
            numbers[i] = switch (place.type()) {
                case 0 -> in.getFloat();
                case 1 -> half(in.getShort());
                case 30 -> Float.intBitsToFloat(in.getShort() << 16);
                default -> throw new IllegalArgumentException("type " + place.type());
            };
        }
        return new Stored(place.type(), place.shape(), numbers);
    }

    private static float half(short bits) {
        int exponent = bits >> 10 & 31;
        int significand = bits & 1023;
        float size =
                exponent == 0 ? significand * 0x1p-24f : (float) ((1024 + significand) * Math.pow(2, exponent - 25));
        return bits < 0 ? -size : size;
    }

    private static String text(ByteBuffer in) {
        byte[] utf8 = new byte[(int) in.getLong()];
        in.get(utf8);
        return new String(utf8, StandardCharsets.UTF_8);
    }

    private static Object value(ByteBuffer in, int type) {
        return switch (type) {
            case 4 -> Integer.toUnsignedLong(in.getInt());
            case 5 -> in.getInt();
            case 6 -> in.getFloat();
            case 7 -> in.get() != 0;
            case 8 -> text(in);
            case 9 -> {
                int each = in.getInt();
                List<Object> list = new ArrayList<>();
                for (long n = in.getLong(); n > 0; n--) {
                    list.add(value(in, each));
                }
                yield list;
            }
            default -> throw new IllegalArgumentException("type " + type);
        };
    }
}
