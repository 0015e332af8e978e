package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.ElementKernels;
import dev.finetune4j.core.kernel.cpu.TokenKernels;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** On the CPU, for one sequence. */
public final class CpuDecodeKernels implements DecodeKernels {
    private final ScalarType type;
    private final ElementKernels elements;
    private final TokenKernels tokens;

    CpuDecodeKernels(CpuKernels kernels, ScalarType type) {
        this.type = type;
        this.elements = kernels.elements();
        this.tokens = kernels.tokens();
    }

    @Override
    public ScalarType type() {
        return type;
    }

    @Override
    public DecodeWorkspace workspace(int rows, AttentionSpec attention, Tensor cos, Tensor sin) {
        long scores = TokenKernels.room(attention.heads(), attention.headDim(), cos.size(0));
        return new DecodeWorkspace(
                cos,
                sin,
                1,
                Tensors.empty(ComputeDevice.cpu(), ScalarType.Float, scores),
                Tensors.empty(ComputeDevice.cpu(), ScalarType.Float, 0),
                Tensors.empty(ComputeDevice.cpu(), ScalarType.Long, 0));
    }

    /** The position, at 0, or a row's token. */
    private static long step(DecodeBuffers buffers, int index) {
        try (LongPointer step = buffers.step().data_ptr_long()) {
            return step.get(index);
        }
    }

    @Override
    public void embed(DecodeBuffers buffers, Tensor table) {
        buffers.state().copy_(table.narrow(0, step(buffers, 1), 1));
    }

    @Override
    public void norm(DecodeBuffers buffers, NormSpec norm) {
        elements.rmsForward(
                buffers.state(), norm.weight(), buffers.normed(), null, (float) norm.epsilon(), norm.unitOffset());
    }

    @Override
    public void attend(
            DecodeBuffers buffers, DecodeWorkspace workspace, Tensor keys, Tensor values, AttentionSpec attention) {
        tokens.attend(
                buffers.qkv(),
                keys,
                values,
                step(buffers, 0),
                workspace.cos(),
                workspace.sin(),
                (float) attention.scale(),
                workspace.partial(),
                buffers.mixed());
    }
}
