package dev.finetune4j.examples.task;

import dev.finetune4j.FineTuner;
import dev.finetune4j.core.hub.ModelSource;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Dataset;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * What a task says of the model.
 *
 * @param name a folder or an id
 * @param template the name of its chat template; null when it is not said
 * @param thinks whether nothing is said against thoughts
 */
record ModelKeys(String name, @Nullable String template, boolean thinks) {
    /** Templates of models that take more than text. */
    private static final Pattern MULTIMODAL = Pattern.compile(
            "(?:.*_)?(?:vl|omni|audio|vision|ocr)(?:_.*)?|llava.*|.*llava|mllama|paligemma.*|pixtral|minicpm_[ov].*|glm4_?5?v");

    static ModelKeys of(TaskFile task) {
        String name = task.text("model_name_or_path").orElse("");
        if (name.isBlank()) {
            task.refuse(
                    "model_name_or_path",
                    "is missing; give a folder, or the id of a model that `finetune4j download` has fetched");
        }
        String template = task.text("template").orElse(null);
        if (template != null && MULTIMODAL.matcher(template).matches()) {
            task.refuse(
                    "template",
                    template
                            + " is of models that take pictures, films or sound, but only language models are trained and answer;"
                            + " choose one of text alone");
        }
        return new ModelKeys(name, template, task.flag(ThinkingSwitch.NAME));
    }

    /**
     * The rows as the model learns them: where it is not to think, answers have no thoughts, and the empty ones that the chat template
     * writes belong to the prompt.
     *
     * @param texts whether no template is needed
     * @param told takes a line for the user
     */
    DataKeys.Rows rows(DataKeys.Rows rows, boolean texts, Consumer<String> told) {
        if (thinks || texts) {
            return rows;
        }
        if (!ThinkingSwitch.isIn(ModelSource.of(name).fetchSettings(), name)) {
            told.accept(ThinkingSwitch.needless());
            return rows;
        }
        Dataset heldOut = rows.heldOut();
        return new DataKeys.Rows(withoutThinking(rows.train()), heldOut == null ? null : withoutThinking(heldOut));
    }

    private static Dataset withoutThinking(Dataset rows) {
        return rows.withoutThoughts().withTemplateVariable(ThinkingSwitch.NAME, false);
    }

    /**
     * Chooses the model, and the library's template where the model has none.
     *
     * @param texts whether no template is needed
     * @return what is to be told of the template; empty for nothing
     */
    String apply(FineTuner.Builder builder, boolean texts) {
        ModelSource source = ModelSource.of(name);
        builder.model(source);
        if (template == null || texts) {
            return "";
        }
        try (Tokenizer tokenizer = Tokenizer.load(source.fetchSettings())) {
            if (tokenizer.chatTemplateSource().isPresent()) {
                return "template: " + template + " stands for the chat template that the checkpoint brings along";
            }
        }
        if (ChatTemplate.names().contains(template)) {
            builder.chatTemplate(template);
            return "template: the checkpoint has no chat template, so it is the library's " + template;
        }
        return "";
    }
}
