package dev.finetune4j;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.lora.export.ExtendedVocabulary;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A model folder with tokens that its base does not have: the tokenizer knows them, and embedding and head have a row for each. It
 * is trained on like any other, here and in Python:
 *
 * <pre>{@code
 * ExtendedModel extended = ExtendedModel.write(base, folder, List.of("<plan>", "<answer>"));
 * FineTuner.builder()
 *         .model(extended.folder())
 *         .lora(l -> l.trainableTokenIndices(extended.trainableTokenIndices()))   // their rows are trained beside LoRA
 * }</pre>
 *
 * @param folder in Hugging Face's layout
 * @param tokenIds of the new tokens, in their order
 * @param tables the tables in which they have rows: {@code embed_tokens}, and {@code lm_head} where the head has its own
 */
public record ExtendedModel(Path folder, List<Integer> tokenIds, List<String> tables) {
    public ExtendedModel {
        tokenIds = List.copyOf(tokenIds);
        tables = List.copyOf(tables);
    }

    /**
     * Writes a copy of a model with new tokens. Their rows start as the mean of those of all tokens; the number of rows is a
     * multiple of 64, unless the model has room for them already. All other weights are copied as they are.
     *
     * @param model folder of the base
     * @param folder for the copy; made if absent, not the base's own. A model of this library that is there is replaced as a whole, or
     *     stays when writing fails
     * @param tokens their texts, such as {@code <plan>}; recognised wherever a text contains them, and decoded as they are
     * @throws dev.finetune4j.core.SettingsException naming all tokens that are blank or there already, or when the base is in 4 bits
     * @throws dev.finetune4j.core.FineTune4jException when a folder cannot be read or written
     */
    public static ExtendedModel write(Path model, Path folder, List<String> tokens) {
        Arguments.given(model, "write(model)");
        Arguments.given(folder, "write(folder)");
        Arguments.given(tokens, "write(tokens)");
        try (Tokenizer tokenizer = Tokenizer.load(model)) {
            ExtendedVocabulary extended = new ExtendedVocabulary(PretrainedFolder.open(model), tokenizer, tokens);
            extended.write(folder);
            return new ExtendedModel(folder, extended.tokenIds(), extended.tables());
        }
    }

    /** What {@code LoraSettings.Builder.trainableTokenIndices} takes, so that the new rows are trained. */
    public Map<String, List<Integer>> trainableTokenIndices() {
        Map<String, List<Integer>> indices = new LinkedHashMap<>();
        tables.forEach(table -> indices.put(table, tokenIds));
        return indices;
    }
}
