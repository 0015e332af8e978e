package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** The non-linear function of a feed-forward part, by what Hugging Face calls it in {@code hidden_act}. */
public enum Activation {
    /** {@code x · sigmoid(x)}, also known as swish. */
    SILU {
        @Override
        public Tensor apply(Tensor x) {
            return torch.silu(x);
        }

        @Override
        public void applyInPlace(Tensor x) {
            torch.silu_(x);
        }
    },
    /** The Gaussian error linear unit (<a href="https://arxiv.org/abs/1606.08415">Hendrycks and Gimpel 2016</a>). */
    GELU {
        @Override
        public Tensor apply(Tensor x) {
            return torch.gelu(x);
        }

        @Override
        public void applyInPlace(Tensor x) {
            torch.gelu_(x);
        }
    },
    /** The same, approximated by a hyperbolic tangent; {@code gelu_pytorch_tanh}. */
    GELU_TANH {
        @Override
        public Tensor apply(Tensor x) {
            return torch.gelu(x, "tanh");
        }

        @Override
        public void applyInPlace(Tensor x) {
            torch.gelu_(x, "tanh");
        }
    };

    /** What stands for it in {@code activation.cuh}. */
    public int kernelCode() {
        return switch (this) {
            case SILU -> 0;
            case GELU -> 1;
            case GELU_TANH -> 2;
        };
    }

    /** The function of each element. */
    public abstract Tensor apply(Tensor x);

    /** The same where x lies, which allocates nothing; without gradients. */
    public abstract void applyInPlace(Tensor x);
}
