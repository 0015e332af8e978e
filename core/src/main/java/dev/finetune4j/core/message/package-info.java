/**
 * How errors are worded alike wherever they arise: checks of arguments, numbers of bytes for people, and the word that was probably
 * meant. The whole library may import it; it imports nothing of it.
 */
@NullMarked
package dev.finetune4j.core.message;

import org.jspecify.annotations.NullMarked;
