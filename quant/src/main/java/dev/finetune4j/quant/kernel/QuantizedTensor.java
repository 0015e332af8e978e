package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.kernel.cpu.FourBitWeight;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A weight in 4-bit codes with one scale per block, in the layout of bitsandbytes
 * (<a href="https://arxiv.org/abs/2305.14314">QLoRA, Dettmers et al. 2023</a>, section 3).
 *
 * <pre>
 * weight, row by row      w0  w1  w2  w3 …                 n numbers
 * packed   uint8 (⌈n/2⌉,1)  [w0|w1] [w2|w3] …              first of a pair in the high four bits
 * absmax   float32        [ block 0: 64 weights ][ block 1 ] …  the largest |w| of each block; the last may be short
 *
 * with double quantization absmax is replaced by
 * absmax          uint8   one code per block               scale = map[code] * nested_absmax + offset
 * nested_absmax   float32 one per 256 blocks
 * offset          float32 the mean of all scales           (in the JSON of the quantization state)
 * </pre>
 *
 * <p>The number of a code times the scale of its block is the weight: {@code w ≈ table[code] * absmax}. Codes and
 * scales have the same bytes as those that bitsandbytes' CUDA kernels make of the same weight. For weights stored in
 * float32 that holds up to a rounding that a GPU does differently for an eighth of all scales; it changes about one
 * code in fifty million.
 *
 * <p>Reading is thread-safe; closing may not overlap with it.
 */
public final class QuantizedTensor implements AutoCloseable {
    private final QuantKernels kernels;
    private final QuantState state;
    private final Tensor packed;
    private final BlockScales scales;
    private final @Nullable QuantizedStack stack;
    private final int index;
    private volatile @Nullable FourBitWeight cpuCodes;
    private volatile @Nullable Tensor dense;
    private volatile boolean closed;

    /** Owns the tensors, which belong to no scope. */
    QuantizedTensor(QuantKernels kernels, QuantState state, Tensor packed, BlockScales scales) {
        this(kernels, state, packed, scales, null, 0);
    }

    /**
     * The same in a stack.
     *
     * @param stack told when this weight is closed
     * @param index among its weights
     */
    QuantizedTensor(
            QuantKernels kernels,
            QuantState state,
            Tensor packed,
            BlockScales scales,
            @Nullable QuantizedStack stack,
            int index) {
        this.stack = stack;
        this.index = index;
        this.kernels = kernels;
        this.state = state;
        this.packed = packed;
        this.scales = scales;
    }

    /**
     * Quantizes a weight on the device where it is.
     *
     * @param dense any shape but empty; float32, bfloat16 or float16. It is left as it is
     * @return a weight that the caller has to close
     * @throws IllegalArgumentException if the tensor has another type, no elements, or a number that is not finite
     */
    public static QuantizedTensor quantize(Tensor dense, QuantSettings settings) {
        return QuantKernels.forDevice(Tensors.deviceOf(dense)).quantize(dense, settings);
    }

    /** Whether the checkpoint holds the weight in 4-bit codes that {@link #read} can take. */
    public static boolean isStoredIn(WeightSource weights, String weightName) {
        for (QuantType type : QuantType.values()) {
            if (weights.names().contains(QuantState.nameFor(weightName, type))) {
                return true;
            }
        }
        return false;
    }

    /** Whether the checkpoint holds any weight in 4-bit codes. */
    static boolean isAnyStoredIn(WeightSource weights) {
        return weights.names().stream().anyMatch(QuantState::isName);
    }

    /**
     * Reads a weight that bitsandbytes or {@link #toCheckpoint} has written, to the CPU.
     *
     * @param weightName name of the tensor with the codes; its companions have this name with something behind it
     * @return a weight that the caller has to close
     * @throws ModelFileException if a tensor is missing, or if the tensors contradict each other; it names the tensor
     */
    public static QuantizedTensor read(WeightSource weights, String weightName) {
        return read(weights, weightName, ComputeDevice.cpu());
    }

    /** The same as {@link #read(WeightSource, String)}, to the given device. */
    public static QuantizedTensor read(WeightSource weights, String weightName, ComputeDevice device) {
        return new QuantizedReader(weights, weightName, device).read(QuantKernels.forDevice(device));
    }

    /**
     * The weight as ordinary numbers, rounded once to the given floating-point type; the caller's scope owns it.
     *
     * @throws IllegalStateException after closing
     */
    public Tensor dequantize(ScalarType type) {
        requireOpen();
        try (TensorScope scope = new TensorScope()) {
            Tensor out = Tensors.empty(device(), type, state.shape());
            kernels.dequantize(this, out);
            return scope.keep(out);
        }
    }

    /**
     * Writes the weight as ordinary numbers into memory that is there, rounded once to its type.
     *
     * @param out of the weight's shape and on its device, float32, bfloat16 or float16, contiguous
     * @throws IllegalArgumentException if it is something else; nothing is written then
     * @throws IllegalStateException after closing
     */
    public void dequantizeInto(Tensor out) {
        requireOpen();
        ScalarType type = Tensors.typeOf(out);
        boolean fits = Arrays.equals(out.shape(), state.shape())
                && (type == ScalarType.Float || type == ScalarType.BFloat16 || type == ScalarType.Half)
                && out.is_contiguous()
                && Tensors.deviceOf(out).equals(device());
        if (!fits) {
            throw new IllegalArgumentException("the weight has the shape " + Arrays.toString(state.shape()) + " on "
                    + device() + " and is written as float32, bfloat16 or float16, contiguous, but the output is "
                    + type + " of " + Arrays.toString(out.shape()) + " on " + Tensors.deviceOf(out)
                    + (out.is_contiguous() ? "" : " with gaps"));
        }
        kernels.dequantize(this, out);
    }

    /**
     * The tensors of a checkpoint that hold this weight, by name: codes, scales, tables and state. The
     * caller's scope owns them; they share memory with this weight and stay valid when it is closed.
     *
     * @throws IllegalStateException after closing
     */
    public Map<String, Tensor> toCheckpoint(String weightName) {
        requireOpen();
        Objects.requireNonNull(weightName, "weightName");
        ComputeDevice device = device();
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put(weightName, packed.detach());
        // Python's table has no negative zero.
        float[] table = FourBitCodebook.of(settings().type()).table();
        for (int i = 0; i < table.length; i++) {
            table[i] += 0f;
        }
        Tensor codeTable = Tensors.ofFloats(device, table, table.length);
        if (scales instanceof BlockScales.Nested nested) {
            tensors.put(weightName + QuantizedReader.ABSMAX, nested.codes().detach());
            tensors.put(weightName + QuantizedReader.QUANT_MAP, codeTable);
            tensors.put(
                    weightName + QuantizedReader.NESTED_ABSMAX, nested.absmax().detach());
            tensors.put(
                    weightName + QuantizedReader.NESTED_QUANT_MAP, nested.map().detach());
        } else if (scales instanceof BlockScales.Plain plain) {
            tensors.put(weightName + QuantizedReader.ABSMAX, plain.absmax().detach());
            tensors.put(weightName + QuantizedReader.QUANT_MAP, codeTable);
        }
        byte[] json = state.toJson();
        tensors.put(QuantState.nameFor(weightName, settings().type()), Tensors.ofBytes(device, json, json.length));
        return tensors;
    }

    /**
     * Lends a dense copy, which GPU kernels multiply by instead of making one each time; null takes it back.
     *
     * @param copy of the weight's shape and numbers, contiguous; stays its owner's
     */
    void lend(@Nullable Tensor copy) {
        dense = copy;
    }

    /** The weight in a type: the copy that was lent, or one that the caller's scope owns. */
    Tensor dense(ScalarType type) {
        @Nullable Tensor copy = dense;
        return copy != null && Tensors.typeOf(copy) == type.intern() ? copy : dequantize(type);
    }

    /** Whether a dense copy in a type was lent. */
    boolean isDense(ScalarType type) {
        @Nullable Tensor copy = dense;
        return copy != null && Tensors.typeOf(copy) == type.intern();
    }

    /** How it was quantized. */
    public QuantSettings settings() {
        return state.settings();
    }

    /** The shape of the weight. */
    public long[] shape() {
        return state.shape().clone();
    }

    /** The type that the weight had before it was quantized. */
    public ScalarType dtype() {
        return state.dtype();
    }

    /**
     * Where it lives.
     *
     * @throws IllegalStateException after closing
     */
    public ComputeDevice device() {
        return Tensors.deviceOf(packed());
    }

    /**
     * The bytes of memory that the codes and scales take.
     *
     * @throws IllegalStateException after closing
     */
    public long storedBytes() {
        return packed().nbytes() + scales.storedBytes();
    }

    Tensor packed() {
        requireOpen();
        return packed;
    }

    BlockScales scales() {
        requireOpen();
        return scales;
    }

    QuantKernels kernels() {
        return kernels;
    }

    QuantState state() {
        return state;
    }

    /** Where it lies behind others; null where it lies alone. */
    @Nullable
    QuantizedStack stack() {
        return stack;
    }

    /** Its place there. */
    int index() {
        return index;
    }

    /** How many weights there are. */
    long elements() {
        return state.elements();
    }

    /**
     * Where the parts are, for the kernels of the CPU; made once.
     *
     * @param make from the scales
     */
    FourBitWeight cpuCodes(Function<FourBitWeight.Scales, FourBitWeight> make) {
        requireOpen();
        @Nullable FourBitWeight known = cpuCodes;
        if (known == null) {
            known = make.apply(
                    scales instanceof BlockScales.Nested nested
                            ? new FourBitWeight.Scales(nested.absmax(), nested.codes(), nested.map(), nested.offset())
                            : new FourBitWeight.Scales(((BlockScales.Plain) scales).absmax(), null, null, 0));
            cpuCodes = known;
        }
        return known;
    }

    private void requireOpen() {
        if (closed) {
            throw new IllegalStateException("this quantized weight is closed; use it before its model is closed");
        }
    }

    /** Frees codes and scales. Closing twice is fine. */
    @Override
    public synchronized void close() {
        if (!closed) {
            closed = true;
            packed.close();
            scales.close();
            if (stack != null) {
                stack.release();
            }
        }
    }
}
