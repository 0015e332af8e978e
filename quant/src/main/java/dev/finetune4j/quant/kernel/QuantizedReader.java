package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantType;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Reads one quantized weight from a checkpoint and checks that its tensors belong together. */
final class QuantizedReader {
    static final String ABSMAX = ".absmax";
    static final String QUANT_MAP = ".quant_map";
    static final String NESTED_ABSMAX = ".nested_absmax";
    static final String NESTED_QUANT_MAP = ".nested_quant_map";

    private final WeightSource weights;
    private final String name;
    private final ComputeDevice device;

    QuantizedReader(WeightSource weights, String name, ComputeDevice device) {
        this.weights = weights;
        this.name = name;
        this.device = device;
    }

    QuantizedTensor read(QuantKernels kernels) {
        try (TensorScope scope = new TensorScope()) {
            QuantState state = state();
            requireCodeTable(state.settings().type());
            long elements = state.elements();
            long blocks = ceilDiv(elements, state.settings().blockSize());
            List<Tensor> owned = new ArrayList<>();
            owned.add(own(packed(ceilDiv(elements, 2))));
            BlockScales scales;
            if (state.settings().doubleQuantization()) {
                owned.add(own(vector(ABSMAX, ScalarType.Byte, blocks)));
                owned.add(own(finite(NESTED_QUANT_MAP, 256)));
                owned.add(own(finite(NESTED_ABSMAX, ceilDiv(blocks, DynamicCodebook.BLOCK_SIZE))));
                scales = new BlockScales.Nested(owned.get(1), owned.get(2), owned.get(3), state.offset());
            } else {
                owned.add(own(finite(ABSMAX, blocks)));
                scales = new BlockScales.Plain(owned.get(1));
            }
            owned.forEach(scope::release);
            return new QuantizedTensor(kernels, state, owned.get(0), scales);
        }
    }

    private QuantState state() {
        for (QuantType type : QuantType.values()) {
            String tensor = QuantState.nameFor(name, type);
            if (weights.names().contains(tensor)) {
                Tensor stored = weights.read(tensor);
                if (stored.scalar_type().intern() != ScalarType.Byte) {
                    throw damaged(tensor, "has the type " + stored.scalar_type().intern() + ", expected uint8");
                }
                long[] codes = Tensors.toLongs(stored);
                byte[] json = new byte[codes.length];
                for (int i = 0; i < json.length; i++) {
                    json[i] = (byte) codes[i];
                }
                return QuantState.parse(json, tensor, type);
            }
        }
        throw new ModelFileException("the weight " + name + " has no quantization state: tensor "
                + QuantState.nameFor(name, QuantType.NF4) + " (or …fp4) is missing; read it as a dense weight");
    }

    /** The codes as bytes, in whatever type their storage is declared. */
    private Tensor packed(long bytes) {
        Tensor stored = stored("").contiguous().view(-1);
        long found = stored.nbytes();
        if (found != bytes) {
            throw damaged(name, "holds " + found + " bytes of codes, but its quantization state asks for " + bytes);
        }
        return stored.view(ScalarType.Byte).view(-1, 1);
    }

    private void requireCodeTable(QuantType type) {
        float[] expected = FourBitCodebook.of(type).table();
        float[] found = Tensors.toFloats(vector(QUANT_MAP, ScalarType.Float, expected.length));
        for (int i = 0; i < expected.length; i++) {
            if (found[i] != expected[i]) {
                throw damaged(
                        name + QUANT_MAP,
                        "has " + found[i] + " for code " + i + ", but " + type.label() + " has " + expected[i]);
            }
        }
    }

    private Tensor finite(String suffix, long length) {
        Tensor vector = vector(suffix, ScalarType.Float, length);
        if (!vector.isfinite().all().item_bool()) {
            throw damaged(name + suffix, "holds a NaN or an infinity, expected finite scales");
        }
        return vector;
    }

    private Tensor vector(String suffix, ScalarType type, long length) {
        Tensor stored = stored(suffix);
        if (stored.scalar_type().intern() != type || stored.numel() != length) {
            throw damaged(
                    name + suffix,
                    "has " + stored.numel() + " elements of type "
                            + stored.scalar_type().intern() + ", but the quantization state asks for " + length
                            + " of type " + type);
        }
        return stored.contiguous().view(-1);
    }

    private Tensor stored(String suffix) {
        if (!weights.names().contains(name + suffix)) {
            throw damaged(name + suffix, "is missing");
        }
        return weights.read(name + suffix);
    }

    /** A copy on the device that shares no memory with the file. */
    private Tensor own(Tensor stored) {
        return stored.to(
                Tensors.handleOf(device), stored.scalar_type().intern(), false, true, new MemoryFormatOptional());
    }

    private static long ceilDiv(long dividend, long divisor) {
        return (dividend + divisor - 1) / divisor;
    }

    private static ModelFileException damaged(String tensor, String problem) {
        return new ModelFileException("tensor " + tensor + " " + problem
                + "; the 4-bit checkpoint is damaged or incomplete: fetch it again, or use the unquantized model");
    }
}
