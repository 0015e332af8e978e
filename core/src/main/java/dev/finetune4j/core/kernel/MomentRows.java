package dev.finetune4j.core.kernel;

import dev.finetune4j.core.kernel.OptimizerKernels.Moments;
import org.bytedeco.pytorch.DeviceOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Blocks of moments as rows of one matrix, (n, {@value OptimizerKernels#MOMENT_BLOCK}), by libtorch's operations; short blocks have
 * zeros behind them. All tensors belong to the scope in which it is made.
 */
final class MomentRows {
    private final Moments moments;
    /** Of each number the place among the values, (n, 256); that of the block's first where it has none. */
    private final Tensor values;
    /** Which numbers there are. */
    private final Tensor there;
    /** Which blocks are in codes, (n, 1), and where; 0 for the others. */
    private final Tensor coded;

    private final Tensor code;
    /** Of each number of a wide block the place among the wide ones. */
    private final Tensor wide;

    MomentRows(Moments moments) {
        this.moments = moments;
        Tensor blocks = moments.blocks();
        Tensor column = torch.arange(
                        new Scalar(OptimizerKernels.MOMENT_BLOCK),
                        new TensorOptions(ScalarType.Long).device(new DeviceOptional(blocks.device())))
                .unsqueeze(0);
        Tensor place = blocks.narrow(1, 1, 1);
        there = column.lt(blocks.narrow(1, 2, 1));
        Tensor offset = column.mul(there);
        values = blocks.narrow(1, 0, 1).add(offset);
        coded = place.ge(new Scalar(0));
        code = place.clamp_min(new Scalar(0)).squeeze(1);
        wide = place.neg().sub_(new Scalar(1)).clamp_min_(new Scalar(0)).add(offset);
    }

    /** The values of the blocks. */
    Tensor take(Tensor all) {
        return all.take(values).mul_(there);
    }

    /** Writes the values of the blocks back. */
    void put(Tensor rows, Tensor all) {
        all.put_(values.masked_select(there), rows.masked_select(there));
    }

    /** The first or the second moment in float32. */
    Tensor moment(int index) {
        Tensor known = moments.wide().numel() == 0
                ? values.to(ScalarType.Float).zero_()
                : moments.wide().select(0, index).take(wide);
        if (moments.absmax().numel() > 0) {
            Tensor codes =
                    moments.codes().select(0, index).index_select(0, code).to(ScalarType.Long);
            Tensor scales =
                    moments.absmax().select(0, index).index_select(0, code).unsqueeze(1);
            known = torch.where(
                    coded, moments.maps().select(0, index).take(codes).mul_(scales), known);
        }
        return known.mul_(there);
    }

    /** Keeps a moment. */
    void keep(int index, Tensor rows) {
        Tensor isWide = there.logical_and(coded.logical_not());
        moments.wide().select(0, index).put_(wide.masked_select(isWide), rows.masked_select(isWide));
        Tensor chosen = coded.squeeze(1);
        Tensor numbers = chosen.nonzero().squeeze(1);
        Tensor kept = rows.index_select(0, numbers);
        if (kept.numel() == 0) {
            return;
        }
        Tensor places = code.masked_select(chosen);
        Tensor map = moments.maps().select(0, index);
        Tensor top = kept.abs().amax(new long[] {1}, false);
        Tensor codes = torch.bucketize(
                kept.div(torch.where(top.gt(new Scalar(0)), top, torch.ones_like(top))
                        .unsqueeze(1)),
                moments.limits().select(0, index));
        // What is below zero stays there, as bitsandbytes has it.
        Tensor turned = kept.lt(new Scalar(0)).logical_and(map.take(codes).ge(new Scalar(0)));
        moments.codes()
                .select(0, index)
                .index_copy_(
                        0,
                        places,
                        codes.sub(turned.to(ScalarType.Long))
                                .mul_(there.index_select(0, numbers))
                                .to(ScalarType.Byte));
        moments.absmax().select(0, index).index_copy_(0, places, top);
    }
}
