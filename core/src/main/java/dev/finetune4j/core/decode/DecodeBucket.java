package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.CudaDecodeKernels;
import dev.finetune4j.core.kernel.DecodeBuffers;
import dev.finetune4j.core.kernel.DecodeRow;
import dev.finetune4j.core.kernel.DecodeWorkspace;
import dev.finetune4j.core.kernel.cuda.CudaEvent;
import dev.finetune4j.core.kernel.cuda.CudaGraph;
import dev.finetune4j.core.kernel.cuda.CudaStream;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.OptionalInt;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** The memory of steps of one number of rows, and how they are run. */
abstract sealed class DecodeBucket implements AutoCloseable {
    private static final long FIRST_CAPACITY = 256;

    private final DecodeStep step;
    private final DecodeBuffers buffers;
    private final @Nullable AdapterBank bank;
    private AdapterBank.@Nullable Masks masks;
    private List<Integer> slots = List.of();
    private long bankMoves = -1;
    private @Nullable DecodeWorkspace workspace;
    private long capacity;

    /** @param bank has the adapters of the rows; null where the step has what it needs */
    private DecodeBucket(CausalLM model, DecodeStep step, int rows, @Nullable AdapterBank bank) {
        this.step = step;
        this.buffers = step.buffers(model, rows);
        this.bank = bank;
    }

    /** A bucket for the device of the step. */
    static DecodeBucket of(CausalLM model, DecodeStep step, int rows, @Nullable AdapterBank bank) {
        return step.kernels() instanceof CudaDecodeKernels kernels
                ? new Captured(model, step, rows, bank, kernels)
                : new Direct(model, step, rows, bank);
    }

    /** Rows of a step. */
    final int rows() {
        return buffers.rows();
    }

    final DecodeBuffers buffers() {
        return buffers;
    }

    final DecodeWorkspace workspace() {
        return Objects.requireNonNull(workspace);
    }

    /** Shape (rows, V). */
    final Tensor logits() {
        return buffers.logits();
    }

    /** Makes ready for sequences that have room for that many positions. */
    private void reserve(long positions) {
        if (capacity < positions) {
            long larger = Math.max(FIRST_CAPACITY, capacity);
            while (larger < positions) {
                larger *= 2;
            }
            DecodeWorkspace made = step.workspace(rows(), larger);
            forget();
            workspace = made;
            capacity = larger;
        }
    }

    /**
     * Computes the step of these rows.
     *
     * @param models the model of each, as the bank knows them
     * @param positions that the roomiest of them has room for
     * @param ahead whether the rows go on with the likeliest tokens if the device chooses them, so that it may begin with the next
     *     step at once
     */
    final void feed(List<DecodeRow> rows, List<CausalLM> models, long positions, boolean ahead) {
        reserve(positions);
        if (bank != null) {
            useAdapters(bank, models);
        }
        List<DecodeRow> all = new ArrayList<>(rows);
        all.addAll(Collections.nCopies(rows() - rows.size(), DecodeRow.idle()));
        buffers.input().write(all);
        execute(ahead);
    }

    private void useAdapters(AdapterBank adapters, List<CausalLM> models) {
        List<Integer> wanted = models.stream().map(adapters::slot).toList();
        if (masks == null || bankMoves != adapters.moves()) {
            forgetCaptures();
            closeMasks();
            masks = adapters.masks(rows());
            bankMoves = adapters.moves();
            slots = List.of();
        }
        if (!wanted.equals(slots)) {
            slots = List.of();
            adapters.write(masks, wanted);
            slots = wanted;
        }
        adapters.use(masks);
    }

    private void closeMasks() {
        if (masks != null) {
            masks.close();
            masks = null;
        }
    }

    /** Brings what was made of an adapter up to date. */
    final void refresh() {
        step.refresh();
    }

    abstract void execute(boolean ahead);

    /**
     * Takes the step that the device has begun by itself for the one of these rows, which are some of those of the last step.
     *
     * @param places which rows of the last step they are
     * @return whether there is such a step
     */
    abstract boolean takeStepAhead(List<DecodeRow> rows, int[] places, boolean ahead);

    /** Waits for what was asked of the device. */
    abstract void settle();

    /** What the device has chosen for a row; empty where it does not choose or there is nothing to be chosen. */
    abstract OptionalInt chosen(int row);

    /** The program itself. */
    final void run() {
        step.run(buffers, workspace());
    }

    /** What depends on where memory lies is gone. */
    abstract void forgetCaptures();

    private void forget() {
        forgetCaptures();
        if (workspace != null) {
            workspace.close();
            workspace = null;
        }
    }

    /** Frees what a bucket has besides the memory of its steps. */
    abstract void free();

    @Override
    public final void close() {
        forget();
        free();
        closeMasks();
        buffers.close();
    }

    /** Runs each step call by call. */
    private static final class Direct extends DecodeBucket {
        Direct(CausalLM model, DecodeStep step, int rows, @Nullable AdapterBank bank) {
            super(model, step, rows, bank);
        }

        @Override
        void execute(boolean ahead) {
            run();
        }

        @Override
        boolean takeStepAhead(List<DecodeRow> rows, int[] places, boolean ahead) {
            return false;
        }

        @Override
        void settle() {
            // Work is done when a call returns.
        }

        @Override
        OptionalInt chosen(int row) {
            return OptionalInt.empty();
        }

        @Override
        void forgetCaptures() {}

        @Override
        void free() {}
    }

    /**
     * Captures the second step as a CUDA graph, and replays it. The device chooses the likeliest tokens itself and can begin with
     * the next step before the host has seen them.
     */
    private static final class Captured extends DecodeBucket {
        private final ComputeDevice device;
        private final CudaDecodeKernels kernels;
        /** The ends of the last two steps, by turns. */
        private final List<CudaEvent> ends;

        private @Nullable CudaGraph graph;
        /** Of the graph; libtorch does not let a pool of memory be used again after its last graph. */
        private CudaGraph.@Nullable Memory memory;

        private boolean loaded;
        private long steps;
        /** Steps since the host has said what the rows are, less 1. */
        private long since;

        private boolean isAhead;

        Captured(CausalLM model, DecodeStep step, int rows, @Nullable AdapterBank bank, CudaDecodeKernels kernels) {
            super(model, step, rows, bank);
            this.device = model.placement().device();
            this.kernels = kernels;
            this.ends = List.of(new CudaEvent(device), new CudaEvent(device));
        }

        @Override
        void execute(boolean ahead) {
            since = 0;
            steps++;
            launch();
            beginNext(ahead);
        }

        private void beginNext(boolean ahead) {
            isAhead = ahead && graph != null;
            if (isAhead) {
                steps++;
                launch();
            }
        }

        private void launch() {
            if (!loaded) {
                // Kernels are loaded at their first launch, which cannot be captured.
                body();
                loaded = true;
            } else {
                if (graph == null) {
                    graph = capture();
                }
                graph.launch();
            }
            end(steps).record();
        }

        private CudaGraph capture() {
            CudaGraph.Memory own = new CudaGraph.Memory();
            boolean done = false;
            try (CudaStream stream = CudaStream.open(device)) {
                CudaGraph captured = CudaGraph.captureOverlapping(stream, own, this::body);
                memory = own;
                done = true;
                return captured;
            } finally {
                if (!done) {
                    own.close();
                }
            }
        }

        private void body() {
            try (TensorScope scope = new TensorScope()) {
                run();
                kernels.argmax(buffers(), workspace());
            }
        }

        private CudaEvent end(long number) {
            return ends.get((int) (number % 2));
        }

        @Override
        boolean takeStepAhead(List<DecodeRow> rows, int[] places, boolean ahead) {
            if (!isAhead) {
                return false;
            }
            for (int i = 0; i < places.length; i++) {
                DecodeRow before = buffers().input().row(places[i]);
                OptionalInt chosen = chosen(places[i]);
                boolean same = before.memory() == rows.get(i).memory()
                        && before.position() + since + 1 == rows.get(i).position()
                        && chosen.isPresent()
                        && chosen.getAsInt() == rows.get(i).token();
                if (!same) {
                    return false;
                }
            }
            since++;
            beginNext(ahead);
            return true;
        }

        @Override
        void settle() {
            ends.forEach(CudaEvent::await);
            isAhead = false;
        }

        @Override
        OptionalInt chosen(int row) {
            end(isAhead ? steps - 1 : steps).await();
            long position = buffers().input().row(row).position() + since;
            try (LongPointer all = workspace().chosen().data_ptr_long()) {
                long token = all.get(position * rows() + row);
                return token < 0 ? OptionalInt.empty() : OptionalInt.of(Math.toIntExact(token));
            }
        }

        @Override
        void forgetCaptures() {
            settle();
            if (graph != null) {
                graph.close();
                graph = null;
            }
            if (memory != null) {
                memory.close();
                memory = null;
            }
        }

        @Override
        void free() {
            ends.forEach(CudaEvent::close);
        }
    }
}
