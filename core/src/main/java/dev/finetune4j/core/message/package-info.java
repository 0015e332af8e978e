/**
 * How errors are worded alike wherever they arise: checks of arguments, and numbers of bytes for people. The whole library may
 * import it; it imports nothing of it.
 */
@NullMarked
package dev.finetune4j.core.message;

import org.jspecify.annotations.NullMarked;
