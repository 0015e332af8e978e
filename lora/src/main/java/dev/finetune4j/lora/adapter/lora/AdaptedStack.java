package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.kernel.ExpertAddition;
import dev.finetune4j.core.kernel.ExpertGemv;
import dev.finetune4j.core.nn.LowRankStack;
import dev.finetune4j.core.nn.WeightStack;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** The weights of a base and what is added to them. */
record AdaptedStack(WeightStack base, LowRankStack addition) implements WeightStack {
    @Override
    public Tensor dense(ScalarType type) {
        return base.dense(type);
    }

    @Override
    public boolean isOneByOne() {
        return base.isOneByOne() || addition.isDropping();
    }

    @Override
    public @Nullable ExpertGemv gemv(ScalarType type) {
        ExpertGemv products = base.gemv(type);
        ExpertAddition added = addition.forKernels();
        return products == null || added == null ? null : products.with(added);
    }
}
