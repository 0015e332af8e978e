package dev.finetune4j.core.tensor;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.DeviceOptional;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Makes and converts tensors without the optional-value wrappers of the binding. Each result belongs to the innermost
 * open {@link TensorScope}.
 */
public final class Tensors {
    private static final long MAX_PINNED_BYTES = 1 << 20;

    private Tensors() {}

    /** An uninitialised tensor. */
    public static Tensor empty(ComputeDevice device, ScalarType type, long... shape) {
        return torch.empty(shape, options(device, type), new MemoryFormatOptional());
    }

    /** An uninitialised tensor of the shape, type and device of another, without gaps. */
    public static Tensor emptyLike(Tensor other) {
        return torch.empty(other.shape(), other.options(), new MemoryFormatOptional());
    }

    /** A tensor of zeros. */
    public static Tensor zeros(ComputeDevice device, ScalarType type, long... shape) {
        return torch.zeros(shape, options(device, type));
    }

    /** A tensor of ones. */
    public static Tensor ones(ComputeDevice device, ScalarType type, long... shape) {
        return torch.ones(shape, options(device, type));
    }

    /** An int64 tensor with the given values in row-major order. */
    public static Tensor ofLongs(ComputeDevice device, long[] values, long... shape) {
        Tensor tensor = empty(ComputeDevice.cpu(), ScalarType.Long, shape);
        requireLength(values.length, tensor);
        if (values.length > 0) {
            tensor.data_ptr_long().put(values, 0, values.length);
        }
        return on(device, tensor);
    }

    /** A float32 tensor with the given values in row-major order. */
    public static Tensor ofFloats(ComputeDevice device, float[] values, long... shape) {
        Tensor tensor = empty(ComputeDevice.cpu(), ScalarType.Float, shape);
        requireLength(values.length, tensor);
        if (values.length > 0) {
            tensor.data_ptr_float().put(values, 0, values.length);
        }
        return on(device, tensor);
    }

    /** A uint8 tensor with the given values. */
    public static Tensor ofBytes(ComputeDevice device, byte[] values, long... shape) {
        Tensor tensor = empty(ComputeDevice.cpu(), ScalarType.Byte, shape);
        requireLength(values.length, tensor);
        if (values.length > 0) {
            tensor.data_ptr_byte().put(values, 0, values.length);
        }
        return on(device, tensor);
    }

    /**
     * A float32 tensor of values drawn evenly from [-bound, bound). The numbers depend on the random source alone, not on
     * the device or the version of libtorch.
     */
    public static Tensor uniform(ComputeDevice device, SplittableRandom random, double bound, long... shape) {
        float[] values = new float[count(shape)];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) ((random.nextDouble() * 2 - 1) * bound);
        }
        return ofFloats(device, values, shape);
    }

    /** A float32 tensor of values from a normal distribution around 0, in the same way independent of device and version. */
    public static Tensor normal(ComputeDevice device, SplittableRandom random, double deviation, long... shape) {
        float[] values = new float[count(shape)];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (random.nextGaussian() * deviation);
        }
        return ofFloats(device, values, shape);
    }

    /** The values as float32 in row-major order, whatever the tensor's type and device. */
    public static float[] toFloats(Tensor tensor) {
        try (TensorScope scope = new TensorScope()) {
            Tensor host = tensor.detach().to(ScalarType.Float).cpu().contiguous();
            float[] values = new float[Math.toIntExact(host.numel())];
            if (values.length > 0) {
                FloatPointer data = host.data_ptr_float();
                data.get(values, 0, values.length);
            }
            return values;
        }
    }

    /** The values as int64 in row-major order, whatever the tensor's integer type and device. */
    public static long[] toLongs(Tensor tensor) {
        try (TensorScope scope = new TensorScope()) {
            Tensor host = tensor.detach().to(ScalarType.Long).cpu().contiguous();
            long[] values = new long[Math.toIntExact(host.numel())];
            if (values.length > 0) {
                LongPointer data = host.data_ptr_long();
                data.get(values, 0, values.length);
            }
            return values;
        }
    }

    /** The same tensor when it already is on the device in that type, otherwise a converted copy. */
    public static Tensor convert(Tensor tensor, ComputeDevice device, ScalarType type) {
        return tensor.to(handleOf(device), type);
    }

    /** The same tensor when it already has the type, otherwise a converted copy. */
    public static Tensor as(Tensor tensor, ScalarType type) {
        return typeOf(tensor) == type.intern() ? tensor : tensor.to(type);
    }

    /**
     * The number type of a tensor, as one of the enum's constants. The binding's own {@code scalar_type()} makes a new
     * object at each call, which is equal to no constant.
     */
    public static ScalarType typeOf(Tensor tensor) {
        return tensor.scalar_type().intern();
    }

    /** libtorch's type of a precision. */
    public static ScalarType typeOf(Precision precision) {
        return precision == Precision.FP32 ? ScalarType.Float : ScalarType.BFloat16;
    }

    /** A new native handle for a device. */
    public static Device handleOf(ComputeDevice device) {
        return device.kind() == ComputeDevice.Kind.CPU
                ? new Device(DeviceType.CPU)
                : new Device(DeviceType.CUDA, (byte) device.index());
    }

    /** The device that holds a tensor. */
    public static ComputeDevice deviceOf(Tensor tensor) {
        if (!tensor.is_cuda()) {
            return ComputeDevice.cpu();
        }
        try (TensorScope scope = new TensorScope()) {
            return ComputeDevice.cuda(tensor.device().index());
        }
    }

    /** A number as libtorch takes it. */
    public static Scalar scalar(double value) {
        return new Scalar(value);
    }

    /** Small tensors travel from pinned memory, so that nobody waits for what the GPU was asked before. */
    private static Tensor on(ComputeDevice device, Tensor host) {
        if (device.equals(deviceOf(host))) {
            return host;
        }
        boolean small = host.nbytes() > 0 && host.nbytes() <= MAX_PINNED_BYTES;
        return small
                ? host.pin_memory().to(handleOf(device), typeOf(host), true, false, new MemoryFormatOptional())
                : host.to(handleOf(device), typeOf(host));
    }

    private static TensorOptions options(ComputeDevice device, ScalarType type) {
        return new TensorOptions().dtype(new ScalarTypeOptional(type)).device(new DeviceOptional(handleOf(device)));
    }

    private static int count(long... shape) {
        long count = 1;
        for (long extent : shape) {
            count = Math.multiplyExact(count, extent);
        }
        return Math.toIntExact(count);
    }

    private static void requireLength(int length, Tensor tensor) {
        if (length != tensor.numel()) {
            throw new IllegalArgumentException(
                    length + " values do not fill a tensor of " + tensor.numel() + " elements");
        }
    }
}
