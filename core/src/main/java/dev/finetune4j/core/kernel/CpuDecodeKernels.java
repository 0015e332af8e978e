package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.ElementKernels;
import dev.finetune4j.core.kernel.cpu.TokenKernels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

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
    public DecodeWorkspace workspace(int rows, AttentionSpec attention, List<DecodeWorkspace.Angles> angles) {
        long capacity = angles.get(0).cos().size(0);
        return new DecodeWorkspace(
                angles,
                1,
                Tensors.empty(
                        ComputeDevice.cpu(),
                        ScalarType.Float,
                        TokenKernels.room(attention.heads(), attention.headDim(), capacity)),
                Tensors.empty(ComputeDevice.cpu(), ScalarType.Float, 0),
                Tensors.empty(ComputeDevice.cpu(), ScalarType.Long, 0));
    }

    @Override
    public void embed(DecodeBuffers buffers, Tensor table, float scale) {
        for (int row = 0; row < buffers.rows(); row++) {
            one(buffers.state(), row)
                    .copy_(table.narrow(0, buffers.input().row(row).token(), 1));
        }
        if (scale != 1) {
            buffers.state().mul_(Tensors.scalar(scale));
        }
    }

    @Override
    public void norm(DecodeBuffers buffers, @Nullable NormSpec after, @Nullable NormSpec norm) {
        if (after != null) {
            normalize(buffers.normed(), after, buffers.normed());
            buffers.state().add_(buffers.normed());
        }
        if (norm == null) {
            buffers.normed().copy_(buffers.state());
        } else {
            normalize(buffers.state(), norm, buffers.normed());
        }
    }

    /** @param y may be x */
    private void normalize(Tensor x, NormSpec norm, Tensor y) {
        float epsilon = (float) norm.epsilon();
        if (norm.centered() || norm.weight().dim() > 1) {
            try (TensorScope scope = new TensorScope()) {
                y.copy_(norm.apply(x));
            }
            return;
        }
        if (Tensors.typeOf(norm.weight()) == type) {
            elements.rmsForward(x, norm.weight(), y, null, epsilon, norm.unitOffset());
            return;
        }
        // A weight that was trained in float32, beside activations in bfloat16.
        try (TensorScope scope = new TensorScope()) {
            if (norm.unitOffset()) {
                Tensor wide = x.to(ScalarType.Float);
                elements.rmsForward(wide, norm.weight(), wide, null, epsilon, true);
                y.copy_(wide);
            } else {
                elements.rmsForward(x, Tensors.as(norm.weight(), type), y, null, epsilon, false);
            }
        }
    }

    @Override
    public void attend(DecodeBuffers buffers, DecodeWorkspace workspace, int layer, DecodeAttention attention) {
        AttentionSpec shape = attention.shape();
        DecodeWorkspace.Angles angles = workspace.angles().get(attention.angles());
        for (int index = 0; index < buffers.rows(); index++) {
            DecodeRow row = buffers.input().row(index);
            KeyValueMemory memory = row.memory();
            if (memory != null) {
                Tensor qkv = one(buffers.qkv(), index);
                normalizeHeads(qkv, 0, shape.heads(), shape, attention.queryNorm());
                normalizeHeads(qkv, shape.heads(), shape.kvHeads(), shape, attention.keyNorm());
                tokens.attend(
                        qkv,
                        one(memory.keys(layer), row.sequence()),
                        one(memory.values(layer), row.sequence()),
                        row.position(),
                        angles.cos(),
                        angles.sin(),
                        angles.interleaved(),
                        new TokenKernels.Scores((float) shape.scale(), (float) shape.softCap(), shape.window()),
                        workspace.partial(),
                        one(buffers.mixed(), index));
            }
        }
    }

    @Override
    public void attendInOrder(DecodeBuffers buffers, DecodeWorkspace workspace, int layer, DecodeAttention attention) {
        attend(buffers, workspace, layer, attention);
    }

    /** Each head alone or all together, as the norm has weights. */
    private void normalizeHeads(Tensor qkv, long first, long count, AttentionSpec shape, @Nullable NormSpec norm) {
        if (norm != null) {
            Tensor heads = qkv.narrow(1, first * shape.headDim(), count * shape.headDim());
            Tensor apart = norm.weight().dim() == 1 ? heads : heads.view(count, shape.headDim());
            normalize(apart, norm, apart);
        }
    }

    /** The part of a row or of a sequence. */
    private static Tensor one(Tensor all, long index) {
        return all.size(0) == 1 ? all : all.narrow(0, index, 1);
    }

    @Override
    public boolean choosesOnHost() {
        return true;
    }

    @Override
    public void choose(DecodeBuffers buffers, RouterSpec router, ExpertBuffers experts) {
        try (TensorScope scope = new TensorScope()) {
            Tensor logits = Tensors.empty(ComputeDevice.cpu(), type, buffers.rows(), router.experts());
            tokens.gemv(router.weight(), buffers.normed(), null, logits, false);
            Tensor probabilities = experts.logits().copy_(logits).softmax(-1);
            T_TensorTensor_T best = torch.topk(probabilities, router.active());
            Tensor shares = best.get0();
            if (router.normalised()) {
                shares.div_(shares.sum(new long[] {-1}, true, new ScalarTypeOptional()));
            }
            experts.choice().chosen().copy_(best.get1());
            // Rounded as the published models round them.
            experts.choice().shares().copy_(Tensors.as(shares, type));
        }
    }

    @Override
    public void gate(Tensor both, Activation activation, Tensor y) {
        gate(elements, activation, both, y);
    }

    /**
     * {@code act(gate) · up}.
     *
     * @param both shape (R, 2 · inner), gate first
     * @param y shape (R, inner)
     */
    static void gate(ElementKernels elements, Activation activation, Tensor both, Tensor y) {
        if (activation == Activation.SILU) {
            elements.swigluForward(both, y);
            return;
        }
        long inner = y.size(1);
        try (TensorScope scope = new TensorScope()) {
            y.copy_(activation.apply(both.narrow(1, 0, inner)).mul_(both.narrow(1, inner, inner)));
        }
    }

    @Override
    public void softCap(DecodeBuffers buffers, double cap) {
        buffers.logits().mul_(Tensors.scalar(1 / cap)).tanh_().mul_(Tensors.scalar(cap));
    }
}
