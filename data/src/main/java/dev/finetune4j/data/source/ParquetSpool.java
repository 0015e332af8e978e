package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.parquet.schema.MessageType;

/**
 * All rows of a Parquet file as {@link ParquetTape} writes them, in a temporary file, so that each can be read by itself:
 * the file itself has them in pages of thousands, each packed as a whole.
 *
 * <p>Thread-safe.
 */
final class ParquetSpool {
    private final Group[] groups;
    private final int[] firstRows;
    private final MessageType schema;

    /** The rows of a row group. */
    private record Group(FileBytes rows, Offsets offsets) {}

    /** @param groups in order */
    private ParquetSpool(Group[] groups, MessageType schema) {
        this.groups = groups;
        this.schema = schema;
        this.firstRows = new int[groups.length];
        for (int i = 1; i < groups.length; i++) {
            firstRows[i] = firstRows[i - 1] + groups[i - 1].offsets.size() - 1;
        }
    }

    /** Reads the whole file on all cores. */
    static ParquetSpool of(Path file) throws IOException {
        MessageType schema;
        int count;
        try (ParquetRows.Cursor cursor = new ParquetRows.Cursor(file)) {
            schema = cursor.schema();
            count = cursor.groups();
        }
        Group[] groups = new Group[count];
        int workers = Math.min(count, Runtime.getRuntime().availableProcessors());
        ExecutorService readers = Executors.newFixedThreadPool(workers, ParquetSpool::daemon);
        try {
            List<CompletableFuture<Void>> parts = new ArrayList<>();
            for (int i = 0; i < workers; i++) {
                int first = i;
                parts.add(CompletableFuture.runAsync(() -> read(file, first, workers, groups), readers));
            }
            parts.forEach(ParquetSpool::await);
        } catch (UncheckedIOException e) {
            throw e.getCause();
        } finally {
            readers.shutdown();
        }
        return new ParquetSpool(groups, schema);
    }

    /** Waits whether the caller is interrupted or not. */
    private static void await(CompletableFuture<Void> part) {
        try {
            part.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof RuntimeException failure) {
                throw failure;
            }
            throw e;
        }
    }

    private static Thread daemon(Runnable task) {
        Thread thread = new Thread(task, "finetune4j-rows");
        thread.setDaemon(true);
        return thread;
    }

    /** Writes every so many row groups into a file of their own. */
    private static void read(Path file, int first, int step, Group[] groups) {
        // Opened without truncating it, for which file systems make sure that it is on the disk when it is closed.
        try (ParquetRows.Cursor cursor = new ParquetRows.Cursor(file);
                TemporaryFile temporary = new TemporaryFile();
                FileChannel channel = FileChannel.open(temporary.path(), StandardOpenOption.WRITE)) {
            Offsets[] offsets = new Offsets[groups.length];
            long at = 0;
            try (Output out = new Output(channel)) {
                for (int i = first; i < groups.length; i += step) {
                    offsets[i] = new Offsets();
                    cursor.enter(i);
                    for (ByteBuffer row = cursor.nextOfGroup(); row != null; row = cursor.nextOfGroup()) {
                        offsets[i].add(at);
                        at += row.remaining();
                        out.write(row);
                    }
                    offsets[i].add(at);
                }
                out.flush();
            }
            FileBytes rows = new FileBytes(temporary.path());
            for (int i = first; i < groups.length; i += step) {
                groups[i] = new Group(rows, offsets[i]);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    JsonNode row(int index) throws IOException {
        int found = Arrays.binarySearch(firstRows, index);
        int group = found >= 0 ? found : -found - 2;
        // Groups without rows begin where the next one does.
        while (groups[group].offsets.size() == 1) {
            group++;
        }
        Offsets offsets = groups[group].offsets;
        int place = index - firstRows[group];
        byte[] row = groups[group].rows.bytes(offsets.get(place), offsets.get(place + 1));
        return ParquetRow.read(ByteBuffer.wrap(row), schema);
    }

    /** Writes in another thread what was handed over before, while rows are put together. */
    private static final class Output implements AutoCloseable {
        private static final int CHUNK = 1 << 20;

        private final FileChannel channel;
        private final ExecutorService writer = Executors.newSingleThreadExecutor(ParquetSpool::daemon);
        private ByteBuffer filling = ByteBuffer.allocateDirect(CHUNK);
        private ByteBuffer written = ByteBuffer.allocateDirect(CHUNK);
        private CompletableFuture<Void> writing = CompletableFuture.completedFuture(null);

        Output(FileChannel channel) {
            this.channel = channel;
        }

        void write(ByteBuffer bytes) {
            while (bytes.hasRemaining()) {
                if (!filling.hasRemaining()) {
                    handOver();
                }
                int some = Math.min(bytes.remaining(), filling.remaining());
                filling.put(bytes.slice(bytes.position(), some));
                bytes.position(bytes.position() + some);
            }
        }

        private void handOver() {
            ParquetSpool.await(writing);
            ByteBuffer full = filling.flip();
            filling = written.clear();
            written = full;
            writing = CompletableFuture.runAsync(
                    () -> {
                        try {
                            while (full.hasRemaining()) {
                                channel.write(full);
                            }
                        } catch (IOException e) {
                            throw new UncheckedIOException(e);
                        }
                    },
                    writer);
        }

        void flush() {
            handOver();
            ParquetSpool.await(writing);
        }

        /** Whatever was not written is given up. */
        @Override
        public void close() {
            writer.shutdown();
        }
    }
}
