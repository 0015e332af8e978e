package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * What changes from step to step, in memory that stays where it is: each row's token, its position, and where its keys and values
 * lie. Rows are sequences of any lengths, in any order. Owns its tensors.
 */
public final class DecodeInput implements AutoCloseable {
    private static final int COLUMNS = 4;

    /** A place where a row's keys and values have been. */
    private record Place(KeyValueMemory memory, long moves, int sequence) {
        static @Nullable Place of(DecodeRow row) {
            KeyValueMemory memory = row.memory();
            return memory == null ? null : new Place(memory, memory.moves(), row.sequence());
        }

        boolean isThat(@Nullable Place other) {
            return other != null && memory == other.memory && moves == other.moves && sequence == other.sequence;
        }

        /** Where the part of the sequence begins. */
        long address(Tensor all) {
            try (Pointer start = all.data_ptr()) {
                return start.address() + all.stride(0) * all.element_size() * sequence;
            }
        }
    }

    private final int layers;
    private final Tensor step;
    private final Tensor memory;
    private final List<DecodeRow> rows;
    private final List<@Nullable Place> places;
    private final long[] addresses;

    /**
     * Idle rows.
     *
     * @param rows how many
     * @param layers of the decoder
     */
    public DecodeInput(ComputeDevice device, int rows, int layers) {
        this.layers = layers;
        this.rows = new ArrayList<>(Collections.nCopies(rows, DecodeRow.idle()));
        this.places = new ArrayList<>(Collections.nCopies(rows, null));
        this.addresses = new long[layers * rows * 2];
        try (TensorScope scope = new TensorScope()) {
            this.step = scope.release(Tensors.zeros(device, ScalarType.Long, rows, COLUMNS));
            this.memory = scope.release(Tensors.zeros(device, ScalarType.Long, layers, rows, 2));
        }
        write(List.copyOf(this.rows));
    }

    /** A row of the next step as the host wrote it last; a device that chooses tokens itself may be ahead of it. */
    public DecodeRow row(int index) {
        return rows.get(index);
    }

    /**
     * For each row its position, the positions that its keys and values have room for, its token and the token chosen last (-1
     * for none), int64, shape (R, 4).
     */
    public Tensor step() {
        return step;
    }

    /** The addresses of each row's keys and values in a layer, int64, shape (R, 2); the current scope owns the view. */
    public Tensor memory(int layer) {
        return memory.select(0, layer);
    }

    /**
     * Says what the rows of the next step are.
     *
     * @param next one for each row
     */
    public void write(List<DecodeRow> next) {
        long[] numbers = new long[next.size() * COLUMNS];
        boolean moved = false;
        for (int index = 0; index < next.size(); index++) {
            DecodeRow row = next.get(index);
            rows.set(index, row);
            numbers[index * COLUMNS] = row.position();
            numbers[index * COLUMNS + 1] =
                    row.memory() == null ? 0 : row.memory().capacity();
            numbers[index * COLUMNS + 2] = row.token();
            numbers[index * COLUMNS + 3] = -1;
            Place place = Place.of(row);
            if (place != null && !place.isThat(places.get(index))) {
                places.set(index, place);
                note(index, place);
                moved = true;
            }
        }
        try (TensorScope scope = new TensorScope()) {
            step.copy_(Tensors.ofLongs(ComputeDevice.cpu(), numbers, rows.size(), COLUMNS));
            if (moved) {
                memory.copy_(Tensors.ofLongs(ComputeDevice.cpu(), addresses, layers, rows.size(), 2));
            }
        }
    }

    private void note(int index, Place place) {
        for (int layer = 0; layer < layers; layer++) {
            int first = (layer * rows.size() + index) * 2;
            addresses[first] = place.address(place.memory().keys(layer));
            addresses[first + 1] = place.address(place.memory().values(layer));
        }
    }

    @Override
    public void close() {
        step.close();
        memory.close();
    }
}
