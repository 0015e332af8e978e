package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.ElementKernels;
import dev.finetune4j.core.kernel.cpu.TokenKernels;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** On the CPU, row by row. */
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

    @Override
    public void embed(DecodeBuffers buffers, Tensor table) {
        for (int row = 0; row < buffers.rows(); row++) {
            one(buffers.state(), row)
                    .copy_(table.narrow(0, buffers.input().row(row).token(), 1));
        }
    }

    @Override
    public void norm(DecodeBuffers buffers, NormSpec norm) {
        elements.rmsForward(
                buffers.state(), norm.weight(), buffers.normed(), null, (float) norm.epsilon(), norm.unitOffset());
    }

    @Override
    public void attend(DecodeBuffers buffers, DecodeWorkspace workspace, int layer, AttentionSpec attention) {
        for (int index = 0; index < buffers.rows(); index++) {
            DecodeRow row = buffers.input().row(index);
            KeyValueMemory memory = row.memory();
            if (memory != null) {
                tokens.attend(
                        one(buffers.qkv(), index),
                        one(memory.keys(layer), row.sequence()),
                        one(memory.values(layer), row.sequence()),
                        row.position(),
                        workspace.cos(),
                        workspace.sin(),
                        (float) attention.scale(),
                        workspace.partial(),
                        one(buffers.mixed(), index));
            }
        }
    }

    /** The part of a row or of a sequence. */
    private static Tensor one(Tensor all, long index) {
        return all.size(0) == 1 ? all : all.narrow(0, index, 1);
    }
}
