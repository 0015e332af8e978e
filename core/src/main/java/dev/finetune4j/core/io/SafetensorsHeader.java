package dev.finetune4j.core.io;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import dev.finetune4j.core.CheckpointException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The JSON at the start of a <a href="https://github.com/huggingface/safetensors#format">safetensors</a> file,
 * checked against the size of the data behind it: the tensors lie end to end, cover all of it, and have the sizes
 * that their shapes ask for.
 *
 * @param tensors in the order of the header
 * @param metadata of {@code __metadata__}; empty without it
 */
record SafetensorsHeader(Map<String, TensorInfo> tensors, Map<String, String> metadata) {
    static final String METADATA = "__metadata__";

    // Tensor names are used once, so a table of names shared by the process would only grow.
    private static final JsonFactory JSON = JsonFactory.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .build();

    /**
     * Parses and checks a header.
     *
     * @param file for messages
     * @param json the header's bytes with their padding
     * @param dataBytes how many bytes follow the header
     * @throws CheckpointException when something is wrong with it
     */
    static SafetensorsHeader parse(Path file, byte[] json, long dataBytes) {
        int length = json.length;
        while (length > 0 && json[length - 1] == ' ') {
            length--;
        }
        if (length == 0 || json[0] != '{' || json[length - 1] != '}') {
            throw damaged(file, "its header is no JSON object from the first byte to the padding of spaces", null);
        }
        ByteArrayInputStream bytes = new ByteArrayInputStream(json, 0, length);
        try (Reader text = new InputStreamReader(bytes, StandardCharsets.UTF_8.newDecoder());
                JsonParser parser = JSON.createParser(text)) {
            SafetensorsHeader header = new Parsing(file, parser).header();
            header.checkLayout(file, dataBytes);
            return header;
        } catch (CharacterCodingException e) {
            throw damaged(file, "its header is no valid UTF-8", e);
        } catch (JsonProcessingException e) {
            throw damaged(file, "its header is no valid JSON (" + e.getOriginalMessage() + ")", e);
        } catch (IOException e) {
            throw damaged(file, "its header cannot be parsed (" + e.getMessage() + ")", e);
        }
    }

    private void checkLayout(Path file, long dataBytes) {
        List<TensorInfo> sorted = new ArrayList<>(tensors.values());
        sorted.sort(Comparator.comparingLong(TensorInfo::begin).thenComparingLong(TensorInfo::end));
        long position = 0;
        for (TensorInfo info : sorted) {
            if (info.begin() != position || info.end() < position) {
                throw damaged(
                        file,
                        "tensor " + info.name() + " lies at bytes " + info.begin() + " to " + info.end()
                                + ", but the tensor before it ends at " + position
                                + " and no byte may be shared or left out",
                        null);
            }
            position = info.end();
        }
        if (position != dataBytes) {
            throw damaged(
                    file,
                    "its tensors take " + position + " bytes, but " + dataBytes + " bytes follow the header"
                            + (position > dataBytes ? ": the file was cut short" : ""),
                    null);
        }
    }

    static CheckpointException damaged(Path file, String problem, @Nullable Throwable cause) {
        String message = file + " is no intact safetensors file: " + problem + "; fetch or write the file again";
        return cause == null ? new CheckpointException(message) : new CheckpointException(message, cause);
    }

    /** One pass over the tokens of a header. */
    private static final class Parsing {
        private final Path file;
        private final JsonParser parser;
        private final Map<String, TensorInfo> tensors = new LinkedHashMap<>();
        private final Map<String, String> metadata = new LinkedHashMap<>();

        Parsing(Path file, JsonParser parser) {
            this.file = file;
            this.parser = parser;
        }

        SafetensorsHeader header() throws IOException {
            expect(JsonToken.START_OBJECT, "the header");
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                String name = name();
                if (name.equals(METADATA)) {
                    readMetadata();
                } else {
                    tensors.put(name, tensor(name));
                }
            }
            if (parser.nextToken() != null) {
                throw damaged(file, "something follows the JSON object of its header", null);
            }
            return new SafetensorsHeader(Collections.unmodifiableMap(tensors), Collections.unmodifiableMap(metadata));
        }

        private void readMetadata() throws IOException {
            expect(JsonToken.START_OBJECT, METADATA);
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                String key = name();
                expect(JsonToken.VALUE_STRING, METADATA + "." + key);
                metadata.put(key, wellFormed(parser.getText()));
            }
        }

        private TensorInfo tensor(String name) throws IOException {
            expect(JsonToken.START_OBJECT, "tensor " + name);
            Dtype dtype = null;
            long[] shape = null;
            long[] offsets = null;
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                switch (name()) {
                    case "dtype" -> dtype = dtype(name);
                    case "shape" -> shape = numbers("the shape of tensor " + name);
                    case "data_offsets" -> offsets = numbers("data_offsets of tensor " + name);
                    default -> {
                        parser.nextToken();
                        parser.skipChildren();
                    }
                }
            }
            if (dtype == null || shape == null || offsets == null || offsets.length != 2) {
                throw damaged(file, "tensor " + name + " needs dtype, shape and data_offsets with two numbers", null);
            }
            checkSize(name, dtype, shape, offsets);
            return new TensorInfo(name, dtype, shape, offsets[0], offsets[1]);
        }

        private void checkSize(String name, Dtype dtype, long[] shape, long[] offsets) {
            String what = "tensor " + name + " of type " + dtype + " and shape " + Arrays.toString(shape);
            long needed;
            try {
                needed = dtype.bytes(shape);
            } catch (ArithmeticException e) {
                throw damaged(file, what + " has no possible size (" + e.getMessage() + ")", e);
            }
            if (offsets[1] < offsets[0] || offsets[1] - offsets[0] != needed) {
                throw damaged(
                        file,
                        what + " needs " + needed + " bytes, but its data_offsets are " + offsets[0] + " and "
                                + offsets[1],
                        null);
            }
        }

        private Dtype dtype(String name) throws IOException {
            expect(JsonToken.VALUE_STRING, "dtype of tensor " + name);
            String text = parser.getText();
            return Dtype.named(text)
                    .orElseThrow(() -> damaged(
                            file,
                            "tensor " + name + " has the unknown dtype \"" + text + "\", expected one of "
                                    + Arrays.toString(Dtype.values()),
                            null));
        }

        private long[] numbers(String what) throws IOException {
            expect(JsonToken.START_ARRAY, what);
            long[] numbers = new long[4];
            int count = 0;
            while (parser.nextToken() != JsonToken.END_ARRAY) {
                // A number beyond 63 bits fails in getLongValue.
                if (parser.currentToken() != JsonToken.VALUE_NUMBER_INT || parser.getLongValue() < 0) {
                    throw damaged(file, what + " holds " + parser.getText() + ", expected integers from 0 up", null);
                }
                if (count == numbers.length) {
                    numbers = Arrays.copyOf(numbers, 2 * count);
                }
                numbers[count++] = parser.getLongValue();
            }
            return Arrays.copyOf(numbers, count);
        }

        private String name() throws IOException {
            return wellFormed(parser.currentName());
        }

        /** JSON can spell half of a surrogate pair, which is no character and cannot be written again. */
        private String wellFormed(String text) {
            for (int i = 0; i < text.length(); i++) {
                if (Character.isSurrogate(text.charAt(i))) {
                    if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
                        throw damaged(file, "its header holds half of a surrogate pair", null);
                    }
                    return text;
                }
            }
            return text;
        }

        private void expect(JsonToken token, String what) throws IOException {
            JsonToken found = parser.nextToken();
            if (found != token) {
                throw damaged(file, what + " is " + found + " in its JSON, expected " + token, null);
            }
        }
    }
}
