/**
 * Reads files of rows, strictly and with the place of every error. Internal: applications call {@link
 * dev.finetune4j.data.Dataset#read}.
 */
@NullMarked
package dev.finetune4j.data.source;

import org.jspecify.annotations.NullMarked;
