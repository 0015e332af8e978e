package dev.finetune4j.core.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.testsupport.TensorData;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Files are read and written on an interrupted thread, and one that is cut short while it is read is an exception. */
class InterruptedFilesTest {
    private static final byte[] VALUES = new byte[3_000_000];

    @TempDir
    private Path folder;

    @BeforeAll
    static void start() {
        TorchRuntime.start();
        for (int i = 0; i < VALUES.length; i++) {
            VALUES[i] = (byte) (i * 37 % 251);
        }
    }

    @AfterEach
    void clearFlag() {
        Thread.interrupted();
    }

    @Test
    void anInterruptedThreadReadsAndWritesAndKeepsItsFlag() {
        Path file = folder.resolve("t.safetensors");
        Thread.currentThread().interrupt();
        roundTrip(file);
        assertTrue(Thread.currentThread().isInterrupted());
    }

    @Test
    void interruptsAtAnyMomentDoNoHarm() throws InterruptedException {
        Path file = folder.resolve("t.safetensors");
        Thread worker = Thread.currentThread();
        AtomicBoolean over = new AtomicBoolean();
        Thread interrupter = new Thread(() -> {
            while (!over.get()) {
                worker.interrupt();
                Thread.onSpinWait();
            }
        });
        interrupter.start();
        try {
            for (int i = 0; i < 20; i++) {
                roundTrip(file);
                Thread.interrupted();
            }
        } finally {
            over.set(true);
            Thread.interrupted();
            while (interrupter.isAlive()) {
                Thread.interrupted();
                Thread.onSpinWait();
            }
        }
    }

    private void roundTrip(Path file) {
        try (TensorScope scope = new TensorScope()) {
            SafetensorsWriter.write(file, Map.of("x", Tensors.ofBytes(ComputeDevice.cpu(), VALUES, VALUES.length)));
            try (SafetensorsFile opened = SafetensorsFile.open(file, 1 << 20)) {
                assertArrayEquals(VALUES, TensorData.bytes(opened.read("x")));
            }
        }
    }

    @Test
    void aFileThatIsCutWhileItIsReadIsAnException() throws Exception {
        Path file = folder.resolve("big.safetensors");
        int tries = Boolean.getBoolean("finetune4j.long") ? 100 : 8;
        int cut = 0;
        for (int i = 0; i < tries; i++) {
            makeSparse(file, 200L << 20);
            long wait = 1 + 4L * (i % 8);
            Thread cutter = new Thread(() -> {
                try (RandomAccessFile shortened = new RandomAccessFile(file.toFile(), "rw")) {
                    Thread.sleep(wait);
                    shortened.setLength(1 << 20);
                } catch (IOException | InterruptedException e) {
                    throw new AssertionError(e);
                }
            });
            try (SafetensorsFile opened = SafetensorsFile.open(file)) {
                cutter.start();
                Tensor read = opened.read("x");
                read.close();
            } catch (ModelFileException e) {
                assertTrue(e.getMessage().contains("became shorter while it was open"), e.getMessage());
                cut++;
            }
            cutter.join();
        }
        assertTrue(cut > 0, "no try cut the file in time");
        assertEquals("big.safetensors", Fixtures.list(folder));
    }

    private static void makeSparse(Path file, long bytes) throws IOException {
        byte[] header = ("{\"x\":{\"dtype\":\"U8\",\"shape\":[" + bytes + "],\"data_offsets\":[0," + bytes + "]}}")
                .getBytes(StandardCharsets.UTF_8);
        try (RandomAccessFile out = new RandomAccessFile(file.toFile(), "rw")) {
            out.setLength(0);
            out.write(ByteBuffer.allocate(Long.BYTES)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(header.length)
                    .array());
            out.write(header);
            out.setLength(Long.BYTES + header.length + bytes);
        }
    }
}
