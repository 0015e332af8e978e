package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.layer.InitContext;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.StringViewOptional;
import org.bytedeco.pytorch.T_TensorTensorTensor_T;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Initializes the factors of a linear; see {@link LoraInit}. The results belong to the caller's scope. */
final class LoraInitializer {
    /** Directions beyond the wanted ones that the approximate decomposition follows, so that the last wanted one is good. */
    private static final int OVERSAMPLING = 8;

    private LoraInitializer() {}

    static LoraLayer.Factors of(LoraSettings settings, String path, Linear linear, InitContext context) {
        int rank = settings.rankOf(path);
        LoraInit start = settings.initWeights();
        if (start.usesResidualBase()) {
            return ofBase(settings, path, linear);
        }
        if (start instanceof LoraInit.Loftq) {
            return ofLoss(settings, path, linear, context);
        }
        Tensor a = start instanceof LoraInit.Gaussian
                ? Tensors.normal(context.device(), context.random(), 1.0 / rank, rank, linear.inFeatures())
                : Tensors.uniform(
                        context.device(),
                        context.random(),
                        1 / Math.sqrt((double) linear.inFeatures()),
                        rank,
                        linear.inFeatures());
        return new LoraLayer.Factors(a, Tensors.zeros(context.device(), ScalarType.Float, linear.outFeatures(), rank));
    }

    /** The factors that the base's own weight gives, for the starts that look at nothing else. */
    static LoraLayer.Factors ofBase(LoraSettings settings, String path, Linear linear) {
        requireRank(settings, path, linear);
        int rank = settings.rankOf(path);
        try (TensorScope scope = new TensorScope()) {
            Tensor weight = linear.denseWeight(); // (out, in)
            LoraLayer.Factors factors;
            if (settings.initWeights() instanceof LoraInit.Pissa pissa) {
                factors = strongest(weight, rank, settings.scaleOf(path), pissa.iterations());
            } else {
                T_TensorTensor_T qr = torch.linalg_qr(weight);
                factors = new LoraLayer.Factors(
                        qr.get1().narrow(0, 0, rank), qr.get0().narrow(1, 0, rank));
            }
            return kept(scope, factors);
        }
    }

    private static LoraLayer.Factors ofLoss(LoraSettings settings, String path, Linear linear, InitContext context) {
        requireRank(settings, path, linear);
        WeightSource originals = context.originals();
        String name = path + ".weight";
        if (originals == null
                || !isDense(originals, name, linear)
                || !linear.parameters().isEmpty()) {
            throw new SettingsException(
                    List.of(
                            "LoftQ starts from what quantizing " + path + " lost, so it needs a 4-bit"
                                    + " base and its checkpoint in full precision; use qlora on an unquantized checkpoint or another start"));
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor original = Tensors.convert(originals.read(name), context.device(), ScalarType.Float);
            Tensor lost = original.sub(linear.denseWeight());
            return kept(scope, strongest(lost, settings.rankOf(path), settings.scaleOf(path), 0));
        }
    }

    /** A checkpoint that is quantized itself holds codes of another shape under this name. */
    private static boolean isDense(WeightSource originals, String name, Linear linear) {
        long[] shape = {linear.outFeatures(), linear.inFeatures()};
        return originals.names().contains(name)
                && Arrays.equals(originals.info(name).shape(), shape);
    }

    private static void requireRank(LoraSettings settings, String path, Linear linear) {
        long most = Math.min(linear.inFeatures(), linear.outFeatures());
        if (settings.rankOf(path) > most) {
            throw new SettingsException(List.of("the weight of " + path + " has only " + most
                    + " directions to start from, but the rank is " + settings.rankOf(path) + "; lower the rank"));
        }
    }

    private static LoraLayer.Factors kept(TensorScope scope, LoraLayer.Factors factors) {
        return new LoraLayer.Factors(
                scope.keep(factors.a().contiguous().clone()),
                scope.keep(factors.b().contiguous().clone()));
    }

    /** B A times scale is the best approximation of rank r to the weight; both factors are of the same size. */
    private static LoraLayer.Factors strongest(Tensor weight, int rank, double scale, int iterations) {
        T_TensorTensorTensor_T svd = iterations == 0
                ? torch.linalg_svd(weight, false, new StringViewOptional())
                : approximate(weight, rank, iterations);
        Tensor root = svd.get1().narrow(0, 0, rank).div(new Scalar(scale)).sqrt(); // (r)
        Tensor a = svd.get2().narrow(0, 0, rank).mul(root.view(-1, 1)); // (r, in)
        Tensor b = svd.get0().narrow(1, 0, rank).mul(root); // (out, r)
        return new LoraLayer.Factors(a, b);
    }

    /**
     * The leading part of the singular value decomposition by power iterations on a random start
     * (<a href="https://arxiv.org/abs/0909.4061">Halko et al. 2011</a>, algorithm 4.4); the start is fixed.
     */
    private static T_TensorTensorTensor_T approximate(Tensor weight, int rank, int iterations) {
        ComputeDevice device = Tensors.deviceOf(weight);
        long columns = Math.min(rank + OVERSAMPLING, Math.min(weight.size(0), weight.size(1)));
        Tensor random = Tensors.normal(device, new SplittableRandom(0), 1, weight.size(1), columns);
        Tensor basis = torch.linalg_qr(torch.matmul(weight, random)).get0(); // (out, columns)
        for (int i = 0; i < iterations; i++) {
            Tensor back = torch.linalg_qr(torch.matmul(weight.t(), basis)).get0(); // (in, columns)
            basis = torch.linalg_qr(torch.matmul(weight, back)).get0();
        }
        T_TensorTensorTensor_T small =
                torch.linalg_svd(torch.matmul(basis.t(), weight), false, new StringViewOptional());
        return new T_TensorTensorTensor_T(torch.matmul(basis, small.get0()), small.get1(), small.get2());
    }
}
