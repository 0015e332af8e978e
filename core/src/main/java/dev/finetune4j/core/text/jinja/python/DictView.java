package dev.finetune4j.core.text.jinja.python;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What {@code dict.keys()}, {@code values()} and {@code items()} give: items that can be gone through, but have no
 * places.
 *
 * @param kind the name of the method
 * @param items at the time of the call; dicts do not change
 */
public record DictView(String kind, List<@Nullable Object> items) {}
