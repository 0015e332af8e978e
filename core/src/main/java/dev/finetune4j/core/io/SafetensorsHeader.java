package dev.finetune4j.core.io;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeType;
import com.fasterxml.jackson.databind.node.MissingNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.json.JsonReader;
import dev.finetune4j.core.json.JsonSyntaxException;
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
import java.util.Objects;
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

    /**
     * Parses and checks a header.
     *
     * @param file for messages
     * @param json the header's bytes with their padding
     * @param dataBytes how many bytes follow the header
     * @throws ModelFileException when something is wrong with it
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
        try (Reader text = new InputStreamReader(bytes, StandardCharsets.UTF_8.newDecoder())) {
            SafetensorsHeader header = new Parsing(file, new JsonReader(text)).header();
            header.checkLayout(file, dataBytes);
            return header;
        } catch (CharacterCodingException e) {
            throw damaged(file, "its header is no valid UTF-8", e);
        } catch (JsonSyntaxException e) {
            throw damaged(file, "its header is no valid JSON (" + e.place() + ": " + e.getMessage() + ")", e);
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

    static ModelFileException damaged(Path file, String problem, @Nullable Throwable cause) {
        String message = file + " is no intact safetensors file: " + problem + "; fetch or write the file again";
        return cause == null ? new ModelFileException(message) : new ModelFileException(message, cause);
    }

    /** One pass over the fields of a header. */
    private static final class Parsing {
        private final Path file;
        private final JsonReader json;
        private final Map<String, TensorInfo> tensors = new LinkedHashMap<>();
        private final Map<String, String> metadata = new LinkedHashMap<>();

        Parsing(Path file, JsonReader json) {
            this.file = file;
            this.json = json;
        }

        SafetensorsHeader header() throws IOException {
            boolean described = false;
            json.enterObject();
            for (String name = json.nextName(); name != null; name = json.nextName()) {
                JsonNode value = Objects.requireNonNullElse(json.next(), MissingNode.getInstance());
                boolean twice = described;
                if (name.equals(METADATA)) {
                    described = true;
                    readMetadata(value);
                } else {
                    twice = tensors.put(wellFormed(name), tensor(name, value)) != null;
                }
                if (twice) {
                    throw damaged(file, "the name \"" + name + "\" stands twice in its header", null);
                }
            }
            if (json.hasMore()) {
                throw damaged(file, "something follows the JSON object of its header", null);
            }
            return new SafetensorsHeader(Collections.unmodifiableMap(tensors), Collections.unmodifiableMap(metadata));
        }

        private void readMetadata(JsonNode fields) {
            expect(fields, JsonNodeType.OBJECT, METADATA);
            fields.properties().forEach(field -> {
                expect(field.getValue(), JsonNodeType.STRING, METADATA + "." + field.getKey());
                metadata.put(
                        wellFormed(field.getKey()), wellFormed(field.getValue().textValue()));
            });
        }

        private TensorInfo tensor(String name, JsonNode fields) {
            expect(fields, JsonNodeType.OBJECT, "tensor " + name);
            if (!fields.has("dtype")
                    || !fields.has("shape")
                    || fields.path("data_offsets").size() != 2) {
                throw damaged(file, "tensor " + name + " needs dtype, shape and data_offsets with two numbers", null);
            }
            Dtype dtype = dtype(name, fields.path("dtype"));
            long[] shape = numbers("the shape of tensor " + name, fields.path("shape"));
            long[] offsets = numbers("data_offsets of tensor " + name, fields.path("data_offsets"));
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

        private Dtype dtype(String name, JsonNode value) {
            expect(value, JsonNodeType.STRING, "dtype of tensor " + name);
            return Dtype.named(value.textValue())
                    .orElseThrow(() -> damaged(
                            file,
                            "tensor " + name + " has the unknown dtype " + value + ", expected one of "
                                    + Arrays.toString(Dtype.values()),
                            null));
        }

        private long[] numbers(String what, JsonNode values) {
            expect(values, JsonNodeType.ARRAY, what);
            long[] numbers = new long[values.size()];
            for (int i = 0; i < numbers.length; i++) {
                JsonNode value = values.path(i);
                if (!value.isIntegralNumber() || !value.canConvertToLong() || value.longValue() < 0) {
                    throw damaged(file, what + " holds " + value + ", expected integers from 0 up to 63 bits", null);
                }
                numbers[i] = value.longValue();
            }
            return numbers;
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

        private void expect(JsonNode value, JsonNodeType type, String what) {
            if (value.getNodeType() != type) {
                throw damaged(file, what + " is " + value.getNodeType() + " in its JSON, expected " + type, null);
            }
        }
    }
}
