package dev.finetune4j.lora.adapter.peft;

import com.fasterxml.jackson.databind.JsonNode;

/** The small README.md beside an adapter: metadata that hubs read, and what a reader needs to use it. */
final class ModelCard {
    private ModelCard() {}

    static String of(JsonNode config, long values) {
        String base = config.path("base_model_name_or_path").asText("");
        String kind = config.path("peft_type").asText("");
        StringBuilder card = new StringBuilder("---\nlibrary_name: peft\n");
        if (!base.isEmpty()) {
            card.append("base_model: ").append(quoted(base)).append('\n');
        }
        return card.append("tags:\n- finetune4j\n---\n\n# Adapter\n\n")
                .append("| | |\n|---|---|\n")
                .append("| kind | ")
                .append(kind)
                .append(" |\n")
                .append("| base model | ")
                .append(base.replace("|", "\\|"))
                .append(" |\n")
                .append("| values | ")
                .append(String.format(java.util.Locale.ROOT, "%,d", values))
                .append(" |\n\n")
                .append("In Java: `LanguageModel.load(base).loadAdapter(folder)`.\n")
                .append("In Python: `PeftModel.from_pretrained(base, folder)`.\n")
                .toString();
    }

    private static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }
}
