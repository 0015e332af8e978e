/**
 * Python's values and texts, as far as Jinja templates see them: what {@code ==}, {@code in}, {@code len}, {@code str},
 * {@code repr}, slices, formats and the methods of texts, lists and dicts do, to the character.
 *
 * <p>Values are plain Java objects: null, {@link java.lang.Boolean}, {@link java.lang.Long} or {@link java.math.BigInteger},
 * {@link java.lang.Double}, {@link java.lang.String}, {@link java.util.List}, {@code Dict}, {@code Tuple} and a few more, all
 * named in {@code Values}; the language adds its own as {@code PyObject}. Texts count in code points. What is done is paid for
 * from the {@code Budget} of the rendering that runs in the thread; what cannot be done is a {@code TemplateError}.
 *
 * <p>Imports nothing of the library. {@code core.text.jinja} alone uses it, save {@code Allowance}, which {@code core.text}
 * hands to renderings.
 */
@NullMarked
package dev.finetune4j.core.text.jinja.python;

import org.jspecify.annotations.NullMarked;
