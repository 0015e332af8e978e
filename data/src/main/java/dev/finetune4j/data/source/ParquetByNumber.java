package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The rows of a Parquet file by their number. One after the other they come from the file. Once they are asked for in another
 * order, all of them are written into temporary files meanwhile, and those that are not there yet are unpacked one by one.
 */
final class ParquetByNumber implements RowsByNumber {
    private final ParquetInput input;
    private final RowGroups groups;
    private final ParquetPages pages;
    private final FileState state;
    private ParquetRows.@Nullable Cursor cursor;
    /** The row that the cursor gives next. */
    private int next;

    private volatile @Nullable ParquetSpool spool;

    ParquetByNumber(ParquetInput input, RowGroups groups) throws IOException {
        this.input = input;
        this.groups = groups;
        this.state = FileState.of(input.file());
        this.pages = new ParquetPages(input);
    }

    @Override
    public int size() {
        return groups.rows();
    }

    @Override
    public boolean has(int index) {
        return index < size();
    }

    @Override
    public JsonNode row(int index) {
        int group = groups.of(index);
        int place = index - groups.first(group);
        try {
            ParquetSpool writing = spool;
            if (writing != null && writing.has(group)) {
                return writing.row(group, place);
            }
            JsonNode following = inOrder(index, group);
            return following == null ? anywhere(group, place) : following;
        } catch (IOException e) {
            throw new DatasetException(
                    DatasetProblem.ofFile(
                            input.file().toString(), "cannot be read: " + e + "; check that it is readable"),
                    e);
        }
    }

    /** The row if it is the one after the last, or the first of a group; otherwise null. */
    private synchronized @Nullable JsonNode inOrder(int index, int group) throws IOException {
        if (index == groups.first(group)) {
            if (cursor == null) {
                requireUnchanged();
                cursor = new ParquetRows.Cursor(input);
            }
            cursor.enter(group);
            next = index;
        }
        ParquetRows.Cursor reading = cursor;
        if (reading == null || next != index) {
            stop();
            return null;
        }
        JsonNode row = reading.next();
        next++;
        if (next == size()) {
            stop();
        }
        return row;
    }

    private void stop() throws IOException {
        if (cursor != null) {
            cursor.close();
            cursor = null;
        }
    }

    private JsonNode anywhere(int group, int place) throws IOException {
        requireUnchanged();
        Optional<JsonNode> found = pages.row(group, place);
        // What can be read meanwhile leaves some cores to those who read it.
        int cores = Runtime.getRuntime().availableProcessors();
        ParquetSpool writing = spool(found.isPresent() ? Math.max(1, cores / 2) : cores);
        return found.isPresent() ? found.get() : writing.row(group, place);
    }

    private synchronized ParquetSpool spool(int workers) throws IOException {
        ParquetSpool writing = spool;
        if (writing == null) {
            writing = ParquetSpool.begin(input, groups.count(), workers, pages::close);
            spool = writing;
        }
        return writing;
    }

    /** Overwriting is seen where it can be; that a file is replaced does no harm. */
    private void requireUnchanged() throws IOException {
        if (!state.equals(FileState.of(input.file()))) {
            throw new IOException("the file has changed since it was opened; start anew");
        }
    }

    private record FileState(long size, FileTime modified) {
        static FileState of(Path file) throws IOException {
            return new FileState(Files.size(file), Files.getLastModifiedTime(file));
        }
    }
}
