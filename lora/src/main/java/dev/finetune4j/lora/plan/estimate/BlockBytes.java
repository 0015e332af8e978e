package dev.finetune4j.lora.plan.estimate;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.lora.adapter.layer.AdapterShape;
import dev.finetune4j.lora.adapter.layer.AdapterShape.Footprint;
import dev.finetune4j.lora.adapter.layer.AdapterShape.Trained;
import dev.finetune4j.lora.plan.estimate.BlockModules.Inputs;
import dev.finetune4j.lora.plan.estimate.BlockModules.Projection;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The bytes per token that one block leaves for its backward pass, and that it needs while that runs, in the order of the
 * code that it follows: {@code DecoderBlock}, {@code RmsNorm}, {@code Attention}, {@code GatedMlp}, {@code PlainMlp},
 * {@code LoraLinear}, and {@code FusedKernels} where those serve.
 *
 * <p>Letters: D hidden size, I inner size, Q and K width of all query and all key heads, H query heads, T positions seen,
 * e bytes of a number.
 */
final class BlockBytes {
    /** A number in float32. */
    private static final int WIDE = Float.BYTES;

    /** The heads that attention of whole sequences takes; the first on a GPU. */
    private static final int HEAD_MULTIPLE = 8;

    private static final int MAX_HEAD_SIZE = 256;

    private final ModelConfig config;
    private final List<BlockModules> blocks;
    private final Map<String, Footprint> footprints;
    private final boolean everythingTrained;
    /** The blocks before it are passed without gradients. */
    private final int firstTrained;

    private final boolean fused;
    /** Whether norms are layer norms, which libtorch computes in one pass. */
    private final boolean layerNorms;

    private final boolean gpu;
    private final boolean kernels;
    private final boolean blockwise;
    private final Precision precision;
    private final int e;
    private final long hidden;
    private final long inner;
    private final long queries;
    private final long keys;

    /**
     * @param meta the model without weights
     * @param everythingTrained whether the weights themselves are trained
     */
    BlockBytes(CausalLM meta, AdapterShape shape, boolean everythingTrained, Placement placement) {
        Map<String, Footprint> footprints = shape.footprints();
        this.config = meta.config();
        this.blocks = meta.blocks().stream().map(BlockModules::of).toList();
        this.footprints = footprints;
        this.everythingTrained = everythingTrained;
        this.firstTrained =
                everythingTrained || shape.trainsEmbedding() || shape.virtualTokens() > 0 ? 0 : firstWithFootprint();
        this.gpu = StaticBytes.isGpu(placement);
        this.kernels = StaticBytes.hasKernels(placement);
        this.blockwise = isBlockwise(config, placement);
        this.layerNorms = config.norms().centered();
        this.fused = kernels && !everythingTrained && !layerNorms;
        this.precision = placement.precision();
        this.e = precision.bytes();
        this.hidden = config.hiddenSize();
        this.inner = config.intermediateSize();
        this.queries = (long) config.attention().heads() * config.attention().headDim();
        this.keys = (long) config.attention().kvHeads() * config.attention().headDim();
    }

    private int firstWithFootprint() {
        for (int i = 0; i < blocks.size(); i++) {
            if (blocks.get(i).paths().stream().anyMatch(footprints::containsKey)) {
                return i;
            }
        }
        return blocks.size();
    }

    /** Whether nothing is trained in a block and in those before it, so that it keeps nothing. */
    boolean isPassedWithoutGradients(int index) {
        return index < firstTrained;
    }

    /** What a block needs per token on its way forward, where it keeps nothing. */
    long forwardOnly(int index, long positions, boolean masked) {
        return Math.max(
                attentionForward(index, positions, masked) + keptByAttention(index, positions, masked),
                mlpForward(index) + keptByMlp(index));
    }

    /**
     * What a block keeps for each token.
     *
     * @param index of the block
     * @param positions T, virtual ones included
     * @param masked whether every layer has a mask, as with trained keys before the first token
     */
    long kept(int index, long positions, boolean masked) {
        return keptByAttention(index, positions, masked) + keptByMlp(index);
    }

    /** The part of {@link #kept} that the first half of the block keeps. */
    long keptByAttention(int index, long positions, boolean masked) {
        BlockModules block = blocks.get(index);
        List<String> norms = block.norms();
        long bytes = norms(norms.subList(0, norms.size() / 2)) + inputs(block.attentionInputs());
        if (!block.headNorms().isEmpty()) {
            boolean allFused = block.headNorms().stream().allMatch(this::isFused);
            boolean trained = block.headNorms().stream().anyMatch(norm -> footprint(norm) != null);
            bytes += norm(queries + keys, allFused, trained);
        }
        bytes += attention(index, positions, masked, savesInput(footprint(block.output())));
        return bytes + own(block.output());
    }

    /** The part of {@link #kept} that the second half of the block keeps. */
    long keptByMlp(int index) {
        BlockModules block = blocks.get(index);
        List<String> norms = block.norms();
        long around = norms(norms.subList(norms.size() / 2, norms.size()));
        BlockModules.Experts experts = block.experts();
        if (experts == null) {
            return around + inputs(block.mlpInputs()) + (block.gated() ? gated(block.down()) : plain(block.down()));
        }
        long shared = experts.shared() ? inputs(block.mlpInputs()) + gated(block.down()) : 0;
        return around + shared + routed(experts);
    }

    /** Gate and up of a token's experts, what these make in the order of tokens, the router's probabilities and the order. */
    private long routed(BlockModules.Experts experts) {
        long inners = kernels ? 2 : 4;
        return experts.active() * ((inners * experts.inner() + hidden) * e + 3L * Long.BYTES + adapted(experts))
                + 2L * experts.count() * WIDE;
    }

    /** What a row of an expert keeps because its linears are trained: their inputs, which nothing else keeps, and products with A. */
    private long adapted(BlockModules.Experts experts) {
        List<Projection> first = experts.linears().subList(0, BlockModules.Experts.LINEARS);
        Projection down = first.get(BlockModules.Experts.LINEARS - 1);
        boolean input = first.stream().anyMatch(linear -> !linear.equals(down) && savesInput(footprint(linear)));
        long inputs = (input ? hidden : 0) + (savesInput(footprint(down)) ? experts.inner() : 0);
        return inputs * e + first.stream().mapToLong(this::own).sum();
    }

    private long norms(List<String> paths) {
        return paths.stream()
                .mapToLong(path -> layerNorms
                        ? hidden * e + 2 * WIDE // the mean and the factor
                        : norm(hidden, isFused(path), footprint(path) != null))
                .sum();
    }

    /** What is kept of a block that computes again, its input; or of the stream, its sum. */
    long checkpoint() {
        return hidden * e;
    }

    /** A norm keeps its input; libtorch's own operations keep it in float32, and the quotient when the weight is trained. */
    private long norm(long width, boolean isFused, boolean trained) {
        if (isFused) {
            return width * e + WIDE;
        }
        return width * WIDE + WIDE + (trained ? width * e : 0);
    }

    private boolean isFused(String norm) {
        return fused && footprint(norm) == null;
    }

    /**
     * Projections of one norm's output, which they keep in common, and what each keeps besides. Where the projections are one
     * operation, the norm brings its output back.
     */
    private long inputs(Inputs inputs) {
        long bytes = 0;
        boolean kept = false;
        boolean broughtBack = inputs.norm() != null && isFused(inputs.norm());
        for (Projection linear : inputs.linears()) {
            Footprint footprint = footprint(linear);
            bytes += own(linear);
            kept |= savesInput(footprint);
            broughtBack &= footprint == null || footprint.isFused();
        }
        return bytes + (kept && !broughtBack ? hidden * e : 0);
    }

    private @Nullable Footprint footprint(Projection linear) {
        return footprint(linear.path());
    }

    private @Nullable Footprint footprint(String path) {
        return everythingTrained ? new Trained() : footprints.get(path);
    }

    /** Whether the linear needs its input for the gradients of what is trained in it. */
    private static boolean savesInput(@Nullable Footprint footprint) {
        return footprint != null && footprint.savesInput();
    }

    /** What a linear keeps besides its input. */
    private long own(Projection linear) {
        Footprint footprint = footprint(linear);
        return footprint == null ? 0 : footprint.savedBytes(linear.in(), linear.out(), e);
    }

    /**
     * Whether attention of whole sequences never holds all scores and knows windows and soft-caps without a mask
     * ({@code SequenceAttention}).
     */
    static boolean isBlockwise(ModelConfig config, Placement placement) {
        int size = config.attention().headDim();
        boolean kernels =
                !StaticBytes.isGpu(placement) || (placement.precision().bytes() == 2 && size % HEAD_MULTIPLE == 0);
        return kernels && size <= MAX_HEAD_SIZE;
    }

    /** Turned queries and keys, values and output; where no fused kernel serves also the scores, H · T for each token. */
    private long attention(int index, long positions, boolean masked, boolean outputKept) {
        long heads = config.attention().heads();
        if (blockwise && !masked) {
            // On a GPU the kernel of the head norms writes the values too.
            long values = gpu && !blocks.get(index).headNorms().isEmpty() ? keys * e : 0;
            return (2 * queries + 2 * keys) * e + heads * WIDE + values;
        }
        if (config.attention().softCap() > 0) {
            return (2 * queries + 2 * keys) * e + 2 * heads * positions * e + (outputKept ? queries * e : 0);
        }
        if (!fusedAttention(index, positions, masked)) {
            return 3 * queries * e + heads * positions * e + (outputKept ? queries * e : 0);
        }
        if (!gpu) {
            // In float32, with keys and values repeated for each head of the queries.
            return 4 * queries * WIDE + heads * WIDE;
        }
        return (2 * queries + 2 * keys) * e + heads * WIDE;
    }

    /** What attention gave, for a block that is recomputed but for it: its output and a logarithm for each head. */
    long mixed(int index, long positions, boolean masked) {
        return blockwise && !masked(index, positions, masked)
                ? queries * e + (long) config.attention().heads() * WIDE
                : 0;
    }

    /** The multiplications of the linears for each token. */
    double linearCost(int index) {
        BlockModules block = blocks.get(index);
        double all = block.linears().stream()
                .mapToDouble(linear -> (double) linear.in() * linear.out())
                .sum();
        BlockModules.Experts experts = block.experts();
        long passive = experts == null ? 0 : experts.count() - experts.active();
        return experts == null ? all : all - 3.0 * passive * experts.inner() * hidden;
    }

    /** The multiplications of attention for each token: scores and mix of half of the positions, or of those in a window. */
    double attentionCost(int index, long positions) {
        int window = config.layerTypes().get(index).window();
        double seen = positions / 2.0;
        return 2 * queries * (window > 0 ? Math.min(seen, window) : seen);
    }

    /** Whether libtorch computes attention without storing the scores: on a GPU not for shared keys in float32 or with a mask. */
    private boolean fusedAttention(int index, long positions, boolean masked) {
        boolean shared = config.attention().heads() != config.attention().kvHeads();
        return !gpu || !shared || (e == 2 && !masked(index, positions, masked));
    }

    /** Gate and up, and what is between them and the last projection unless it is made again. */
    private long gated(Projection down) {
        Footprint footprint = footprint(down);
        boolean again = footprint != null && footprint.isFused();
        long product = savesInput(footprint) ? inner * e : 0;
        long bytes = own(down);
        if (kernels) {
            return bytes + 2 * inner * e + (again ? 0 : product);
        }
        return bytes + 3 * inner * e + product;
    }

    /** What goes into the activation, and what comes out of it where the last projection needs it. */
    private long plain(Projection down) {
        return own(down) + inner * e + (savesInput(footprint(down)) ? inner * e : 0);
    }

    /** The mask of a block, which libtorch turns into numbers and keeps for each block, whatever the number of rows. */
    long mask(int index, long positions, boolean masked) {
        return masked(index, positions, masked) ? positions * positions * e : 0;
    }

    private boolean masked(int index, long positions, boolean everywhere) {
        int window = config.layerTypes().get(index).window();
        return everywhere || (!blockwise && window > 0 && window < positions);
    }

    /** What a block needs per token while it runs, in the larger of its two directions. */
    long working(int index, long positions, boolean masked) {
        long backward = 2 * hidden * e
                + normsBackward(index)
                + Math.max(mlpBackward(index), attentionBackward(index, positions, masked));
        return Math.max(attentionForward(index, positions, masked) + mlpForward(index), backward);
    }

    /** As {@link #working} where the second half runs in slices of the tokens, but for what {@link #slice} needs. */
    long workingOfAttention(int index, long positions, boolean masked) {
        long backward = 2 * hidden * e + normsBackward(index) + attentionBackward(index, positions, masked);
        // Before the slices there is their input, and behind them their result; backward, the gradients of both.
        return Math.max(Math.max(attentionForward(index, positions, masked), 3 * hidden * e), backward);
    }

    /** What a slice of the tokens needs for each of its own in the second half of a block, in the larger direction. */
    long slice(int index) {
        return Math.max(mlpForward(index), keptByMlp(index) + normsBackward(index) + mlpBackward(index));
    }

    /** What the first half makes on its way forward and lets go at its end, when its scope closes. */
    private long attentionForward(int index, long positions, boolean masked) {
        BlockModules block = blocks.get(index);
        long unfused = layerNorms
                ? 0
                : block.norms().stream().filter(norm -> !isFused(norm)).count();
        long wide = 2 * unfused * hidden * WIDE;
        boolean capped = config.attention().softCap() > 0 && (masked || !blockwise);
        long scores = capped ? 4L * config.attention().heads() * positions * e : 0;
        long adapted = block.attentionInputs().linears().stream()
                        .mapToLong(this::temporary)
                        .sum()
                + temporary(block.output());
        return wide + (queries + keys + 2 * hidden) * e + scores + adapted;
    }

    private long mlpForward(int index) {
        BlockModules block = blocks.get(index);
        long adapted =
                block.mlpInputs().linears().stream().mapToLong(this::temporary).sum() + temporary(block.down());
        BlockModules.Experts experts = block.experts();
        if (experts == null) {
            return (!block.gated() ? 2 : kernels ? 3 : 1) * inner * e + adapted;
        }
        // The rows of a token's experts before and behind them, and what is between.
        return experts.active() * (2 * hidden + 2 * experts.inner()) * e
                + (experts.shared() ? 3 * inner * e : 0)
                + adapted;
    }

    /** Outputs of which an adapter makes further ones by libtorch's operations. */
    private long temporary(Projection linear) {
        Footprint footprint = footprints.get(linear.path());
        return footprint == null ? 0 : footprint.temporaryBytes(linear.in(), linear.out(), e);
    }

    private long normsBackward(int index) {
        boolean onePass = layerNorms || blocks.get(index).norms().stream().allMatch(this::isFused);
        return onePass ? 2 * hidden * e : 4 * hidden * WIDE;
    }

    private long mlpBackward(int index) {
        BlockModules.Experts experts = blocks.get(index).experts();
        boolean gated = blocks.get(index).gated();
        long dense = (!gated || kernels ? 2 : 5) * inner * e + 2 * hidden * e;
        return experts == null
                ? dense
                : experts.active() * (2 * hidden + 2 * experts.inner()) * e + (experts.shared() ? dense : 0);
    }

    private long attentionBackward(int index, long positions, boolean masked) {
        long heads = config.attention().heads();
        boolean scores = (masked || !blockwise)
                && (config.attention().softCap() > 0 || !fusedAttention(index, positions, masked));
        return (4 * queries + 4 * keys) * e + queries * WIDE + (scores ? 3 * heads * positions * e : 0);
    }

    /** Weights that are trained in float32 and used in fewer bits are kept in both. */
    long castWeights(int index) {
        if (!everythingTrained || precision == Precision.FP32) {
            return 0;
        }
        return blocks.get(index).linears().stream()
                        .mapToLong(linear -> linear.in() * linear.out())
                        .sum()
                * e;
    }
}
