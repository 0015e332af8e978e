package dev.finetune4j.data.source;

/** How rows lie in a file. */
enum FileKind {
    /** One JSON array of all rows. */
    JSON_ARRAY,
    /** One JSON value in each line. */
    JSON_LINES,
    /** A table of text with a header, separated by commas, semicolons or tabs. */
    CSV,
    /** A text for pre-training. */
    TEXT,
    /** Apache Parquet. */
    PARQUET
}
