package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.KeyValueMemory;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * The keys and values of the tokens seen so far, per layer, so that each new token costs one row of attention.
 *
 * <p>Buffers grow by doubling, those of keys and values together or not at all: when memory runs out, the cache holds what it
 * held. A cache belongs to one sequence of calls and serves one thread at a time; a second one is refused. Closing it waits
 * for a pass in progress.
 *
 * <p>Keys are held as they were turned. Where rotary frequencies go with the length of a text ({@link RopeScaling.LongRope},
 * {@link RopeScaling.Dynamic}), those of a shorter text are not those of a longer one: {@link #alikeIn} tells which of them are, and a
 * pass takes up nothing that does not fit ({@link #requireGoesOn}).
 */
public final class KvCache implements KeyValueMemory, AutoCloseable {
    private static final long FIRST_CAPACITY = 64;

    private final Lifetime lifetime = Lifetime.confined(
            "the key-value cache is closed",
            "the key-value cache serves one thread at a time; use one for each sequence");
    private final List<Layer> layers;
    private final TurnedKeys turned;
    private long virtual;
    private long length;
    private long moves;
    private long changes;

    /** A cache for a decoder with the given number of layers, whose frequencies do not go with the length of a text. */
    public KvCache(int layers) {
        this(layers, TextFrequencies.FIXED);
    }

    /**
     * A cache for a decoder.
     *
     * @param layers how many it has
     * @param frequencies of its rotary embeddings
     */
    public KvCache(int layers, TextFrequencies frequencies) {
        this.turned = new TurnedKeys(frequencies);
        this.layers = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            this.layers.add(new Layer());
        }
    }

    /** Who holds a use of it keeps other threads out, and the buffers where they can be read: a pass does. */
    public Lifetime lifetime() {
        return lifetime;
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

    /**
     * Makes what is held so far the beginning that {@link #truncate} never forgets.
     *
     * @param haveAngles whether its keys were turned by the angles of their positions
     */
    public void fix(boolean haveAngles) {
        try (Lifetime.Use use = lifetime.use()) {
            virtual += length;
            length = 0;
            changes++;
            if (!haveAngles) {
                turned.areUnturned(virtual);
            }
        }
    }

    /** Forgets everything, the beginning too; buffers stay where they are. */
    public void clear() {
        try (Lifetime.Use use = lifetime.use()) {
            virtual = 0;
            length = 0;
            turned.cut(0);
            changes++;
        }
    }

    /**
     * Says how long a text will be that is taken up in pieces, so that each is turned as in a pass over the whole.
     *
     * @param positions those of the whole text, virtual ones included
     */
    public void announce(long positions) {
        turned.announce(positions);
    }

    /** How many positions a text has with the next ones, virtual and announced ones included: its length for their frequencies. */
    public long lengthWith(long count) {
        return turned.lengthWith(positions(), count);
    }

    /**
     * How many of the first tokens have the keys that they have in a text of that many tokens.
     *
     * @return at most {@link #length}; -1 where not even the virtual positions have them
     */
    public long alikeIn(long tokens) {
        long alike = turned.alikeIn(virtual + tokens);
        return alike < virtual ? -1 : alike - virtual;
    }

    /**
     * Whether a text can grow to that many tokens with what is held of it. Otherwise the keys of all of it have to be computed anew,
     * because its frequencies change.
     */
    public boolean goesOnTo(long tokens) {
        return turned.goOnTo(Math.max(virtual + tokens, lengthWith(0)));
    }

    /**
     * Checks that the next positions may be taken up behind those that are held.
     *
     * @throws IllegalStateException when all of the text has to be computed anew
     */
    public void requireGoesOn(long count) {
        if (!goesOnTo(length + count)) {
            throw new IllegalStateException(
                    "the keys of " + positions() + " positions were turned with the rotary"
                            + " frequencies of another length than " + lengthWith(count)
                            + "; prepare the cache for the longer text (CausalLM.prepare), and take up anew what it has forgotten");
        }
    }

    /** Whether the next position has the angles that a token has which comes alone, rather than those of a longer text that was announced. */
    public boolean isTurnedAlone() {
        return turned.areTurnedOneByOne(positions(), 1);
    }

    /**
     * Forgets all positions from {@code newLength} on.
     *
     * @throws IllegalArgumentException if fewer positions are held
     * @throws IllegalStateException if the cache is closed, or another thread uses it
     */
    public void truncate(long newLength) {
        try (Lifetime.Use use = lifetime.use()) {
            if (newLength < 0 || newLength > length) {
                throw new IllegalArgumentException("cannot cut a cache of " + length + " positions to " + newLength);
            }
            length = newLength;
            turned.cut(positions());
            changes++;
        }
    }

    /**
     * Makes room in every layer, the same in all, so that its buffers stay where they are until that many positions are held.
     * When that fails, no layer is changed.
     *
     * @param positions virtual ones included
     * @param like an example of what is added: shape (B, kv heads, any, head size)
     * @throws IllegalStateException if the cache is closed, or another thread uses it
     */
    public void reserve(long positions, Tensor like) {
        try (Lifetime.Use use = lifetime.use();
                TensorScope scope = new TensorScope()) {
            // A pass that ended in its middle may have left some with more room than others.
            long most = layers.stream().mapToLong(Layer::capacity).max().orElse(0);
            long wanted = Math.max(positions, most);
            List<@Nullable Buffers> larger = new ArrayList<>();
            for (Layer layer : layers) {
                larger.add(layer.serves(like, wanted) ? null : layer.enlarged(like, like, wanted));
            }
            for (int i = 0; i < layers.size(); i++) {
                Buffers buffers = larger.get(i);
                if (buffers != null) {
                    layers.get(i).replace(buffers, scope);
                }
            }
        }
    }

    /**
     * Takes over the first positions of another cache, virtual ones too; this one holds none but these. They are there when this
     * returns, so that the other one may change then.
     *
     * @param other of the same model
     * @param positions not more than that one holds
     * @throws IllegalStateException if one of them is closed, or another thread uses it
     */
    public void copyFrom(KvCache other, long positions) {
        if (length != 0 || positions > other.length || virtual != other.virtual) {
            throw new IllegalArgumentException(
                    "cannot copy " + positions + " positions of a cache of " + other.length + " into one of " + length);
        }
        try (Lifetime.Use use = lifetime.use();
                Lifetime.Use source = other.lifetime.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            reserve(virtual + positions, other.keys(0));
            for (int i = 0; i < layers.size(); i++) {
                copy(keys(i), other.keys(i), virtual + positions);
                copy(values(i), other.values(i), virtual + positions);
            }
            length = positions;
            turned.copy(other.turned, positions());
            changes++;
            // A number that is read has waited for what was asked before.
            Tensors.toFloats(values(layers.size() - 1).flatten().narrow(0, 0, 1));
        }
    }

    private static void copy(Tensor to, Tensor from, long positions) {
        to.narrow(2, 0, positions).copy_(from.narrow(2, 0, positions));
    }

    /** For how many positions there is room in every layer; 0 before the first. */
    @Override
    public long capacity() {
        return layers.stream().mapToLong(Layer::capacity).min().orElse(0);
    }

    @Override
    public long moves() {
        return moves;
    }

    @Override
    public Tensor keys(int layer) {
        return Objects.requireNonNull(layer(layer).keys(), "no room was made");
    }

    @Override
    public Tensor values(int layer) {
        return Objects.requireNonNull(layer(layer).values(), "no room was made");
    }

    /** How often positions were taken up or forgotten, or a buffer replaced: as long as it stays the same, so does what is held. */
    public long changes() {
        return changes;
    }

    /** Counts the positions that every layer has taken up; called by the model after its last layer. */
    public void advance(long positions) {
        try (Lifetime.Use use = lifetime.use()) {
            turned.add(positions(), positions);
            length += positions;
            changes++;
        }
    }

    /**
     * Takes up the first positions of a sequence of another cache.
     *
     * @param other of the same model
     * @param sequence which of the other's, from 0
     * @param positions how many of those that the other holds
     * @throws IllegalStateException if a cache is closed, another thread uses it, or this one has not room for them
     */
    public void take(KvCache other, int sequence, long positions) {
        if (positions > other.positions() || positions() + positions > capacity()) {
            throw new IllegalStateException("there is no room for " + positions + " positions behind " + positions()
                    + " of " + capacity() + ", or the other cache holds only " + other.positions());
        }
        try (Lifetime.Use use = lifetime.use();
                Lifetime.Use otherUse = other.lifetime.use()) {
            for (int i = 0; i < layers.size(); i++) {
                try (TensorScope scope = new TensorScope()) {
                    take(keys(i), other.keys(i), sequence, positions);
                    take(values(i), other.values(i), sequence, positions);
                }
            }
            advance(positions);
        }
    }

    private void take(Tensor to, Tensor from, int sequence, long positions) {
        to.narrow(2, positions(), positions).copy_(from.narrow(0, sequence, 1).narrow(2, 0, positions));
    }

    /**
     * The part of one layer, counted from 0.
     *
     * @throws IllegalStateException if the cache is closed
     */
    public Layer layer(int index) {
        lifetime.requireOpen();
        return layers.get(index);
    }

    /** Waits for a pass in progress and frees the buffers. Closing twice is fine. */
    @Override
    public void close() {
        lifetime.close(() -> layers.forEach(Layer::close));
    }

    private record Buffers(Tensor keys, Tensor values) {}

    /** Keys and values of one layer. */
    public final class Layer implements KvStore {
        private @Nullable Tensor keys;
        private @Nullable Tensor values;

        @Override
        public KeysAndValues update(Tensor newKeys, Tensor newValues) {
            try (Lifetime.Use use = lifetime.use()) {
                long total = positions() + newKeys.size(2);
                if (!serves(newKeys, total)) {
                    try (TensorScope scope = new TensorScope()) {
                        replace(enlarged(newKeys, newValues, total), scope);
                    }
                }
                return new KeysAndValues(
                        store(Objects.requireNonNull(keys), newKeys, total),
                        store(Objects.requireNonNull(values), newValues, total));
            }
        }

        /** The buffer of keys, shape (B, kv heads, capacity, head size); null before the first positions. It may be replaced. */
        public @Nullable Tensor keys() {
            return keys;
        }

        /** The buffer of values, as {@link #keys}. */
        public @Nullable Tensor values() {
            return values;
        }

        private long capacity() {
            return keys == null || values == null ? 0 : Math.min(keys.size(2), values.size(2));
        }

        private boolean serves(Tensor added, long total) {
            return keys != null && capacity() >= total && keys.size(0) == added.size(0);
        }

        /** Writes what is added and gives all that is held with it. */
        private Tensor store(Tensor buffer, Tensor added, long total) {
            buffer.narrow(2, positions(), added.size(2)).copy_(added);
            return buffer.narrow(2, 0, total);
        }

        /** Both buffers with more room and what was held; the current scope owns them. */
        private Buffers enlarged(Tensor newKeys, Tensor newValues, long total) {
            long capacity = FIRST_CAPACITY;
            while (capacity < total) {
                capacity *= 2;
            }
            return new Buffers(copyWithRoom(keys, newKeys, capacity), copyWithRoom(values, newValues, capacity));
        }

        private Tensor copyWithRoom(@Nullable Tensor buffer, Tensor added, long capacity) {
            long[] shape = {added.size(0), added.size(1), capacity, added.size(3)};
            Tensor larger = torch.empty(shape, added.options(), new MemoryFormatOptional());
            if (buffer != null) {
                // A beginning that was made once serves every row of a batch.
                larger.narrow(2, 0, positions()).copy_(buffer.narrow(2, 0, positions()));
            }
            return larger;
        }

        /** Takes larger buffers, which the scope owns, in the place of those that are there. */
        private void replace(Buffers larger, TensorScope scope) {
            scope.release(larger.keys());
            scope.release(larger.values());
            close();
            keys = larger.keys();
            values = larger.values();
            moves++;
            changes++;
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
