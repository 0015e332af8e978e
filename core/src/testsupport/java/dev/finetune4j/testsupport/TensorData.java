package dev.finetune4j.testsupport;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The values of tensors, and how close they are to what was expected. */
public final class TensorData {
    private TensorData() {}

    /** The raw bytes of a tensor, whatever its type. */
    public static byte[] bytes(Tensor tensor) {
        if (tensor.numel() == 0) {
            return new byte[0];
        }
        long[] values = Tensors.toLongs(tensor.contiguous().view(-1).view(ScalarType.Byte));
        byte[] bytes = new byte[values.length];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) values[i];
        }
        return bytes;
    }

    /** A tensor of a file, as float32. */
    public static float[] floats(SafetensorsFile file, String name) {
        try (Tensor tensor = file.read(name)) {
            return Tensors.toFloats(tensor);
        }
    }

    /** A tensor of a file, as whole numbers. */
    public static long[] longs(SafetensorsFile file, String name) {
        try (Tensor tensor = file.read(name)) {
            return Tensors.toLongs(tensor);
        }
    }

    /** The largest difference over the largest size of the expected values; NaN if a value is no number. */
    public static double relativeError(float[] expected, float[] actual) {
        if (expected.length != actual.length) {
            throw new AssertionError("expected " + expected.length + " values, got " + actual.length);
        }
        double difference = 0;
        double size = 0;
        for (int i = 0; i < expected.length; i++) {
            difference = Math.max(difference, Math.abs((double) expected[i] - actual[i]));
            size = Math.max(size, Math.abs((double) expected[i]));
        }
        return Double.isNaN(difference) || size == 0 ? difference : difference / size;
    }

    /** That the {@linkplain #relativeError relative error} is at most the tolerance. */
    public static void assertClose(String what, float[] expected, float[] actual, double tolerance) {
        double error = relativeError(expected, actual);
        assertTrue(error <= tolerance, what + ": relative error " + error + ", allowed " + tolerance);
    }
}
