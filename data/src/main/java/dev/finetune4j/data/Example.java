package dev.finetune4j.data;

import java.util.List;

/** What one row of a data set teaches. Immutable. */
public sealed interface Example permits SftExample, PreferenceExample, KtoExample, TextExample {
    /** The place that errors name. */
    Provenance where();

    /** The same example from another place. */
    Example at(Provenance place);

    /** Its texts, in the order of {@link Provenance#fields()}. */
    List<String> texts();

    /**
     * The same example with other texts.
     *
     * @param texts as many as {@link #texts()} has
     * @throws IllegalArgumentException if the example may not have one of them
     */
    Example withTexts(List<String> texts);

    /** What an error calls examples of this kind, such as "a preference pair". */
    String kind();

    /** What an error calls a text: the field it came from, or its place. */
    default String describe(int text) {
        List<String> fields = where().fields();
        return text < fields.size() ? "field \"" + fields.get(text) + "\"" : "text " + text;
    }
}
