package dev.finetune4j.core.io;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/**
 * The order and the header of a safetensors file to be written: what the reference library would write for the same
 * tensors, byte for byte.
 *
 * @param tensors in the order of the file
 * @param start the header's length, the header and its padding
 */
record SafetensorsLayout(List<Map.Entry<String, LazyTensor>> tensors, ByteBuffer start) {
    private static final int ALIGNMENT = 8;
    private static final int MAX_HEADER_BYTES = 100_000_000;
    private static final JsonFactory JSON = JsonFactory.builder()
            .disable(JsonWriteFeature.WRITE_HEX_UPPER_CASE)
            .enable(JsonWriteFeature.COMBINE_UNICODE_SURROGATES_IN_UTF8)
            .build();

    /** Wide types come first, so that every tensor is aligned without gaps; names decide among equals. */
    private static final Comparator<Map.Entry<String, LazyTensor>> FILE_ORDER =
            Comparator.<Map.Entry<String, LazyTensor>, Dtype>comparing(
                            entry -> entry.getValue().dtype())
                    .reversed()
                    .thenComparing(Map.Entry::getKey, SafetensorsLayout::compareCodePoints);

    /** @throws IllegalArgumentException if a name cannot be written or the header would be too long */
    static SafetensorsLayout of(Map<String, LazyTensor> tensors, Map<String, String> metadata) {
        List<Map.Entry<String, LazyTensor>> sorted = new ArrayList<>(tensors.entrySet());
        sorted.sort(FILE_ORDER);
        byte[] json = json(sorted, metadata);
        if (json.length > MAX_HEADER_BYTES) {
            throw new IllegalArgumentException("the header of " + tensors.size() + " tensors takes " + json.length
                    + " bytes, but the format allows " + MAX_HEADER_BYTES + "; use fewer or shorter names");
        }
        int padded = (json.length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        ByteBuffer start = ByteBuffer.allocate(Long.BYTES + padded).order(ByteOrder.LITTLE_ENDIAN);
        start.putLong(padded).put(json);
        while (start.hasRemaining()) {
            start.put((byte) ' ');
        }
        return new SafetensorsLayout(List.copyOf(sorted), start.flip());
    }

    private static byte[] json(List<Map.Entry<String, LazyTensor>> sorted, Map<String, String> metadata) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (JsonGenerator json = JSON.createGenerator(bytes)) {
            json.writeStartObject();
            if (!metadata.isEmpty()) {
                json.writeObjectFieldStart(SafetensorsHeader.METADATA);
                for (Map.Entry<String, String> entry : metadata.entrySet()) {
                    json.writeStringField(writable(entry.getKey()), writable(entry.getValue()));
                }
                json.writeEndObject();
            }
            long begin = 0;
            for (Map.Entry<String, LazyTensor> entry : sorted) {
                long end = Math.addExact(begin, entry.getValue().bytes());
                writeTensor(json, entry.getKey(), entry.getValue(), begin, end);
                begin = end;
            }
            json.writeEndObject();
        } catch (IOException e) {
            throw new IllegalStateException("writing to memory failed", e);
        }
        return bytes.toByteArray();
    }

    private static void writeTensor(JsonGenerator json, String name, LazyTensor tensor, long begin, long end)
            throws IOException {
        if (name.equals(SafetensorsHeader.METADATA)) {
            throw new IllegalArgumentException("a tensor cannot be named " + name + ", the format keeps that name");
        }
        json.writeObjectFieldStart(writable(name));
        json.writeStringField("dtype", tensor.dtype().name());
        long[] shape = tensor.shape();
        json.writeFieldName("shape");
        json.writeArray(shape, 0, shape.length);
        json.writeFieldName("data_offsets");
        json.writeArray(new long[] {begin, end}, 0, 2);
        json.writeEndObject();
    }

    private static String writable(String text) {
        if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
            throw new IllegalArgumentException(
                    "the name or metadata text \"" + text + "\" holds half of a surrogate pair; use whole characters");
        }
        return text;
    }

    /** Orders names as their UTF-8 bytes are ordered, which String.compareTo does not beyond the basic plane. */
    static int compareCodePoints(String left, String right) {
        int index = 0;
        while (index < left.length() && index < right.length()) {
            int a = left.codePointAt(index);
            int b = right.codePointAt(index);
            if (a != b) {
                return Integer.compare(a, b);
            }
            index += Character.charCount(a);
        }
        return Integer.compare(left.length(), right.length());
    }
}
