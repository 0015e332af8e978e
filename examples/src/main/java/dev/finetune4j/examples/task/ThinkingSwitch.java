package dev.finetune4j.examples.task;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * What {@code enable_thinking: false} means for a model: that the variable of this name of its chat template is false. Such a template
 * then writes empty thoughts at the end of a prompt. Stateless.
 */
public final class ThinkingSwitch {
    /** The name of the key, and of the variable. */
    public static final String NAME = "enable_thinking";

    private static final String THOUGHTS_END = "</think>";

    private ThinkingSwitch() {}

    /**
     * Whether the chat template of a checkpoint reads the variable; one that knows no thoughts needs none.
     *
     * @param folder holds the tokenizer
     * @param model what the task calls the model
     * @throws SettingsException if the template writes thoughts without such a switch
     */
    public static boolean isIn(Path folder, String model) {
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            Optional<ChatTemplate> template = ChatTemplate.ofCheckpoint(tokenizer);
            if (template.isPresent() && template.get().reads(NAME)) {
                return true;
            }
            if (template.isPresent() && template.get().jinjaSource().contains(THOUGHTS_END)) {
                throw new SettingsException(List.of(NAME + " is false, but the chat template of " + model
                        + " writes thoughts and reads no variable of this name; take it out, or choose a model whose"
                        + " template has the switch"));
            }
            return false;
        }
    }

    /** What is to be told where there is no switch. */
    public static String needless() {
        return NAME + ": ignored; the model's chat template knows no thoughts";
    }
}
