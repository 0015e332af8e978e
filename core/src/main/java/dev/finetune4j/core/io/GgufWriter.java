package dev.finetune4j.core.io;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Writes <a href="https://github.com/ggml-org/ggml/blob/master/docs/gguf.md">GGUF</a> files, version 3: metadata, then tensors,
 * of which one part at a time is in memory. A file appears under its name complete or not at all, and has reached the disk then.
 */
public final class GgufWriter {
    private static final int MAGIC = 0x46554747; // "GGUF"
    private static final int VERSION = 3;
    private static final int ALIGNMENT = 32;
    /** Numbers that are converted at a time; whole blocks of any format. */
    private static final long CHUNK = 1 << 22;

    private static final float HALF_MAX = 65_504;

    private GgufWriter() {}

    /**
     * Writes a file.
     *
     * @param file in a folder that exists; a GGUF file that is there is replaced, or stays when writing fails
     * @throws FineTune4jException when the file cannot be written, or is there and no GGUF file
     */
    public static void write(Path file, GgufMetadata metadata, List<GgufTensor> tensors) {
        TorchRuntime.start();
        try {
            requireReplaceable(file);
            try (AtomicFile out = AtomicFile.create(file)) {
                byte[] start = start(metadata, tensors);
                out.output().write(ByteBuffer.wrap(start));
                long position = pad(out.output(), start.length);
                for (GgufTensor tensor : tensors) {
                    write(out.output(), tensor);
                    position = pad(out.output(), position + tensor.bytes());
                }
                out.commit();
            }
        } catch (IOException e) {
            throw SafetensorsWriter.failed(file, e);
        }
    }

    private static void requireReplaceable(Path file) throws IOException {
        if (!Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        if (!Files.isRegularFile(file)) {
            throw new IOException("it is there and no file");
        }
        try (var in = Files.newInputStream(file)) {
            byte[] begin = in.readNBytes(Integer.BYTES);
            if (begin.length < Integer.BYTES
                    || ByteBuffer.wrap(begin).order(ByteOrder.LITTLE_ENDIAN).getInt() != MAGIC) {
                throw new IOException("it is there and no GGUF file, so it may be needed; delete it yourself");
            }
        }
    }

    private static byte[] start(GgufMetadata metadata, List<GgufTensor> tensors) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.writeBytes(buffer(24)
                .putInt(MAGIC)
                .putInt(VERSION)
                .putLong(tensors.size())
                .putLong(metadata.size())
                .array());
        bytes.writeBytes(metadata.bytes());
        long offset = 0;
        for (GgufTensor tensor : tensors) {
            bytes.writeBytes(GgufMetadata.string(tensor.name()));
            long[] shape = tensor.shape();
            bytes.writeBytes(buffer(Integer.BYTES).putInt(shape.length).array());
            for (int i = shape.length - 1; i >= 0; i--) {
                bytes.writeBytes(buffer(Long.BYTES).putLong(shape[i]).array()); // innermost first
            }
            bytes.writeBytes(buffer(Integer.BYTES + Long.BYTES)
                    .putInt(tensor.type().id())
                    .putLong(offset)
                    .array());
            offset = aligned(offset + tensor.bytes());
        }
        return bytes.toByteArray();
    }

    private static long aligned(long position) {
        return (position + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }

    private static long pad(Disk.Output out, long position) throws IOException {
        long end = aligned(position);
        out.write(ByteBuffer.allocate((int) (end - position)));
        return end;
    }

    private static void write(Disk.Output out, GgufTensor tensor) throws IOException {
        for (LazyTensor values : tensor.parts()) {
            try (TensorScope scope = new TensorScope()) {
                Tensor numbers = values.materialize(tensor.name()).flatten();
                for (long from = 0; from < numbers.numel(); from += CHUNK) {
                    try (TensorScope temporary = new TensorScope()) {
                        Tensor part = numbers.narrow(0, from, Math.min(CHUNK, numbers.numel() - from));
                        out.write(converted(tensor, part));
                    }
                }
            }
        }
    }

    private static ByteBuffer converted(GgufTensor tensor, Tensor part) throws IOException {
        return switch (tensor.type()) {
            case F32 -> bytes(part, Float.BYTES);
            case BF16 -> bytes(Tensors.as(part, ScalarType.BFloat16), Short.BYTES);
            case F16 -> {
                requireHalf(tensor.name(), part);
                yield bytes(Tensors.as(part, ScalarType.Half), Short.BYTES);
            }
            case Q8_0 ->
                Q8Blocks.of(
                        bytes(part, Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer());
        };
    }

    private static void requireHalf(String name, Tensor part) throws IOException {
        float largest = part.abs().max().item_float();
        if (largest > HALF_MAX) {
            throw new IOException("the tensor " + name + " holds " + largest + ", more than F16 can; use BF16");
        }
    }

    private static ByteBuffer bytes(Tensor tensor, int each) {
        return new TensorBytes(tensor).view(0, (int) tensor.numel() * each);
    }

    private static ByteBuffer buffer(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Numbers as blocks of {@link GgmlType#Q8_0}, rounded as llama.cpp does. */
    private static final class Q8Blocks {
        private static final int BLOCK = 32;
        private static final int LARGEST = 127;

        private Q8Blocks() {}

        static ByteBuffer of(FloatBuffer numbers) {
            int blocks = numbers.remaining() / BLOCK;
            ByteBuffer out = buffer(blocks * (Short.BYTES + BLOCK));
            float[] block = new float[BLOCK];
            byte[] codes = new byte[BLOCK];
            for (int b = 0; b < blocks; b++) {
                numbers.get(block);
                float largest = 0;
                for (float x : block) {
                    largest = Math.max(largest, Math.abs(x));
                }
                float scale = largest / LARGEST;
                float inverse = scale == 0 ? 0 : 1 / scale;
                for (int i = 0; i < BLOCK; i++) {
                    codes[i] = (byte) awayFromZero(block[i] * inverse);
                }
                out.putShort(half(scale)).put(codes);
            }
            return out.flip();
        }

        /** The nearest whole number, of two equally near ones that away from zero. */
        private static int awayFromZero(float x) {
            float size = Math.abs(x);
            int whole = (int) size;
            int rounded = size - whole >= 0.5f ? whole + 1 : whole;
            return x < 0 ? -rounded : rounded;
        }

        /** A number of at least 0 in half precision, rounded to even; above the largest one infinite. */
        static short half(float x) {
            int bits = Float.floatToIntBits(x);
            int exponent = (bits >>> 23) - 112; // that of a half
            if (exponent >= 31) {
                return 0x7C00;
            }
            int significand = bits & 0x7FFFFF;
            int shift = 13;
            if (exponent <= 0) { // subnormal
                if (exponent < -10) {
                    return 0;
                }
                significand |= 0x800000;
                shift += 1 - exponent;
                exponent = 0;
            }
            int kept = (exponent << 10) + (significand >>> shift);
            int rest = significand & ((1 << shift) - 1);
            int tie = 1 << (shift - 1);
            return (short) (rest > tie || (rest == tie && (kept & 1) == 1) ? kept + 1 : kept);
        }
    }
}
