package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.Combination;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/**
 * Weighted sums of tensors that were pruned before.
 *
 * @param masks what is dropped at random
 */
record Pruning(Combination how, RandomMasks masks) {
    /** The sum of tensors of one shape, each multiplied by its weight. */
    Tensor sum(List<Tensor> tensors, double[] weights) {
        float[] factors = new float[weights.length];
        for (int i = 0; i < factors.length; i++) {
            factors[i] = (float) weights[i];
        }
        TensorVector pruned = new TensorVector();
        tensors.forEach(tensor -> pruned.push_back(prune(tensor)));
        Tensor stack = torch.stack(pruned, 0); // (n, …)
        long[] each = new long[Math.toIntExact(stack.dim())];
        Arrays.fill(each, 1);
        each[0] = factors.length;
        Tensor weighted = stack.mul(Tensors.ofFloats(Tensors.deviceOf(stack), factors, each));
        if (!how.type().electsSign()) {
            return weighted.sum(0);
        }
        Tensor agrees = agreeing(stack);
        Tensor count = agrees.sum(0).clamp_min(new Scalar(1));
        return weighted.mul(agrees).sum(0).div(count);
    }

    private Tensor prune(Tensor tensor) {
        if (!how.type().prunes() || how.density() >= 1) {
            return tensor;
        }
        if (how.type().prunesAtRandom()) {
            return tensor.mul(masks.mask(tensor, how.density())).div(new Scalar(how.density()));
        }
        Tensor flat = tensor.abs().reshape(-1);
        Tensor largest = torch.topk(flat, (long) (how.density() * flat.numel())).get1();
        Tensor mask = torch.zeros_like(flat).index_fill_(0, largest, new Scalar(1));
        return tensor.mul(mask.view(tensor.shape()));
    }

    /** Ones where a number has the elected sign; a sum of zero elects the positive one, which no zero has. */
    private Tensor agreeing(Tensor stack) {
        Tensor signs = stack.sign();
        Tensor votes = how.majoritySign() == Combination.MajoritySign.TOTAL ? stack.sum(0) : signs.sum(0);
        Tensor elected = votes.ge(new Scalar(0))
                .to(Tensors.typeOf(stack))
                .mul(new Scalar(2))
                .sub(new Scalar(1));
        return signs.eq(elected).to(Tensors.typeOf(stack));
    }
}
