package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class KvCacheTest {
    private TensorScope scope;

    @BeforeEach
    void open() {
        scope = new TensorScope();
    }

    @AfterEach
    void close() {
        scope.close();
    }

    private static Tensor ones(long tokens, long size) {
        return Tensors.ones(ComputeDevice.cpu(), ScalarType.Float, 1, 2, tokens, size);
    }

    private static long capacity(Tensor buffer) {
        return Objects.requireNonNull(buffer).size(2);
    }

    /** A value that does not fit stands for memory that runs out for the second buffer when the first is made. */
    @Test
    void anAppendThatFailsBetweenKeysAndValuesLeavesTheCacheAsItWas() {
        try (KvCache cache = new KvCache(1)) {
            cache.layer(0).update(ones(3, 8), ones(3, 8));
            cache.advance(3);
            Tensor keys = cache.layer(0).keys();
            Tensor values = cache.layer(0).values();
            long moves = cache.moves();
            assertThrows(RuntimeException.class, () -> cache.layer(0).update(ones(100, 8), ones(100, 7)));
            assertSame(keys, cache.layer(0).keys());
            assertSame(values, cache.layer(0).values());
            assertEquals(moves, cache.moves());
            assertEquals(3, cache.length());
            KvStore.KeysAndValues all = cache.layer(0).update(ones(100, 8), ones(100, 8));
            assertEquals(103, all.values().size(2));
            assertEquals(
                    capacity(cache.layer(0).keys()), capacity(cache.layer(0).values()));
            assertEquals(moves + 1, cache.moves());
        }
    }

    @Test
    void aReserveThatFailsInAnyLayerChangesNone() {
        try (KvCache cache = new KvCache(3)) {
            for (int i = 0; i < 3; i++) {
                cache.layer(i).update(ones(3, 8), ones(3, i == 1 ? 7 : 8));
            }
            cache.advance(3);
            long moves = cache.moves();
            assertThrows(RuntimeException.class, () -> cache.reserve(256, ones(0, 8)));
            for (int i = 0; i < 3; i++) {
                assertEquals(64, capacity(cache.layer(i).keys()), "keys of layer " + i);
                assertEquals(64, capacity(cache.layer(i).values()), "values of layer " + i);
            }
            assertEquals(moves, cache.moves());
            assertEquals(64, cache.capacity());
        }
    }

    @Test
    void aReserveMakesAllLayersAlikeThoughAPassHasEndedInItsMiddle() {
        try (KvCache cache = new KvCache(2)) {
            cache.layer(0).update(ones(3, 8), ones(3, 8));
            cache.layer(1).update(ones(3, 8), ones(3, 8));
            cache.advance(3);
            cache.layer(0).update(ones(200, 8), ones(200, 8)); // the pass fails before the second layer
            assertEquals(64, cache.capacity());
            cache.reserve(10, ones(0, 8));
            for (int i = 0; i < 2; i++) {
                assertEquals(256, capacity(cache.layer(i).keys()));
                assertEquals(256, capacity(cache.layer(i).values()));
            }
            float[] held = Tensors.toFloats(cache.layer(1).values().narrow(2, 0, 3));
            float[] expected = new float[held.length];
            Arrays.fill(expected, 1);
            assertArrayEquals(expected, held);
        }
    }

    @Test
    void aSecondThreadIsRefusedAndTheFirstGoesOn() {
        try (KvCache cache = new KvCache(1);
                Lifetime.Use pass = cache.lifetime().use()) {
            CompletionException refused = assertThrows(
                    CompletionException.class,
                    () -> CompletableFuture.runAsync(() -> cache.truncate(0)).join());
            assertTrue(refused.getCause() instanceof IllegalStateException, refused.toString());
            assertTrue(refused.getMessage().contains("one thread at a time"), refused.getMessage());
            cache.layer(0).update(ones(3, 8), ones(3, 8));
            cache.advance(3);
            assertEquals(3, cache.length());
        }
    }

    @Test
    void afterClosingEveryCallSaysSo() {
        KvCache cache = new KvCache(1);
        KvCache.Layer layer = cache.layer(0);
        cache.close();
        cache.close();
        assertThrows(IllegalStateException.class, () -> layer.update(ones(1, 8), ones(1, 8)));
        assertThrows(IllegalStateException.class, () -> cache.reserve(1, ones(0, 8)));
        assertThrows(IllegalStateException.class, () -> cache.truncate(0));
        assertThrows(IllegalStateException.class, () -> cache.layer(0));
    }
}
