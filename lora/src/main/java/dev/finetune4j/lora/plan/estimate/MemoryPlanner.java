package dev.finetune4j.lora.plan.estimate;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.message.ByteCount;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.layer.AdapterShape;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.train.Optimizer;
import dev.finetune4j.quant.QuantSettings;
import java.util.Comparator;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Plans the memory of a training from config.json and the settings. Immutable and thread-safe.
 *
 * <p>Approximations: the pass of a block is counted as if its input needed a gradient, which that of the first block with trained
 * modules does not with an adapter; an adapter on embedding or head, and single trained tokens, count with their numbers but not with what they keep
 * in a pass; a 4-bit checkpoint counts as NF4 with double quantization and all its linears packed.
 */
public final class MemoryPlanner {
    /**
     * The part of the free memory that a plan leaves: libtorch rounds sizes up and its blocks get gaps, the libraries of
     * matrix products take work space, and the JVM has its own.
     */
    private static final double RESERVE = 0.06;
    /** Room for the plan where copies of weights take what is left: captured graphs of several shapes hold memory of their own. */
    private static final double BESIDE_COPIES = 1.25;

    private final ModelConfig config;
    private final Placement placement;
    private final boolean quantized;
    private final boolean prefix;
    private final boolean trainsLastNorm;
    private final int virtual;
    private final boolean full;
    private final StaticBytes fixed;
    private final BlockBytes blocks;
    private final PassBytes pass;

    private MemoryPlanner(
            CausalLM meta,
            @Nullable QuantSettings quantization,
            boolean full,
            AdapterShape shape,
            Placement placement) {
        this.config = meta.config();
        this.placement = placement;
        this.quantized = quantization != null;
        this.full = full;
        this.prefix = shape.prefix();
        this.trainsLastNorm = shape.footprints().containsKey(meta.norm().name());
        this.virtual = shape.virtualTokens();
        this.fixed = StaticBytes.of(meta, quantization, shape, full, placement);
        this.blocks = new BlockBytes(meta, shape, full, placement);
        this.pass = new PassBytes(config, placement, full);
    }

    private MemoryPlanner(MemoryPlanner other, StaticBytes fixed) {
        this.config = other.config;
        this.placement = other.placement;
        this.quantized = other.quantized;
        this.full = other.full;
        this.prefix = other.prefix;
        this.trainsLastNorm = other.trainsLastNorm;
        this.virtual = other.virtual;
        this.fixed = fixed;
        this.blocks = other.blocks;
        this.pass = other.pass;
    }

    /** A planner for trainings by another optimizer; AdamW is the first one's. */
    public MemoryPlanner optimizing(Optimizer optimizer) {
        return new MemoryPlanner(this, fixed.with(optimizer));
    }

    /** A planner for trainings that compare with a frozen copy of the adapter. */
    public MemoryPlanner withFrozenAdapter() {
        return new MemoryPlanner(this, fixed.withFrozenAdapter());
    }

    /**
     * A planner for one model and method.
     *
     * @param folder the model's folder, of which config.json is read
     * @param quantization form of the 4-bit base; null for a dense one, unless the checkpoint itself is in 4 bits
     * @param adapter what is trained; null for all weights
     * @param placement device and number formats; the weights are in float32 when all are trained
     * @throws dev.finetune4j.core.ModelFileException when config.json is not supported
     * @throws dev.finetune4j.core.SettingsException when the adapter does not fit the model
     */
    public static MemoryPlanner of(
            PretrainedFolder folder,
            @Nullable QuantSettings quantization,
            @Nullable AdapterSettings adapter,
            Placement placement) {
        QuantSettings form = adapter == null ? quantization : form(folder, quantization);
        try (CausalLM meta = ModelLoader.meta(folder)) {
            AdapterShape shape = adapter == null ? AdapterShape.none() : AdapterKinds.shape(adapter, meta);
            return new MemoryPlanner(meta, form, adapter == null, shape, placement);
        }
    }

    /**
     * The bytes that a model's weights take when it is loaded to be used.
     *
     * @param folder the model's folder, of which config.json is read
     * @param quantization form of its linears; null to leave them as they are in the checkpoint
     * @throws dev.finetune4j.core.ModelFileException when config.json is not supported
     */
    public static long weightBytes(PretrainedFolder folder, @Nullable QuantSettings quantization, Placement placement) {
        try (CausalLM meta = ModelLoader.meta(folder)) {
            return StaticBytes.of(meta, form(folder, quantization), AdapterShape.none(), false, placement)
                    .weights();
        }
    }

    private static @Nullable QuantSettings form(PretrainedFolder folder, @Nullable QuantSettings quantization) {
        return quantization == null && folder.files().isFourBit() ? QuantSettings.nf4() : quantization;
    }

    /**
     * The plan of a batch in which the least is recomputed, so that it fits; when nothing fits, everything is.
     *
     * @param size of the largest batch
     * @param memory what the device has before anything is loaded
     */
    public MemoryPlan choose(PlannedBatch size, DeviceMemory memory) {
        return plan(size, cheapest(size, memory).orElse(ActivationCheckpointing.all()), memory);
    }

    /** The policy that fits and recomputes the least; of two that recompute as much, the one that keeps less. */
    private Optional<ActivationCheckpointing> cheapest(PlannedBatch size, DeviceMemory memory) {
        BatchBytes batch = batch(size);
        return policies()
                .filter(policy -> fits(bytes(batch, policy), memory))
                .min(Comparator.comparingDouble(batch::recomputed));
    }

    private Stream<ActivationCheckpointing> policies() {
        return Stream.concat(
                Stream.of(ActivationCheckpointing.none()),
                IntStream.rangeClosed(1, config.layers())
                        .map(i -> config.layers() + 1 - i)
                        .mapToObj(ActivationCheckpointing::every)
                        .flatMap(policy -> Stream.of(policy, policy.keepingAttention())));
    }

    /** The plan of a batch of which the policy is given; see {@link #choose}. */
    public MemoryPlan plan(PlannedBatch size, ActivationCheckpointing policy, DeviceMemory memory) {
        MemoryPlan.Bytes bytes = bytes(batch(size), policy);
        return new MemoryPlan(
                placement.device().toString(),
                size.rows(),
                size.tokens(),
                size.positions(),
                policy,
                bytes,
                memory,
                bytes.peak(),
                fits(bytes, memory),
                advice(size, policy, bytes, memory));
    }

    /**
     * The same plan with dense copies of as many 4-bit weights as fit beside it on a GPU; elsewhere, and where nothing is in
     * 4 bits, the plan itself.
     */
    public MemoryPlan withDequantized(MemoryPlan plan) {
        long room = (long) (plan.memory().free() * (1 - RESERVE) - plan.peak() * BESIDE_COPIES);
        long wanted = fixed.packed() * placement.precision().bytes();
        long copies = StaticBytes.isGpu(placement) ? Math.max(0, Math.min(room, wanted)) : 0;
        return with(plan, copies, plan.bytes().checkpoint());
    }

    /** What a checkpoint holds of a training, in bytes: what is trained, and what the optimizer keeps. */
    public long stateBytes() {
        return fixed.state();
    }

    /** The same plan with a copy of the {@linkplain #stateBytes state} beside the training while it is written. */
    public MemoryPlan withCheckpointCopy(MemoryPlan plan) {
        return with(plan, plan.bytes().dequantized(), stateBytes());
    }

    /** The same plan with what is only taken where there is room. */
    private static MemoryPlan with(MemoryPlan plan, long dequantized, long checkpoint) {
        MemoryPlan.Bytes planned = plan.bytes();
        MemoryPlan.Bytes bytes = new MemoryPlan.Bytes(
                planned.weights(),
                dequantized,
                planned.adapter(),
                planned.gradients(),
                planned.optimizer(),
                planned.tables(),
                planned.activations(),
                planned.loss(),
                planned.block(),
                planned.step(),
                checkpoint);
        return new MemoryPlan(
                plan.device(),
                plan.rows(),
                plan.tokens(),
                plan.positions(),
                plan.activations(),
                bytes,
                plan.memory(),
                bytes.peak(),
                plan.fits(),
                plan.advice());
    }

    private boolean fits(PlannedBatch size, ActivationCheckpointing policy, DeviceMemory memory) {
        return fits(bytes(batch(size), policy), memory);
    }

    private static boolean fits(MemoryPlan.Bytes bytes, DeviceMemory memory) {
        return bytes.peak() <= memory.free() * (1 - RESERVE);
    }

    private BatchBytes batch(PlannedBatch size) {
        // A prefix is among the keys only; other virtual tokens go through the model as the rest.
        long positions = (long) size.tokens() + virtual;
        long all = size.positions() + (prefix ? 0 : (long) size.rows() * virtual);
        return BatchBytes.of(blocks, config.layers(), positions, all, prefix);
    }

    private MemoryPlan.Bytes bytes(BatchBytes batch, ActivationCheckpointing policy) {
        return new MemoryPlan.Bytes(
                fixed.weights(),
                0,
                fixed.adapter(),
                fixed.gradients(),
                fixed.optimizer(placement),
                pass.tables(batch.positions()),
                batch.tokens() * pass.lastNorm(trainsLastNorm) + batch.kept(policy),
                pass.loss(batch.tokens()),
                batch.working(policy) + fixed.largestDense(),
                fixed.optimizerStep(placement),
                0);
    }

    private String advice(
            PlannedBatch size, ActivationCheckpointing policy, MemoryPlan.Bytes bytes, DeviceMemory memory) {
        String needed = "the plan is " + ByteCount.text(bytes.peak()) + " for batches of "
                + MemoryPlan.describe(size.rows(), size.tokens(), size.positions())
                + ", " + ByteCount.text(memory.free()) + " were free: ";
        if (fits(bytes, memory)) {
            return needed + smaller(size, policy) + ", or free memory that other programs hold";
        }
        boolean all = policy.every() == 1;
        if (!all && fits(size, ActivationCheckpointing.all(), memory)) {
            return needed + "let blocks compute again with activationCheckpointing(" + policyThatFits(size, memory)
                    + ")";
        }
        int rows = largest(size.rows(), count -> fits(size.withRows(count), ActivationCheckpointing.all(), memory));
        if (rows > 0) {
            return needed + "lower the batch to " + rows + " (gradientAccumulation makes up for it)"
                    + (all ? "" : " and let all blocks compute again");
        }
        int tokens =
                largest(size.tokens(), count -> fits(PlannedBatch.one(count), ActivationCheckpointing.all(), memory));
        if (tokens >= 2) {
            return needed + "lower the batch to 1 and maxSequenceLength to " + tokens
                    + (all ? "" : ", and let all blocks compute again");
        }
        return needed + ByteCount.text(bytes.resident()) + " are there whatever the batch; " + smallerModel(bytes);
    }

    private String policyThatFits(PlannedBatch size, DeviceMemory memory) {
        return cheapest(size, memory).map(MemoryPlanner::expression).orElse("ActivationCheckpointing.all()");
    }

    private static String expression(ActivationCheckpointing policy) {
        String blocks = policy.every() == 1 ? "all()" : "every(" + policy.every() + ")";
        return "ActivationCheckpointing." + blocks + (policy.keepsAttention() ? ".keepingAttention()" : "");
    }

    private static String smaller(PlannedBatch size, ActivationCheckpointing policy) {
        if (size.rows() > 1) {
            return "should it not suffice, lower the batch to " + size.rows() / 2 + " and raise the accumulation";
        }
        return policy.every() == 1
                ? "should it not suffice, lower maxSequenceLength"
                : "should it not suffice, let all blocks compute again with activationCheckpointing(ActivationCheckpointing.all())";
    }

    private String smallerModel(MemoryPlan.Bytes bytes) {
        if (full) {
            return "train an adapter instead, with qlora(…) on a base in 4 bits";
        }
        if (bytes.resident() - bytes.weights() > bytes.weights()) {
            return "the adapter is what is large: take a lower rank or fewer modules";
        }
        if (!quantized) {
            return "keep the base in 4 bits with qlora(…) or quantize(…)";
        }
        return StaticBytes.isGpu(placement)
                ? "take a smaller model, a lower rank, or a GPU with more memory"
                : "take a smaller model, a lower rank, or a machine with more memory";
    }

    private interface Trial {
        boolean holds(int count);
    }

    /** The largest number below the given one for which the trial holds, as it does for all smaller ones; 0 for none. */
    private static int largest(int limit, Trial trial) {
        int low = 0;
        int high = limit;
        while (high - low > 1) {
            int middle = (low + high) >>> 1;
            if (trial.holds(middle)) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return low;
    }
}
