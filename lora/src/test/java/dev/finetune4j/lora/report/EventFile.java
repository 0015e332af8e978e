package dev.finetune4j.lora.report;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * What an event file of TensorBoard says: scalars, and starts of sessions, in order.
 *
 * @param starts the steps from which sessions replace what was said before
 * @param values of each tag by step
 */
record EventFile(List<Integer> starts, Map<String, TreeMap<Integer, Float>> values) {
    static EventFile read(Path file) throws IOException {
        EventFile events = new EventFile(new ArrayList<>(), new TreeMap<>());
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        while (bytes.hasRemaining()) {
            int start = bytes.position();
            int length = Math.toIntExact(bytes.getLong());
            byte[] message = new byte[length];
            bytes.getInt();
            bytes.get(message);
            bytes.getInt();
            byte[] record = new byte[bytes.position() - start];
            bytes.get(start, record);
            assertArrayEquals(TensorBoardLog.record(message), record, "checksums");
            events.event(message);
        }
        return events;
    }

    /** The steps that have a value of a tag. */
    List<Integer> steps(String tag) {
        return List.copyOf(scalars(tag).keySet());
    }

    /** The values of a tag by step. */
    TreeMap<Integer, Float> scalars(String tag) {
        return values.getOrDefault(tag, new TreeMap<>());
    }

    /** What TensorBoard shows of several files: a session that starts takes the place of what was said of its steps and later ones. */
    static TreeMap<Integer, Float> shown(List<EventFile> files, String tag) {
        TreeMap<Integer, Float> shown = new TreeMap<>();
        for (EventFile file : files) {
            file.starts().forEach(step -> shown.tailMap(step, true).clear());
            shown.putAll(file.scalars(tag));
        }
        return shown;
    }

    private void event(byte[] message) {
        int step = 0;
        for (Field field : Field.all(message)) {
            switch (field.number()) {
                case 2 -> step = (int) field.varint();
                case 5 -> summary(field.bytes(), step);
                case 7 -> starts.add(step);
                default -> {}
            }
        }
    }

    private void summary(byte[] message, int step) {
        for (Field scalar : Field.all(message)) {
            String tag = "";
            float value = Float.NaN;
            for (Field part : Field.all(scalar.bytes())) {
                if (part.number() == 1) {
                    tag = new String(part.bytes(), StandardCharsets.UTF_8);
                } else if (part.number() == 2) {
                    value = ByteBuffer.wrap(part.bytes())
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .getFloat();
                }
            }
            values.computeIfAbsent(tag, name -> new TreeMap<>()).put(step, value);
        }
    }

    /** A field of a message in the wire format of protocol buffers: a varint, or bytes. */
    private record Field(int number, long varint, byte[] bytes) {
        static List<Field> all(byte[] message) {
            List<Field> fields = new ArrayList<>();
            ByteBuffer left = ByteBuffer.wrap(message);
            while (left.hasRemaining()) {
                long key = varint(left);
                int type = (int) key & 7;
                long varint = type == 0 ? varint(left) : 0;
                byte[] bytes = new byte
                        [switch (type) {
                            case 0 -> 0;
                            case 1 -> 8;
                            case 2 -> (int) varint(left);
                            case 5 -> 4;
                            default -> throw new AssertionError("wire type " + type);
                        }];
                left.get(bytes);
                fields.add(new Field((int) (key >>> 3), varint, bytes));
            }
            return fields;
        }

        private static long varint(ByteBuffer from) {
            long value = 0;
            for (int shift = 0; ; shift += 7) {
                byte next = from.get();
                value |= (next & 0x7fL) << shift;
                if (next >= 0) {
                    return value;
                }
            }
        }
    }
}
