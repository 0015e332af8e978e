package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaKernel;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.kernel.cuda.CudaPreload;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * On a CUDA GPU in bfloat16 by kernels that pass once over x, dy or dx and make dropout's masks as they go ({@code lowrank.cuh});
 * ranks that are no multiple of 8, widths that are none of 32, what else the kernels do not have, and many rows without dropout are
 * left to general products.
 */
final class CudaLowRankMatmul implements LowRankMatmul {
    private static final int THREADS = 256;
    private static final int WARPS = 8;
    /** Segments of the width that a split has at least, two for each warp. */
    private static final int MIN_SEGMENTS = 2 * WARPS;

    private final ComputeDevice device;
    private final LowRankMatmul others;
    private final Map<LowRankForm, Kernels> kernels = new ConcurrentHashMap<>();

    CudaLowRankMatmul(ComputeDevice device, LowRankMatmul others) {
        this.device = device;
        this.others = others;
    }

    /** The kernels of factors A, and of factors B where there is one member without dropout. */
    private record Kernels(CudaModule a, @Nullable CudaModule b) {}

    private CudaKernel kernel(LowRankForm form, String name) {
        Kernels known = kernels(form);
        CudaModule module = name.endsWith("_b") && known.b() != null ? known.b() : known.a();
        return module.kernel(name);
    }

    private Kernels kernels(LowRankForm form) {
        return kernels.computeIfAbsent(
                form,
                key -> new Kernels(
                        CudaModule.of(CudaLowRankMatmul.class, "lowranka.cu", key.prologue(), device),
                        key.members() > 1 || key.drop()
                                ? null
                                : CudaModule.of(CudaLowRankMatmul.class, "lowrankb.cu", key.prologue(), device)));
    }

    /** For as many members as share an input in a decoder: one, gate and up, or queries, keys and values. */
    @Override
    public void prepare(int rank, boolean dropout) {
        for (int members = 1; members <= LowRankForm.MAX_MEMBERS; members++) {
            int tiles = members * rank / LowRankForm.TILE_RANKS;
            if (rank % LowRankForm.TILE_RANKS == 0 && tiles <= LowRankForm.MAX_TILES) {
                LowRankForm form = dropout
                        ? new LowRankForm(members, rank / LowRankForm.TILE_RANKS, true)
                        : new LowRankForm(1, tiles, false);
                CudaPreload.once(device + form.prologue(), List.of(() -> kernels(form)));
            }
        }
    }

    private int multiprocessors() {
        return CudaModule.of(CudaLowRankMatmul.class, "dropout.cu", device).multiprocessors();
    }

    private static Tensor stackedA(List<Factors> members) {
        Tensor all = AdjacentTensors.rows(members.stream().map(Factors::a).toList());
        return LowRankForm.isAligned(all) && all.is_contiguous() ? all : all.clone();
    }

    private static long ceilDiv(long a, long b) {
        return (a + b - 1) / b;
    }

    /** Into how many parts work is cut so that each multiprocessor has the blocks that it holds at a time. */
    private int parts(CudaKernel kernel, long blocks, long most) {
        long wanted = (long) multiprocessors() * kernel.residentBlocks(THREADS) / blocks;
        return (int) Math.max(1, Math.min(wanted, most));
    }

    private static float scale(List<Factors> members, int i) {
        Factors member = members.get(Math.min(i, members.size() - 1));
        return (float) (member.scale() * maskScale(member));
    }

    private static double maskScale(Factors member) {
        return member.mask() == null ? 1 : member.mask().draw().scale();
    }

    /** The arguments that say what is dropped. */
    private static void addDraws(List<@Nullable Object> arguments, List<Factors> members) {
        DropoutMask mask = members.get(0).mask();
        DropoutKernel.Mask draw = mask == null ? new DropoutKernel.Mask(0, 0, 0, null, 0, 0, 1) : mask.draw();
        arguments.add(draw.part());
        arguments.add(draw.pass());
        arguments.add(draw.passOnDevice());
        arguments.add((int) draw.seed());
        arguments.add((int) (draw.seed() >>> Integer.SIZE));
        arguments.add(draw.threshold());
        for (int i = 0; i < LowRankForm.MAX_MEMBERS; i++) {
            DropoutMask own = members.get(Math.min(i, members.size() - 1)).mask();
            arguments.add(own == null ? 0 : own.draw().module());
        }
    }

    private static List<@Nullable Object> arguments(@Nullable Object... values) {
        List<@Nullable Object> arguments = new ArrayList<>();
        for (Object value : values) {
            arguments.add(value);
        }
        return arguments;
    }

    @Override
    public void down(Tensor x, List<Factors> members, Tensor low) {
        Optional<LowRankForm> form = LowRankForm.ofA(members, x);
        if (form.isEmpty()) {
            others.down(x, members, low);
            return;
        }
        try (TensorScope scope = new TensorScope()) {
            CudaKernel kernel = kernel(form.get(), "down_a");
            int rows = Math.toIntExact(x.size(0));
            int width = Math.toIntExact(x.size(1));
            long rowBlocks = ceilDiv(rows, form.get().rowTiles() * 16L);
            int splits = parts(kernel, rowBlocks, width / LowRankForm.SEGMENT / MIN_SEGMENTS);
            int ranks = form.get().ranks();
            Tensor partial = splits == 1 ? null : Tensors.empty(device, ScalarType.Float, (long) splits * rows, ranks);
            List<@Nullable Object> arguments = arguments(
                    x,
                    x.stride(0),
                    stackedA(members),
                    low,
                    partial,
                    rows,
                    width,
                    splits,
                    scale(members, 0),
                    scale(members, 1),
                    scale(members, 2));
            addDraws(arguments, members);
            kernel.launch(rowBlocks * splits, THREADS, arguments.toArray());
            if (partial != null) {
                narrow(form.get(), partial, low, splits, members);
            }
        }
    }

    /** Adds up parts of a low-rank product, (parts, n, ranks), and scales the sum. */
    private void narrow(LowRankForm form, Tensor partial, Tensor low, int parts, List<Factors> members) {
        int rows = Math.toIntExact(low.size(0));
        int ranks = form.ranks();
        kernel(form, "narrow_partial")
                .launch(
                        ceilDiv((long) rows * ranks / 2, THREADS),
                        THREADS,
                        partial,
                        low,
                        (int) low.stride(0),
                        rows,
                        ranks,
                        parts,
                        form.tiles() * LowRankForm.TILE_RANKS,
                        scale(members, 0),
                        scale(members, 1),
                        scale(members, 2));
    }

    @Override
    public void up(Tensor low, List<Factors> members, Tensor y) {
        if (y.size(0) > LowRankForm.MAX_PLAIN_ROWS) {
            others.up(low, members, y);
            return;
        }
        try (TensorScope scope = new TensorScope()) {
            long rank = 0;
            for (Factors member : members) {
                Tensor ownLow = low.narrow(1, rank, member.rank());
                Tensor own = member.outputsOf(y);
                Optional<LowRankForm> form = LowRankForm.ofB(member, own);
                if (form.isPresent()) {
                    up(form.get(), ownLow, member, own);
                } else {
                    others.up(ownLow, List.of(member), y);
                }
                rank += member.rank();
            }
        }
    }

    private void up(LowRankForm form, Tensor low, Factors member, Tensor y) {
        CudaKernel kernel = kernel(form, "up_b");
        int rows = Math.toIntExact(y.size(0));
        long columnBlocks = ceilDiv(y.size(1), (long) WARPS * LowRankForm.SEGMENT);
        int panels = parts(kernel, columnBlocks, ceilDiv(rows, 64));
        kernel.launch(
                columnBlocks * panels,
                THREADS,
                low,
                (int) low.stride(0),
                member.b(),
                y,
                y.stride(0),
                rows,
                (int) y.size(1),
                panels);
    }

    @Override
    public void backwardUp(Tensor dy, Tensor low, List<Factors> members, Tensor dlow) {
        if (dy.size(0) > LowRankForm.MAX_PLAIN_ROWS) {
            others.backwardUp(dy, low, members, dlow);
            return;
        }
        try (TensorScope scope = new TensorScope()) {
            long rank = 0;
            for (Factors member : members) {
                Tensor ownLow = low.narrow(1, rank, member.rank());
                Tensor ownGradient = dlow.narrow(1, rank, member.rank());
                Tensor own = member.outputsOf(dy);
                Optional<LowRankForm> form = member.gradB() == null ? Optional.empty() : LowRankForm.ofB(member, own);
                if (form.isPresent()) {
                    backwardUp(form.get(), own, ownLow, member, ownGradient);
                } else {
                    others.backwardUp(dy, ownLow, List.of(member), ownGradient);
                }
                rank += member.rank();
            }
        }
    }

    /** In one pass over dy. */
    private void backwardUp(LowRankForm form, Tensor dy, Tensor low, Factors member, Tensor dlow) {
        CudaKernel kernel = kernel(form, "gradient_b");
        int rows = Math.toIntExact(dy.size(0));
        int width = Math.toIntExact(dy.size(1));
        int ranks = form.ranks();
        int columnBlocks = Math.toIntExact(ceilDiv(width, (long) WARPS * form.segments() * LowRankForm.SEGMENT));
        int panels = parts(kernel, columnBlocks, ceilDiv(rows, 64));
        Tensor partial = Tensors.empty(device, ScalarType.Float, (long) panels * width, ranks);
        Tensor narrow = Tensors.empty(device, ScalarType.Float, (long) columnBlocks * rows, ranks);
        kernel.launch(
                (long) columnBlocks * panels,
                THREADS,
                dy,
                dy.stride(0),
                low,
                (int) low.stride(0),
                member.b(),
                partial,
                narrow,
                rows,
                width,
                panels);
        add(form, partial, Objects.requireNonNull(member.gradB()), panels, 1);
        Factors unmasked = new Factors(member.a(), member.b(), null, null, 0, member.scale(), null);
        narrow(form, narrow, dlow, columnBlocks, List.of(unmasked));
    }

    /** Adds the sum of all panels to a gradient. */
    private void add(LowRankForm form, Tensor partial, Tensor gradient, int panels, double scale) {
        long count = gradient.numel();
        kernel(form, "add_partial")
                .launch(ceilDiv(count, 4L * THREADS), THREADS, partial, gradient, count, panels, (float) scale);
    }

    @Override
    public void addGradA(Tensor dlow, Tensor x, List<Factors> members) {
        Optional<LowRankForm> form = LowRankForm.ofA(members, x);
        if (form.isEmpty() || members.stream().allMatch(member -> member.gradA() == null)) {
            others.addGradA(dlow, x, members);
            return;
        }
        try (TensorScope scope = new TensorScope()) {
            CudaKernel kernel = kernel(form.get(), "gradient_a");
            int rows = Math.toIntExact(x.size(0));
            int width = Math.toIntExact(x.size(1));
            long columnBlocks = ceilDiv(width, 2L * form.get().segments() * LowRankForm.SEGMENT);
            int panels = parts(kernel, columnBlocks, ceilDiv(rows, 128));
            int ranks = form.get().ranks();
            Tensor partial = Tensors.empty(device, ScalarType.Float, (long) panels * ranks, width);
            List<@Nullable Object> arguments = arguments(x, x.stride(0), dlow, partial, rows, width, panels);
            addDraws(arguments, members);
            kernel.launch(columnBlocks * panels, THREADS, arguments.toArray());
            addAll(form.get(), partial, panels, members);
        }
    }

    private void addAll(LowRankForm form, Tensor partial, int panels, List<Factors> members) {
        double scale = maskScale(members.get(0));
        List<Tensor> gradients = new ArrayList<>();
        for (Factors member : members) {
            if (member.gradA() != null) {
                gradients.add(member.gradA());
            }
        }
        Optional<Tensor> all = gradients.size() == members.size() ? AdjacentTensors.view(gradients) : Optional.empty();
        if (all.isPresent()) {
            add(form, partial, all.get(), panels, scale);
            return;
        }
        Tensor sum = Tensors.zeros(device, ScalarType.Float, LowRankMatmul.ranks(members), partial.size(1));
        add(form, partial, sum, panels, scale);
        long rank = 0;
        for (Factors member : members) {
            if (member.gradA() != null) {
                member.gradA().add_(sum.narrow(0, rank, member.rank()));
            }
            rank += member.rank();
        }
    }

    @Override
    public Tensor inputGradient(Tensor dlow, List<Factors> members) {
        long in = members.get(0).a().size(1);
        try (TensorScope scope = new TensorScope()) {
            Tensor dx = Tensors.empty(device, Tensors.typeOf(dlow), dlow.size(0), in);
            Optional<LowRankForm> form = LowRankForm.ofA(members, dx);
            if (form.isEmpty()) {
                return scope.keep(others.inputGradient(dlow, members));
            }
            CudaKernel kernel = kernel(form.get(), "up_a");
            int rows = Math.toIntExact(dlow.size(0));
            long columnBlocks = ceilDiv(in, (long) WARPS * LowRankForm.SEGMENT);
            int panels = parts(kernel, columnBlocks, ceilDiv(rows, 64));
            List<@Nullable Object> arguments = arguments(
                    dlow, stackedA(members), dx, in, rows, (int) in, panels, (float) maskScale(members.get(0)));
            addDraws(arguments, members);
            kernel.launch(columnBlocks * panels, THREADS, arguments.toArray());
            return scope.keep(dx);
        }
    }
}
