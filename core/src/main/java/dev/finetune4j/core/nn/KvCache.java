package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * The keys and values of the tokens seen so far, per layer, so that each new token costs one row of attention.
 *
 * <p>Buffers grow by doubling. A cache belongs to one sequence of calls and is confined to one thread at a time.
 */
public final class KvCache implements AutoCloseable {
    private final List<Layer> layers;
    private long virtual;
    private long length;
    private long moves;
    private boolean closed;

    /** A cache for a decoder with the given number of layers. */
    public KvCache(int layers) {
        this.layers = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            this.layers.add(new Layer());
        }
    }

    /** How many positions of tokens are held. */
    public long length() {
        return length;
    }

    /** How many positions stand before those of tokens and stay there, as a trained prompt has them. */
    public long virtual() {
        return virtual;
    }

    /** All positions that are held, virtual ones included. */
    public long positions() {
        return virtual + length;
    }

    /** Makes what is held so far the beginning that {@link #truncate} never forgets. */
    public void fix() {
        virtual += length;
        length = 0;
    }

    /**
     * Forgets all positions from {@code newLength} on.
     *
     * @throws IllegalArgumentException if fewer positions are held
     */
    public void truncate(long newLength) {
        if (newLength < 0 || newLength > length) {
            throw new IllegalArgumentException("cannot cut a cache of " + length + " positions to " + newLength);
        }
        length = newLength;
    }

    /**
     * Makes room in every layer, so that its buffers stay where they are until that many positions are held.
     *
     * @param positions virtual ones included
     * @param like an example of what is added: shape (B, kv heads, any, head size)
     */
    public void reserve(long positions, Tensor like) {
        for (int i = 0; i < layers.size(); i++) {
            layer(i).reserve(positions, like);
        }
    }

    /** How often a buffer has been replaced so far: as long as it stays the same, so do {@link Layer#keys} and {@link Layer#values}. */
    public long moves() {
        return moves;
    }

    /** Counts the positions that every layer has taken up; called by the model after its last layer. */
    public void advance(long positions) {
        length += positions;
    }

    /** The part of one layer, counted from 0. */
    public Layer layer(int index) {
        if (closed) {
            throw new IllegalStateException("the key-value cache is closed");
        }
        return layers.get(index);
    }

    /** Frees the buffers. Closing twice is fine. */
    @Override
    public void close() {
        closed = true;
        layers.forEach(Layer::close);
    }

    /** Keys and values of one layer. */
    public final class Layer implements PastKeys {
        private @Nullable Tensor keys;
        private @Nullable Tensor values;

        @Override
        public KeysAndValues append(Tensor newKeys, Tensor newValues) {
            long total = positions() + newKeys.size(2);
            keys = store(keys, newKeys, total);
            values = store(values, newValues, total);
            return new KeysAndValues(keys.narrow(2, 0, total), values.narrow(2, 0, total));
        }

        /** The buffer of keys, shape (B, kv heads, capacity, head size); null before the first positions. It may be replaced. */
        public @Nullable Tensor keys() {
            return keys;
        }

        /** The buffer of values, as {@link #keys}. */
        public @Nullable Tensor values() {
            return values;
        }

        private void reserve(long positions, Tensor like) {
            if (keys == null || keys.size(2) < positions || keys.size(0) != like.size(0)) {
                keys = enlarge(keys, like, positions);
                values = enlarge(values, like, positions);
            }
        }

        private Tensor store(@Nullable Tensor buffer, Tensor added, long total) {
            Tensor target = buffer;
            if (target == null || target.size(2) < total || target.size(0) != added.size(0)) {
                target = enlarge(buffer, added, total);
            }
            target.narrow(2, positions(), added.size(2)).copy_(added);
            return target;
        }

        private Tensor enlarge(@Nullable Tensor buffer, Tensor added, long total) {
            moves++;
            long capacity = 64;
            while (capacity < total) {
                capacity *= 2;
            }
            long[] shape = {added.size(0), added.size(1), capacity, added.size(3)};
            try (TensorScope scope = new TensorScope()) {
                Tensor larger = torch.empty(shape, added.options(), new MemoryFormatOptional());
                if (buffer != null) {
                    // A beginning that was made once serves every row of a batch.
                    larger.narrow(2, 0, positions()).copy_(buffer.narrow(2, 0, positions()));
                    buffer.close();
                }
                return scope.release(larger);
            }
        }

        private void close() {
            if (keys != null) {
                keys.close();
                keys = null;
            }
            if (values != null) {
                values.close();
                values = null;
            }
        }
    }
}
