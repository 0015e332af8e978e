package dev.finetune4j.quant.kernel;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.Dtype;
import dev.finetune4j.core.io.TensorInfo;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The tensors of a safetensors file, or made by a test, as raw bytes: independent of the library's reader. */
final class StoredTensors implements WeightSource {
    record Stored(ScalarType type, long[] shape, byte[] bytes) {}

    private static final Map<String, ScalarType> TYPES =
            Map.of("F32", ScalarType.Float, "BF16", ScalarType.BFloat16, "U8", ScalarType.Byte);

    final Map<String, Stored> tensors = new TreeMap<>();

    static StoredTensors resource(String name) {
        return file(TestData.resource(name));
    }

    /** A file below the shared reference folder. */
    static StoredTensors shared(String name) {
        return file(Needs.shared("fixtures/reference/" + name));
    }

    private static StoredTensors file(Path path) {
        try {
            return parse(Files.readAllBytes(path));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static StoredTensors parse(byte[] file) throws IOException {
        int header = (int) ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).getLong();
        JsonNode root = new ObjectMapper().readTree(new String(file, 8, header, StandardCharsets.UTF_8));
        StoredTensors result = new StoredTensors();
        root.properties().forEach(entry -> {
            JsonNode info = entry.getValue();
            if (info.has("dtype")) {
                long[] shape = new long[info.get("shape").size()];
                Arrays.setAll(shape, i -> info.get("shape").get(i).asLong());
                int from = 8 + header + info.get("data_offsets").get(0).asInt();
                int to = 8 + header + info.get("data_offsets").get(1).asInt();
                result.tensors.put(
                        entry.getKey(),
                        new Stored(TYPES.get(info.get("dtype").asText()), shape, Arrays.copyOfRange(file, from, to)));
            }
        });
        return result;
    }

    StoredTensors put(String name, Tensor tensor) {
        tensors.put(name, new Stored(tensor.scalar_type().intern(), tensor.shape(), TensorData.bytes(tensor)));
        return this;
    }

    StoredTensors putAll(Map<String, Tensor> all) {
        all.forEach(this::put);
        return this;
    }

    byte[] bytes(String name) {
        return tensors.get(name).bytes();
    }

    float[] floats(String name) {
        byte[] bytes = bytes(name);
        float[] values = new float[bytes.length / 4];
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
        return values;
    }

    @Override
    public Set<String> names() {
        return tensors.keySet();
    }

    @Override
    public TensorInfo info(String name) {
        Stored stored = tensors.get(name);
        return new TensorInfo(name, Dtype.of(stored.type()).orElseThrow(), stored.shape(), 0, stored.bytes().length);
    }

    @Override
    public Tensor read(String name) {
        Stored stored = tensors.get(name);
        Tensor tensor = Tensors.empty(ComputeDevice.cpu(), stored.type(), stored.shape());
        if (stored.bytes().length > 0) {
            new BytePointer(tensor.data_ptr()).put(stored.bytes(), 0, stored.bytes().length);
        }
        return tensor;
    }

    @Override
    public void close() {
        tensors.clear();
    }
}
