package dev.finetune4j.core.decode;

import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.kernel.DecodeKernels;
import dev.finetune4j.core.kernel.DecodeRow;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.GemvKernel;
import dev.finetune4j.core.kernel.KeyValueMemory;
import dev.finetune4j.core.kernel.RowProducts;
import dev.finetune4j.core.message.ByteCount;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.nn.DenseLinear;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.ModuleTransform;
import dev.finetune4j.core.nn.Named;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.Threads;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Decodes one token of each of several sequences at a time, of a base model and its adapters. The sequences have lengths and key-value
 * memories of their own and may be others in each step; each is computed as if it were alone, up to rounding.
 *
 * <p>Up to {@link GemvKernel#maxRows} rows go through the kernels that decode a single one, more through matrix products, for
 * which the weights of a 4-bit base are unpacked once if there is memory for them. Rows with different LoRA adapters share all of it. A
 * step has 1, 2, 4, 8, … rows, some of them idle, so that memory, and on a GPU a captured graph, serve many steps.
 *
 * <p>It may be used by one thread at a time. It borrows the models; once one of them is closed, it refuses to go on.
 */
public final class BatchDecoder implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(BatchDecoder.class);
    private static final String ELSEWHERE = "the model's device has no kernels of our own";

    /** The most that weights which are unpacked for good may take of what is free. */
    private static final double SHARE = 0.5;

    /** Steps of so many rows by the products of one model, or of the base with the adapters of the rows. */
    private record Key(CausalLM model, boolean mixed, int rows) {}

    private final CausalLM base;
    private final boolean keepsDense;
    private final Map<Key, DecodeBucket> buckets = new HashMap<>();
    private final Map<CausalLM, Optional<CausalLM>> groups = new HashMap<>();
    /** How many rows the kernels for few rows take of a model; to put its step together for each row set would cost as a step does. */
    private final Map<CausalLM, Integer> fewRows = new HashMap<>();

    private @Nullable AdapterBank bank;
    private @Nullable DecodeStep many;
    /** The weights that were unpacked for good, by linear of the base. */
    private final Map<Linear, Tensor> resident = new HashMap<>();
    /** Models that take these, by what they stand for. */
    private final Map<CausalLM, CausalLM> withResident = new HashMap<>();

    private List<DecodeRow> fed = List.of();
    private int[] places = {};
    private @Nullable DecodeBucket last;

    /**
     * @param base borrowed
     * @param keepsDense whether weights may be unpacked for good
     */
    public BatchDecoder(CausalLM base, boolean keepsDense) {
        this.base = base;
        this.keepsDense = keepsDense;
    }

    private static DecodeSupport support(CausalLM model) {
        return DecodeSupport.of(model, DecodeKernels.class, ELSEWHERE);
    }

    /** What keeps a model from being decoded this way, as the end of a sentence; empty when nothing does. */
    public static Optional<String> unsupportedReason(CausalLM model) {
        DecodeSupport support = support(model);
        return support.step() == null ? Optional.of(support.reason()) : Optional.empty();
    }

    /**
     * Which models can be in one step: those of which this is the same.
     *
     * @param model the base or a view of it
     * @return empty when the model cannot be decoded this way
     * @throws IllegalStateException if the model or its adapter is closed
     */
    public Optional<CausalLM> group(CausalLM model) {
        return groups.computeIfAbsent(model, this::newGroup);
    }

    private Optional<CausalLM> newGroup(CausalLM model) {
        try (Lifetime.Use use = Lifetime.useAll(model.lifetimes())) {
            if (unsupportedReason(model).isPresent()) {
                return Optional.empty();
            }
            return Optional.of(unsupportedReason(base).isEmpty() && bank().supports(model) ? base : model);
        }
    }

    /** Makes ready for a text of a model, whose adapter may have been trained since the last one. */
    public void begin(CausalLM model) {
        try (Lifetime.Use use = model.use()) {
            if (bank != null && bank.isStale(model)) {
                settle();
                bank.refresh(model);
            }
            buckets.forEach((key, bucket) -> {
                if (key.model() == model) {
                    bucket.refresh();
                }
            });
        }
    }

    private AdapterBank bank() {
        if (bank == null) {
            List<List<Named<Linear>>> sites = new ArrayList<>();
            DecodeSupport.of(base, DecodeKernels.class, ELSEWHERE, (linears, type) -> {
                sites.add(linears);
                return DecodeSupport.gemv(linears, type);
            });
            bank = new AdapterBank(
                    new AdapterSites(base, Tensors.typeOf(base.placement().precision()), sites));
        }
        return bank;
    }

    /** Forgets what was made for models that are closed. */
    public void forgetClosed() {
        groups.keySet().removeIf(BatchDecoder::isClosed);
        fewRows.keySet().removeIf(BatchDecoder::isClosed);
        withResident.keySet().removeIf(BatchDecoder::isClosed);
        buckets.entrySet().removeIf(entry -> {
            boolean closed = isClosed(entry.getKey().model());
            if (closed) {
                if (entry.getValue() == last) {
                    last = null;
                }
                entry.getValue().close();
            }
            return closed;
        });
    }

    private static boolean isClosed(CausalLM model) {
        return model.lifetimes().stream().anyMatch(Lifetime::isClosed);
    }

    /**
     * Feeds one token of each sequence.
     *
     * @param rows one for each sequence, whose memory has room for the position
     * @param models the model of each, all of one {@link #group}
     * @param ahead whether the rows go on with the likeliest tokens, unless they end: the device may then begin with the next step
     *     at once. Until {@link #settle} or the step after the next one it may write to the memory of each
     * @throws IllegalArgumentException if there is no such token
     * @throws IllegalStateException if a model or its adapter is closed
     */
    public void feed(List<DecodeRow> rows, List<CausalLM> models, boolean ahead) {
        long capacity = 0;
        for (DecodeRow row : rows) {
            KeyValueMemory memory = Objects.requireNonNull(row.memory());
            capacity = Math.max(capacity, memory.capacity());
            if (row.token() < 0 || row.token() >= base.config().vocabSize() || row.position() >= memory.capacity()) {
                throw new IllegalArgumentException("there is no token " + row.token() + ", or no room for its position "
                        + row.position() + " in a memory of " + memory.capacity());
            }
        }
        Set<CausalLM> distinct = new LinkedHashSet<>(models);
        Set<Lifetime> used = new LinkedHashSet<>();
        distinct.forEach(model -> used.addAll(model.lifetimes()));
        try (Lifetime.Use use = Lifetime.useAll(List.copyOf(used));
                Threads.Share share = Threads.share(base.placement().threads());
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            if (!takeStepAhead(rows, ahead)) {
                DecodeBucket bucket = bucket(distinct, rows.size());
                settleUnless(bucket);
                last = bucket;
                places = identity(rows.size());
                bucket.feed(rows, models, capacity, ahead);
            }
            fed = List.copyOf(rows);
        }
    }

    private static int[] identity(int count) {
        int[] places = new int[count];
        for (int i = 0; i < count; i++) {
            places[i] = i;
        }
        return places;
    }

    /** Steps of different buckets share weights that may move. */
    private void settleUnless(DecodeBucket next) {
        if (last != null && last != next) {
            last.settle();
        }
    }

    private boolean takeStepAhead(List<DecodeRow> rows, boolean ahead) {
        if (last == null) {
            return false;
        }
        int[] found = new int[rows.size()];
        int from = 0;
        for (int i = 0; i < found.length; i++) {
            while (from < fed.size() && fed.get(from).memory() != rows.get(i).memory()) {
                from++;
            }
            if (from == fed.size()) {
                return false;
            }
            found[i] = places[from++];
        }
        // Rows that have ended must not be written any more.
        boolean same = found.length == fed.size();
        if (!last.takeStepAhead(rows, found, ahead && same)) {
            return false;
        }
        places = found;
        return true;
    }

    private DecodeBucket bucket(Set<CausalLM> models, int count) {
        int rows = count == 1 ? 1 : Integer.highestOneBit(count - 1) * 2;
        CausalLM first = models.iterator().next();
        CausalLM group = group(first).orElseThrow();
        boolean few = rows <= fewRows.computeIfAbsent(first, model -> maxFewRows(support(model)));
        if (models.size() == 1 && (few || group != base || !bank().adds(first))) {
            return buckets.computeIfAbsent(new Key(first, false, rows), key -> plain(first, rows));
        }
        bank().load(models);
        return buckets.computeIfAbsent(new Key(base, true, rows), key -> {
            return DecodeBucket.of(base, withAdapters(step(base, rows)), rows, bank());
        });
    }

    private DecodeBucket plain(CausalLM model, int rows) {
        return DecodeBucket.of(model, step(model, rows), rows, null);
    }

    /** How many rows the kernels for few rows have; a head of another form may go another way. */
    private static int maxFewRows(DecodeSupport few) {
        return few.step() == null
                ? GemvKernel.MAX_ROWS
                : Math.max(GemvKernel.MAX_ROWS, few.step().maxRows());
    }

    private DecodeStep step(CausalLM model, int rows) {
        DecodeSupport support = support(model);
        if (rows > maxFewRows(support)) {
            return many(model);
        }
        DecodeStep few = require(support);
        if (rows > GemvKernel.MAX_ROWS && model == base) {
            // So many texts have prompts, which take the weights unpacked.
            many(base);
        }
        if (few.parts().head().maxRows() >= rows) {
            return few;
        }
        RowProducts head = matrixProducts(
                List.of(new Named<>(ModuleNames.OUTPUT_HEAD, model.head())),
                few.kernels().type());
        return new DecodeStep(few.kernels(), few.parts().withHead(head));
    }

    private static DecodeStep require(DecodeSupport support) {
        return Objects.requireNonNull(support.step(), support.reason());
    }

    private DecodeStep withAdapters(DecodeStep step) {
        int[] site = {0};
        return new DecodeStep(step.kernels(), step.parts().with(products -> bank().with(products, site[0]++)));
    }

    /** Steps by matrix products; those of the base share weights that were unpacked. */
    private DecodeStep many(CausalLM model) {
        if (model != base) {
            return require(DecodeSupport.of(model, DecodeKernels.class, ELSEWHERE, this::matrixProducts));
        }
        if (many == null) {
            many = require(DecodeSupport.of(base, DecodeKernels.class, ELSEWHERE, this::matrixProducts));
            if (keepsDense && DeviceKernels.of(base.placement().device()).isAsync()) {
                keepDense(many.parts().products());
            }
        }
        return many;
    }

    private RowProducts matrixProducts(List<Named<Linear>> linears, ScalarType type) {
        return new MatrixProducts(
                linears.stream().map(Named::module).toList(), base.placement().device(), type);
    }

    /** The same model with the weights that were unpacked for good, for passes without gradients while this is open. */
    public CausalLM withResidentWeights(CausalLM model) {
        return resident.isEmpty() ? model : withResident.computeIfAbsent(model, this::mapped);
    }

    private CausalLM mapped(CausalLM model) {
        return model.map(new ModuleTransform() {
            @Override
            public Linear linear(String name, Linear linear) {
                Linear.LowRankAddition addition = linear.addition();
                Tensor weight = resident.get(addition == null ? linear : addition.base());
                return weight == null
                        ? linear
                        : new ResidentLinear(linear, weight, addition == null ? null : addition.added());
            }
        });
    }

    /**
     * The bytes of weights that are unpacked for good when steps of many rows begin; 0 where that is not done.
     *
     * @param free bytes that are free
     */
    public static long residentBytes(CausalLM base, long free) {
        if (!DeviceKernels.of(base.placement().device()).isAsync()) {
            return 0;
        }
        long numbers = base.linears().values().stream()
                .filter(linear -> !(linear instanceof DenseLinear))
                .mapToLong(linear -> linear.inFeatures() * linear.outFeatures())
                .sum();
        long bytes = numbers * base.placement().precision().bytes();
        return bytes > free * SHARE ? 0 : bytes;
    }

    private void keepDense(List<RowProducts> products) {
        List<MatrixProducts> all =
                products.stream().map(MatrixProducts.class::cast).toList();
        long bytes = all.stream().mapToLong(MatrixProducts::denseBytes).sum();
        long free = DeviceMemory.of(base.placement().device()).free();
        if (bytes == 0) {
            return;
        }
        if (bytes > free * SHARE) {
            LOG.info(
                    "the weights are unpacked for each prompt and each step of many texts, because to keep them in 16 bit"
                            + " takes {} of {} that are free",
                    ByteCount.text(bytes),
                    ByteCount.text(free));
            return;
        }
        for (MatrixProducts part : all) {
            part.keepDense();
            resident.putAll(part.kept());
        }
        LOG.info("the weights are kept in 16 bit too for prompts and steps of many texts: {}", ByteCount.text(bytes));
    }

    /**
     * The argmax of a row's logits, the first of equals, if the device has computed it with them; waits for it. Empty too if a
     * logit is NaN or the largest is infinite.
     */
    public OptionalInt deviceArgmax(int row) {
        return Objects.requireNonNull(last).chosen(places[row]);
    }

    /**
     * The logits of rows after the last step, which was not asked with {@code ahead}.
     *
     * @return for each of the rows (V) numbers; the caller may change them
     */
    public List<float[]> logits(List<Integer> rows) {
        try (TensorScope scope = new TensorScope()) {
            Tensor all = Objects.requireNonNull(last).logits();
            long[] wanted = rows.stream().mapToLong(row -> places[row]).toArray();
            Tensor some = all.index_select(0, Tensors.ofLongs(Tensors.deviceOf(all), wanted, wanted.length));
            float[] numbers = Tensors.toFloats(some);
            List<float[]> logits = new ArrayList<>();
            int width = numbers.length / wanted.length;
            for (int row = 0; row < wanted.length; row++) {
                logits.add(Arrays.copyOfRange(numbers, row * width, (row + 1) * width));
            }
            return logits;
        }
    }

    /** Waits for what was asked of the device. */
    public void settle() {
        if (last != null) {
            last.settle();
        }
    }

    /** Frees the working memory. Closing twice is fine. */
    @Override
    public void close() {
        settle();
        last = null;
        buckets.values().forEach(DecodeBucket::close);
        buckets.clear();
        if (bank != null) {
            bank.close();
            bank = null;
        }
        if (many != null) {
            many.parts().products().forEach(products -> ((MatrixProducts) products).close());
            many = null;
        }
        groups.clear();
        resident.clear();
        withResident.clear();
    }
}
