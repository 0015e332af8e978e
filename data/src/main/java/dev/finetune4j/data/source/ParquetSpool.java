package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.apache.parquet.schema.MessageType;

/**
 * All rows of a Parquet file as {@link ParquetTape} writes them, in temporary files, so that each can be read by itself: the file
 * itself has them in pages of thousands, each packed as a whole. They are written in the background, row group by row group.
 *
 * <p>Thread-safe.
 */
final class ParquetSpool {
    private final ParquetInput input;
    private final List<CompletableFuture<Group>> groups;
    /** Threads that write. */
    private final AtomicInteger writing;

    /** The rows of a row group. */
    private record Group(FileBytes rows, Offsets offsets, MessageType schema) {}

    private ParquetSpool(ParquetInput input, int count, int workers) {
        this.input = input;
        this.writing = new AtomicInteger(workers);
        this.groups =
                Stream.generate(CompletableFuture<Group>::new).limit(count).toList();
    }

    /**
     * Begins to write all row groups.
     *
     * @param count how many there are
     * @param threads that write them
     * @param done runs when all are written, or cannot be
     * @throws DatasetException if the file is damaged, or there is no room for them
     */
    static ParquetSpool begin(ParquetInput input, int count, int threads, Runnable done) throws IOException {
        requireRoom(input);
        int workers = Math.min(count, threads);
        ParquetSpool spool = new ParquetSpool(input, count, workers);
        for (int i = 0; i < workers; i++) {
            int first = i;
            daemon(() -> {
                        spool.write(first, workers);
                        if (spool.writing.decrementAndGet() == 0) {
                            done.run();
                        }
                    })
                    .start();
        }
        return spool;
    }

    private static Thread daemon(Runnable task) {
        Thread thread = new Thread(task, "finetune4j-rows");
        thread.setDaemon(true);
        return thread;
    }

    /** Said before a training begins rather than in its midst. */
    private static void requireRoom(ParquetInput input) throws IOException {
        long needed;
        try (ParquetRows.Cursor cursor = new ParquetRows.Cursor(input)) {
            needed = cursor.unpackedBytes();
        }
        Path folder = TemporaryFile.FOLDER;
        long free = Files.getFileStore(folder).getUsableSpace();
        if (free < needed) {
            throw failure(
                    input.file(),
                    new IOException((needed >> 20) + " MiB are needed, but " + (free >> 20) + " MiB are free"));
        }
    }

    private static DatasetException failure(Path file, IOException e) {
        return new DatasetException(
                DatasetProblem.ofFile(
                        file.toString(), "cannot be unpacked into temporary files: " + e + TemporaryFile.REMEDY),
                e);
    }

    /** Writes every so many row groups into a file of their own. */
    private void write(int first, int step) {
        int at = first;
        try (ParquetRows.Cursor cursor = new ParquetRows.Cursor(input);
                TemporaryFile temporary = new TemporaryFile();
                // Opened without truncating it, for which file systems make sure that it is on the disk when it is
                // closed.
                FileChannel channel = FileChannel.open(temporary.path(), StandardOpenOption.WRITE);
                Output out = new Output(channel)) {
            FileBytes rows = new FileBytes(temporary.path());
            temporary.deleteName(); // now, so that a process that is killed leaves none behind
            for (; at < groups.size(); at += step) {
                Offsets offsets = new Offsets();
                cursor.enter(at);
                for (ByteBuffer row = cursor.nextOfGroup(); row != null; row = cursor.nextOfGroup()) {
                    offsets.add(out.length());
                    out.write(row);
                }
                offsets.add(out.length());
                out.flush();
                groups.get(at).complete(new Group(rows, offsets, cursor.schema()));
            }
        } catch (IOException e) {
            fail(at, step, failure(input.file(), e));
        } catch (UncheckedIOException e) {
            fail(at, step, failure(input.file(), Objects.requireNonNull(e.getCause())));
        } catch (RuntimeException | Error e) {
            fail(at, step, e);
        }
    }

    private void fail(int from, int step, Throwable e) {
        for (int i = from; i < groups.size(); i += step) {
            groups.get(i).completeExceptionally(e);
        }
    }

    /** Whether the rows of a group are there, or never will be. */
    boolean has(int group) {
        return groups.get(group).isDone();
    }

    /**
     * A row, as soon as its group is there; whether the caller is interrupted or not.
     *
     * @param place within the row group
     */
    JsonNode row(int group, int place) throws IOException {
        Group written = await(groups.get(group));
        byte[] row = written.rows.bytes(written.offsets.get(place), written.offsets.get(place + 1));
        return ParquetRow.read(ByteBuffer.wrap(row), written.schema);
    }

    private static <T> T await(CompletableFuture<T> future) {
        try {
            return future.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof RuntimeException failure) {
                throw failure;
            }
            throw e;
        }
    }

    /** Writes in another thread what was handed over before, while rows are put together. */
    private static final class Output implements AutoCloseable {
        private static final int CHUNK = 1 << 20;

        private final FileChannel channel;
        private final ExecutorService writer = Executors.newSingleThreadExecutor(ParquetSpool::daemon);
        private ByteBuffer filling = ByteBuffer.allocateDirect(CHUNK);
        private ByteBuffer written = ByteBuffer.allocateDirect(CHUNK);
        private CompletableFuture<Void> writing = CompletableFuture.completedFuture(null);
        private long length;

        Output(FileChannel channel) {
            this.channel = channel;
        }

        /** How many bytes it was given. */
        long length() {
            return length;
        }

        void write(ByteBuffer bytes) {
            length += bytes.remaining();
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
