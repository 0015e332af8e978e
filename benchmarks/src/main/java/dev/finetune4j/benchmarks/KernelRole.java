package dev.finetune4j.benchmarks;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * What the name of a kernel says of it. This library's kernels are known by the beginnings of their names, those of cuBLAS,
 * cuDNN and libtorch by parts of theirs; the first role that fits is taken. Of products the name does not say what they
 * multiply: {@link StepKinds} looks at what is around them.
 */
enum KernelRole {
    /** Work that is no kernel. */
    COPY(KernelKind.COPIES, starts("[mem"), contains("catarray", "copy_kernel", "fillfunctor")),
    MADE_DENSE(KernelKind.DEQUANTIZE, starts("dequantize_"), contains()),
    LOSS(KernelKind.VOCABULARY, starts("cross_entropy_"), contains()),
    CHOICE(KernelKind.VOCABULARY, starts("choose_"), contains("argmax")),
    /** GEMV of a weight that is read as it is stored; LoRA's wide factor is in it. */
    GEMV(KernelKind.BASE, starts("rows_", "gated_", "combined_", "experts_gated_", "experts_combined_"), contains()),
    /** Which experts a token goes to. */
    ROUTER(KernelKind.OTHER, starts("router_"), contains()),
    /** Of many rows with LoRA's factors, and the sums over the parts of such products. */
    LOW_RANK(
            KernelKind.LORA,
            starts("down_a", "up_a", "up_b", "gradient_a", "gradient_b", "narrow_partial", "add_partial"),
            contains()),
    LOW_RANK_GEMV(KernelKind.LORA, starts("low_rank_", "expert_low_rank_"), contains()),
    STEP(
            KernelKind.OPTIMIZER,
            starts("adamw", "lion_"),
            contains("multi_tensor_apply", "normops", "normone", "normtwo", "normzero")),
    VOCABULARY(
            KernelKind.VOCABULARY,
            starts("embed_", "soft_cap_"),
            contains("logsoftmax", "nll_loss", "embedding", "indexselect", "gather_kernel", "indexfunc")),
    ATTENTION(
            KernelKind.ATTENTION,
            starts("attend_", "append_"),
            contains("flash", "fmha", "sdpa", "cudnn", "_softmaxforward", "_softmaxbackward")),
    /** Adds up the parts of the product in front of it. */
    PARTIAL_SUMS(null, starts(), contains("splitkreduce", "splitk_reduce", "reducesplitk")),
    PRODUCT(null, starts(), contains("nvjet", "gemm", "gemv", "xmma", "cutlass", "cublas")),
    ELEMENTWISE(
            KernelKind.ELEMENTWISE,
            starts("rms_", "swiglu", "geglu", "gate_", "rope_", "norm_", "dropout_", "heads_"),
            contains("elementwise", "layer_norm", "rmsnorm")),
    /** Small sums. */
    SMALL(KernelKind.OTHER, starts(), contains("reduce_kernel")),
    UNKNOWN(KernelKind.OTHER, starts(), contains());

    private final @Nullable KernelKind kind;
    private final List<String> beginnings;
    private final List<String> parts;

    KernelRole(@Nullable KernelKind kind, List<String> beginnings, List<String> parts) {
        this.kind = kind;
        this.beginnings = beginnings;
        this.parts = parts;
    }

    private static List<String> starts(String... beginnings) {
        return List.of(beginnings);
    }

    private static List<String> contains(String... parts) {
        return List.of(parts);
    }

    /** The kind of all kernels of this role; null where it depends on their neighbours. */
    @Nullable
    KernelKind kind() {
        return kind;
    }

    /** @param name as {@link TracedKernel#name()} */
    static KernelRole of(String name) {
        String lower = name.toLowerCase(Locale.ROOT);
        return Arrays.stream(values())
                .filter(role -> role.beginnings.stream().anyMatch(lower::startsWith)
                        || role.parts.stream().anyMatch(lower::contains))
                .findFirst()
                .orElse(UNKNOWN);
    }
}
