package dev.finetune4j.core.text.jinja.python;

import java.util.Iterator;
import org.jspecify.annotations.Nullable;

/** An object of the template language that templates see as a value, beside Python's own: a macro, or where a loop stands. */
public interface PyObject {
    /** As Python's {@code type(…).__name__}. */
    String typeName();

    /** The attribute of a name; undefined if there is none. */
    @Nullable
    Object attribute(String name);

    /** How many items it has; -1 if it has none to count. */
    default int length() {
        return -1;
    }

    /** Its items; null if it has none. */
    default @Nullable Iterator<@Nullable Object> iterator() {
        return null;
    }
}
