package dev.finetune4j.quant.kernel;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.json.JsonReader;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import java.io.IOException;
import java.io.StringReader;
import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The JSON text that bitsandbytes stores beside the codes of a weight, under the name
 * {@code <weight>.quant_state.bitsandbytes__<type>}.
 *
 * @param settings type, block size and whether the scales are quantized
 * @param dtype the type that the weight had
 * @param shape the shape that the weight had
 * @param offset what was subtracted from the scales before they were quantized; 0 when they were not
 */
record QuantState(QuantSettings settings, ScalarType dtype, long[] shape, float offset) {
    private static final String MARK = ".quant_state.bitsandbytes__";
    private static final Map<String, ScalarType> DTYPES =
            Map.of("float32", ScalarType.Float, "bfloat16", ScalarType.BFloat16, "float16", ScalarType.Half);

    /** The name of the tensor that holds the state of a weight. */
    static String nameFor(String weightName, QuantType type) {
        return weightName + MARK + type.label();
    }

    /** Whether a tensor of this name holds the state of a weight. */
    static boolean isName(String tensor) {
        return Arrays.stream(QuantType.values()).anyMatch(type -> tensor.endsWith(MARK + type.label()));
    }

    /** The number of weights. */
    long elements() {
        return Arrays.stream(shape).reduce(1, Math::multiplyExact);
    }

    /** The UTF-8 bytes of the JSON, spelled as Python's json module does. */
    byte[] toJson() {
        StringBuilder json = new StringBuilder("{\"quant_type\": \"")
                .append(settings.type().label())
                .append("\", \"blocksize\": ")
                .append(settings.blockSize())
                .append(", \"dtype\": \"")
                .append(dtypeName(dtype))
                .append("\", \"shape\": ")
                .append(Arrays.toString(shape));
        if (settings.doubleQuantization()) {
            json.append(", \"nested_blocksize\": ")
                    .append(DynamicCodebook.BLOCK_SIZE)
                    .append(", \"nested_dtype\": \"float32\", \"nested_offset\": ")
                    .append(pythonNumber(offset));
        }
        return json.append('}').toString().getBytes(StandardCharsets.UTF_8);
    }

    /**
     * Reads the JSON.
     *
     * @param tensor the name of the tensor that holds it, for messages
     * @param type the type that the tensor's name ends with
     * @throws ModelFileException when a field is missing, contradicts the tensor's name, or has a value that cannot be
     */
    static QuantState parse(byte[] json, String tensor, QuantType type) {
        JsonNode root;
        try {
            root = new JsonReader(new StringReader(new String(json, StandardCharsets.UTF_8))).next();
        } catch (IOException e) {
            throw damaged(tensor, "is not JSON: " + e.getMessage(), e);
        }
        if (root == null || !root.isObject()) {
            throw damaged(tensor, "is not a JSON object", null);
        }
        String label = text(root, "quant_type", tensor);
        if (!label.equals(type.label())) {
            throw damaged(tensor, "says quant_type \"" + label + "\", but its name says " + type.label(), null);
        }
        JsonNode block = root.path("blocksize");
        if (!block.isIntegralNumber() || !QuantSettings.isBlockSize(block.asLong())) {
            throw damaged(tensor, "says blocksize " + block + ", expected a power of two from 32 to 4096", null);
        }
        boolean nested = root.hasNonNull("nested_blocksize") || root.hasNonNull("nested_offset");
        float offset = nested ? offset(root, tensor) : 0;
        QuantSettings settings = new QuantSettings(type, block.asInt(), nested);
        return new QuantState(settings, dtype(root, tensor), shape(root, tensor), offset);
    }

    private static float offset(JsonNode root, String tensor) {
        JsonNode size = root.path("nested_blocksize");
        if (!size.isIntegralNumber() || size.asLong() != DynamicCodebook.BLOCK_SIZE) {
            throw damaged(tensor, "says nested_blocksize " + size + ", expected 256", null);
        }
        JsonNode type = root.path("nested_dtype");
        if (!type.isMissingNode() && !type.asText().equals("float32")) {
            throw damaged(tensor, "says nested_dtype " + type + ", expected \"float32\"", null);
        }
        JsonNode offset = root.path("nested_offset");
        float value = (float) offset.asDouble();
        if (!offset.isNumber() || !Float.isFinite(value)) {
            throw damaged(tensor, "says nested_offset " + offset + ", expected a finite number", null);
        }
        return value;
    }

    private static ScalarType dtype(JsonNode root, String tensor) {
        String name = text(root, "dtype", tensor);
        ScalarType type = DTYPES.get(name);
        if (type == null) {
            throw damaged(tensor, "says dtype \"" + name + "\", expected float32, bfloat16 or float16", null);
        }
        return type;
    }

    private static long[] shape(JsonNode root, String tensor) {
        JsonNode node = root.path("shape");
        long[] shape = new long[node.size()];
        boolean good = node.isArray() && shape.length > 0;
        double elements = 1;
        for (int i = 0; i < shape.length && good; i++) {
            JsonNode extent = node.get(i);
            good = extent != null && extent.isIntegralNumber() && extent.canConvertToLong() && extent.asLong() > 0;
            shape[i] = good ? extent.asLong() : 0;
            elements *= shape[i];
        }
        if (!good || elements > Long.MAX_VALUE / 4.0) {
            throw damaged(tensor, "says shape " + node + ", expected a list of positive whole numbers", null);
        }
        return shape;
    }

    private static String text(JsonNode root, String field, String tensor) {
        JsonNode value = root.path(field);
        if (!value.isTextual()) {
            throw damaged(tensor, "has no text field \"" + field + "\"", null);
        }
        return value.asText();
    }

    static String dtypeName(ScalarType type) {
        return DTYPES.entrySet().stream()
                .filter(entry -> entry.getValue() == type)
                .map(Map.Entry::getKey)
                .collect(Collectors.joining());
    }

    static boolean holds(ScalarType type) {
        return DTYPES.containsValue(type);
    }

    /**
     * The shortest decimal number that reads back as the same double, with an exponent below 10<sup>-4</sup> and from
     * 10<sup>16</sup> on, as Python writes it. {@link Double#toString} of Java 17 is not always the shortest.
     */
    static String pythonNumber(double value) {
        if (value == 0) {
            return 1 / value < 0 ? "-0.0" : "0.0";
        }
        BigDecimal shortest = new BigDecimal(value);
        for (int digits = 1; digits <= 17; digits++) {
            BigDecimal rounded = new BigDecimal(value).round(new MathContext(digits, RoundingMode.HALF_EVEN));
            if (rounded.doubleValue() == value) {
                shortest = rounded.stripTrailingZeros();
                break;
            }
        }
        int exponent = shortest.precision() - shortest.scale() - 1;
        if (exponent >= -4 && exponent < 16) {
            String plain = shortest.toPlainString();
            return plain.indexOf('.') >= 0 ? plain : plain + ".0";
        }
        String digits = shortest.unscaledValue().abs().toString();
        String fraction = digits.length() > 1 ? "." + digits.substring(1) : "";
        String sign = exponent < 0 ? "-" : "+";
        String power = Math.abs(exponent) < 10 ? "0" + Math.abs(exponent) : Integer.toString(Math.abs(exponent));
        return (value < 0 ? "-" : "") + digits.charAt(0) + fraction + "e" + sign + power;
    }

    private static ModelFileException damaged(String tensor, String problem, @Nullable Throwable cause) {
        String message = "the quantization state in tensor " + tensor + " " + problem
                + "; the checkpoint is damaged or of an unknown kind: fetch it again, or use the unquantized model";
        return cause == null ? new ModelFileException(message) : new ModelFileException(message, cause);
    }
}
