package dev.finetune4j.data.source;

import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import java.io.IOException;
import java.nio.file.Path;

/**
 * The seam to the library that reads <a href="https://parquet.apache.org/docs/file-format/">Parquet</a>, which a program
 * that has such files adds.
 */
interface ParquetFile {
    /** Gives all rows to a consumer, or as many as it wants. */
    void read(RowConsumer consumer) throws IOException;

    /**
     * The rows by their number. One after the other they are read from the file; once they are asked for in another order,
     * all of them are written into temporary files in the background.
     */
    RowsByNumber byNumber() throws IOException;

    /**
     * A file of this kind.
     *
     * @throws DatasetException if the program does not have the library
     * @throws IOException if it cannot be opened
     */
    static ParquetFile open(Path file) throws IOException {
        // Where this library is a module of its own, that one is on the class path.
        Module library = ParquetFile.class.getModule();
        library.addReads(ParquetFile.class.getClassLoader().getUnnamedModule());
        try {
            return new ParquetRows(ParquetInput.of(file));
        } catch (NoClassDefFoundError e) {
            throw new DatasetException(
                    DatasetProblem.ofFile(
                            file.toString(),
                            "is a Parquet file, for which the program lacks a library; add the dependency"
                                    + " blue.strategic.parquet:parquet-floor:2.3 to the class path, or convert the file to"
                                    + " JSON lines"),
                    e);
        }
    }
}
