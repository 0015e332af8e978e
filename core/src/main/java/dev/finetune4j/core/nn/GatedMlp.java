package dev.finetune4j.core.nn;

import java.util.function.BiFunction;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * The feed-forward part of a decoder block, {@code down(silu(gate(x)) · up(x))}
 * (<a href="https://arxiv.org/abs/2002.05202">SwiGLU, Shazeer 2020</a>). Forward calls may run in several threads at once; closing may not overlap with them.
 */
public final class GatedMlp {
    private final String name;
    private final Linear gate;
    private final Linear up;
    private final Linear down;

    /** @param name Hugging Face module path, such as {@code model.layers.0.mlp} */
    public GatedMlp(String name, Linear gate, Linear up, Linear down) {
        this.name = name;
        this.gate = gate;
        this.up = up;
        this.down = down;
    }

    /** (B, T, D) to (B, T, D). */
    public Tensor forward(Tensor x) {
        return down.forward(torch.silu(gate.forward(x)).mul(up.forward(x)));
    }

    GatedMlp mapLinears(BiFunction<String, Linear, Linear> replacement) {
        return new GatedMlp(
                name,
                replacement.apply(name + ".gate_proj", gate),
                replacement.apply(name + ".up_proj", up),
                replacement.apply(name + ".down_proj", down));
    }
}
