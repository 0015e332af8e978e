package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.kernel.ExpertAddition;
import dev.finetune4j.core.kernel.GroupedMatmul;
import dev.finetune4j.core.nn.Gradients;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LowRankStack;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.layer.AdapterLayer;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The low-rank factors of all experts of a layer, in PEFT's layout for {@code target_parameters}.
 *
 * @param stack the linears
 * @param factorA shape (experts · r, in), expert by expert
 * @param factorB shape (out, r · experts), of which the experts are the inner dimension
 * @param rank r
 * @param scale factor on the products
 */
record ExpertsLoraLayer(ExpertStack stack, Parameter factorA, Parameter factorB, int rank, double scale)
        implements AdapterLayer, LowRankStack {
    @Override
    public Map<String, Tensor> trained() {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put(LoraLayer.A, factorA.master());
        tensors.put(LoraLayer.B, factorB.master());
        return tensors;
    }

    @Override
    public Map<String, Parameter> parameters() {
        Map<String, Parameter> parameters = new LinkedHashMap<>();
        parameters.put(LoraLayer.A, factorA);
        parameters.put(LoraLayer.B, factorB);
        return parameters;
    }

    @Override
    public Linear wrap(String path, Linear base) {
        return new ExpertLoraLinear(base, this, stack.linears().indexOf(path));
    }

    private long experts() {
        return stack.experts();
    }

    /** A of an expert, (r, in). */
    Tensor a(int expert, ScalarType type) {
        return Tensors.as(factorA.master().narrow(0, (long) expert * rank, rank), type);
    }

    /**
     * B of a linear of an expert, (out, r).
     *
     * @param start the linear's first row among those of its expert
     */
    Tensor b(int expert, long start, long rows, ScalarType type) {
        Tensor all = factorB.master();
        return Tensors.as(
                all.view(all.size(0), rank, experts()).narrow(0, start, rows).select(2, expert), type);
    }

    @Override
    public boolean isTrained() {
        return factorA.master().requires_grad() || factorB.master().requires_grad();
    }

    @Override
    public @Nullable ExpertAddition forKernels() {
        Tensor a = factorA.master();
        Tensor b = factorB.master();
        int linears = stack.linears().size() / stack.experts();
        long row = rank * experts();
        // An expert's linears share A; B has their outputs behind one another and the experts innermost.
        ExpertAddition addition = new ExpertAddition(
                a, b, rank, rank, new ExpertAddition.Strides(1, b.size(0) / linears * row, row, experts()), (float)
                        scale);
        return a.is_contiguous() && b.is_contiguous() && addition.isAligned() ? addition : null;
    }

    private int padding() {
        int multiple = GroupedMatmul.ALIGNED_NUMBERS;
        return (rank + multiple - 1) / multiple * multiple - rank;
    }

    @Override
    public Tensor a(ScalarType type) {
        Tensor a = factorA.as(type).detach().view(experts(), rank, -1);
        return padding() == 0 ? a : torch.constant_pad_nd(a, new long[] {0, 0, 0, padding()});
    }

    @Override
    public Tensor b(ScalarType type) {
        Tensor b = byExpert(factorB.as(type).detach()).contiguous();
        return padding() == 0 ? b : torch.constant_pad_nd(b, new long[] {0, padding()});
    }

    /** (out, r · experts) as a view (experts, out, r). */
    private Tensor byExpert(Tensor b) {
        return b.view(b.size(0), rank, experts()).permute(2, 0, 1);
    }

    @Override
    public void addGradients(Tensor ofA, Tensor ofB) {
        try (TensorScope scope = new TensorScope()) {
            Gradients.of(factorA.master()).view(experts(), rank, -1).add_(ofA.narrow(1, 0, rank));
            byExpert(Gradients.of(factorB.master())).add_(ofB.narrow(2, 0, rank));
        }
    }
}
