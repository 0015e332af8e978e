/**
 * Formats of rows: what the columns of a row mean, apart from the kind of file that it stands in. Internal.
 */
@NullMarked
package dev.finetune4j.data.format;

import org.jspecify.annotations.NullMarked;
