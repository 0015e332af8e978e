package dev.finetune4j.core.text.jinja.python;

import java.util.Iterator;
import org.jspecify.annotations.Nullable;

/**
 * Python's iterator or generator, which a lazy filter gives: items that can be gone through once. It is true even when it is empty, and has no length.
 *
 * @param items those that are left
 * @param isGenerator false for what {@code reverse} gives
 */
public record PyIterator(Iterator<@Nullable Object> items, boolean isGenerator) {}
