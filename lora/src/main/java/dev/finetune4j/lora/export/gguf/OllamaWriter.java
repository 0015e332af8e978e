package dev.finetune4j.lora.export.gguf;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.AtomicFile;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.lora.export.ModelContent;
import dev.finetune4j.lora.export.ModelWriter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;

/**
 * Writes a folder for <a href="https://docs.ollama.com/modelfile">Ollama</a>: {@code model.gguf} and beside it a {@code Modelfile}
 * with the chat template in Ollama's language, the texts that end an answer and the sampling that generation_config.json asks for.
 *
 * @param model writes the GGUF file
 */
public record OllamaWriter(GgufModelWriter model) implements ModelWriter {
    private static final String QUOTES = "\"\"\"";
    private static final List<String> SAMPLING =
            List.of("temperature", "top_k", "top_p", "min_p", "repetition_penalty");

    @Override
    public Precision precision() {
        return model.precision();
    }

    /**
     * @throws SettingsException naming all that llama.cpp would compute otherwise, or that a Modelfile cannot say
     * @throws FineTune4jException when a file cannot be written
     */
    @Override
    public void write(ModelContent content, Path folder) {
        JsonNode generation =
                content.files().source().files().generationConfig().orElse(MissingNode.getInstance());
        String modelfile = modelfile(content.files().encoder(), generation, folder);
        model.write(content, folder.resolve("model.gguf"));
        Path file = folder.resolve("Modelfile");
        try {
            AtomicFile.write(file, modelfile.getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw new FineTune4jException(
                    file + " could not be written (" + e + "); check space and rights, or choose another folder", e);
        }
    }

    private String modelfile(ChatEncoder encoder, JsonNode generation, Path folder) {
        Tokenizer tokenizer = encoder.tokenizer();
        int[] surrounded = tokenizer.encodeWithSpecialTokens("");
        boolean begins = surrounded.length > 0
                && tokenizer.bosToken().map(tokenizer::idOf).stream()
                        .anyMatch(id -> id.isPresent() && id.getAsInt() == surrounded[0]);
        TurnLayout layout = TurnLayout.of(encoder, begins)
                .orElseThrow(() -> refused(
                        folder,
                        "the chat template " + encoder.template().name()
                                + " writes more around a message than depends on its role"));
        List<String> lines = new ArrayList<>(List.of("FROM ./model.gguf"));
        String text = template(layout);
        String system = defaultSystem(layout);
        if (text.contains(QUOTES) || system.contains(QUOTES)) {
            throw refused(folder, "the chat template writes " + QUOTES);
        }
        lines.add("TEMPLATE " + QUOTES + text + QUOTES);
        if (!system.isEmpty()) {
            lines.add("SYSTEM " + QUOTES + system + QUOTES);
        }
        for (int id : new TreeSet<>(encoder.stopIds())) {
            lines.add("PARAMETER stop " + QUOTES + tokenizer.decode(new int[] {id}) + QUOTES);
        }
        if (model.contextLength() > 0) {
            lines.add("PARAMETER num_ctx " + model.contextLength());
        }
        if (generation.path("do_sample").asBoolean()) {
            SAMPLING.stream()
                    .filter(key -> generation.path(key).isNumber())
                    .forEach(key ->
                            lines.add("PARAMETER " + key.replace("repetition", "repeat") + " " + generation.path(key)));
        }
        return String.join("\n", lines) + "\n";
    }

    private static SettingsException refused(Path folder, String reason) {
        return new SettingsException(
                List.of(folder + ": " + reason + ", which a Modelfile cannot say; export GGUF alone, or"
                        + " train with one of the named chat templates, such as chatml"));
    }

    /** The system text that the template writes by itself when none is given. */
    private static String defaultSystem(TurnLayout layout) {
        TurnLayout.Around system = layout.system();
        String preamble = layout.preamble();
        if (system == null
                || preamble.length() <= system.put("").length()
                || !preamble.startsWith(system.before())
                || !preamble.endsWith(system.behind())) {
            return "";
        }
        return preamble.substring(
                system.before().length(), preamble.length() - system.behind().length());
    }

    private static String template(TurnLayout layout) {
        StringBuilder text = new StringBuilder();
        if (!layout.preamble().isEmpty() && defaultSystem(layout).isEmpty()) {
            text.append("{{ if ne (index .Messages 0).Role \"system\" }}")
                    .append(literal(layout.preamble()))
                    .append("{{ end }}");
        }
        text.append("{{ range .Messages }}");
        TurnLayout.Around system = layout.system();
        if (system != null) {
            text.append("{{ if eq .Role \"system\" }}")
                    .append(message(system))
                    .append("{{ else if eq .Role \"user\" }}");
        } else {
            text.append("{{ if eq .Role \"user\" }}");
        }
        text.append(message(layout.user())).append("{{ else if eq .Role \"assistant\" }}");
        text.append(message(layout.assistant())).append("{{ end }}{{ end }}");
        return text.append(literal(layout.generation())).toString();
    }

    private static String message(TurnLayout.Around around) {
        return literal(around.before()) + "{{ .Content }}" + literal(around.behind());
    }

    /** A text that the template language leaves as it is. */
    private static String literal(String text) {
        return text.replace("{{", "{{ \"{{\" }}");
    }
}
