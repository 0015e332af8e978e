package dev.finetune4j.data;

import dev.finetune4j.core.message.Arguments;
import java.util.List;

/**
 * A text to learn as it stands, all of it, without a chat template: continued pre-training.
 *
 * @param text not blank
 * @param where the place that errors name
 */
public record TextExample(String text, Provenance where) implements Example {
    /** @throws IllegalArgumentException if the text is blank */
    public TextExample {
        Arguments.given(where, "TextExample(where)");
        if (Arguments.given(text, "TextExample(text)").isBlank()) {
            throw new IllegalArgumentException("the text is blank, so there is nothing to learn; drop the example");
        }
    }

    /** A text from memory. */
    public static TextExample of(String text) {
        return new TextExample(text, Provenance.inMemory(0));
    }

    @Override
    public TextExample at(Provenance place) {
        return new TextExample(text, place);
    }

    @Override
    public List<String> texts() {
        return List.of(text);
    }

    @Override
    public TextExample withTexts(List<String> texts) {
        return new TextExample(texts.get(0), where);
    }

    @Override
    public String kind() {
        return "a text for pre-training";
    }
}
