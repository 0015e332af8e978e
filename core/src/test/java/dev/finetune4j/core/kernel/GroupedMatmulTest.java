package dev.finetune4j.core.kernel;

import static dev.finetune4j.testsupport.TensorData.assertClose;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

/** The products of groups against those of each group, empty groups among them. */
class GroupedMatmulTest {
    private static final int[] ENDS = {3, 3, 20, 21, 21, 40};

    @Test
    void areThoseOfEachGroup() {
        check(ComputeDevice.cpu(), 16, 8);
    }

    @Test
    void onAGpuToo() {
        Needs.gpu();
        check(ComputeDevice.cuda(0), 256, 128);
    }

    private static void check(ComputeDevice device, long in, long out) {
        GroupedMatmul matmul = new GroupedMatmul();
        try (TensorScope scope = new TensorScope()) {
            SplittableRandom random = new SplittableRandom(1);
            int groups = ENDS.length;
            int rows = ENDS[groups - 1];
            Tensor x = Tensors.normal(device, random, 1, rows, in).to(ScalarType.BFloat16);
            Tensor dy = Tensors.normal(device, random, 1, rows, out).to(ScalarType.BFloat16);
            Tensor w = Tensors.normal(device, random, 1, groups, out, in).to(ScalarType.BFloat16);
            long[] wide = new long[groups];
            for (int i = 0; i < groups; i++) {
                wide[i] = ENDS[i];
            }
            Tensor ends = Tensors.ofLongs(device, wide, groups).to(ScalarType.Int);
            Tensor y = matmul.forward(x, w, ends);
            Tensor dx = matmul.backward(dy, w, ends);
            Tensor dw = matmul.weightGradient(dy, x, ends);
            int start = 0;
            for (int i = 0; i < groups; i++) {
                int count = ENDS[i] - start;
                Tensor own = x.narrow(0, start, count);
                Tensor ownGradient = dy.narrow(0, start, count);
                Tensor weight = w.select(0, i);
                same("y of " + i, torch.mm(own, weight.t()), y.narrow(0, start, count));
                same("dx of " + i, torch.mm(ownGradient, weight), dx.narrow(0, start, count));
                same("dw of " + i, torch.mm(ownGradient.t(), own), dw.select(0, i));
                start = ENDS[i];
            }
        }
    }

    private static void same(String what, Tensor expected, Tensor found) {
        if (expected.numel() > 0) {
            assertClose(what, Tensors.toFloats(expected), Tensors.toFloats(found), 2e-2);
        }
    }
}
