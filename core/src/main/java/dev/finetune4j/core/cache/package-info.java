/**
 * The user's cache folder and the hashes by which files and texts in it, and elsewhere, are told apart. Imports nothing of
 * the library; every package may import it.
 */
@NullMarked
package dev.finetune4j.core.cache;

import org.jspecify.annotations.NullMarked;
