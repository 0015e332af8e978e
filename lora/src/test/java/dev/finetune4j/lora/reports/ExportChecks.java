package dev.finetune4j.lora.reports;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Segment;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.batch.SftEncoder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What a training makes of a model folder. */
final class ExportChecks {
    private static final List<SftExample> ROWS =
            List.of(SftExample.of("Who are you?", "I am Zed."), SftExample.of("hi", "hello"));

    private ExportChecks() {}

    /**
     * Trains with the folder's own template, or else with a named one whose end tokens the vocabulary has, and merges.
     * Either the data report warns that no answer ends, or the merged folder chats with that template and stops where it
     * ends. It has every small file of the base.
     */
    static void trainedAndMerged(ReportFolder report, Path folder) throws IOException {
        String named;
        Set<Integer> stops;
        DataReport data;
        ChatTemplate template;
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            Optional<ChatTemplate> own = ChatTemplate.ofCheckpoint(tokenizer);
            named = own.isPresent() ? null : fitting(tokenizer);
            template = own.orElseGet(() -> ChatTemplate.named(named));
            ChatEncoder encoder =
                    new ChatEncoder(tokenizer, template, ModelFiles.open(folder).eosTokenIds());
            stops = new TreeSet<>();
            template.stopTokens()
                    .forEach(token -> stops.add(tokenizer.idOf(token).orElseThrow()));
            data = new SftEncoder(encoder, 256).encode(Dataset.of(ROWS)).report();
        }
        if (data.answersWithStop() < data.answers()) {
            assertTrue(data.warnings().stream().anyMatch(line -> line.contains("trained answers")), data::toString);
        }
        Path merged = Files.createTempDirectory("merged").resolve("model");
        FineTuner.Builder builder = FineTuner.builder()
                .model(folder)
                .lora(options -> options.rank(4))
                .dataset(Dataset.of(ROWS))
                .training(t -> t.maxSteps(1));
        try (FineTunedModel tuned = (named == null ? builder : builder.chatTemplate(named)).train()) {
            tuned.adapter().orElseThrow().export(merged, ModelFormat.huggingFace(Precision.FP32));
        }
        assertEquals(smallFiles(folder), keptFiles(merged, folder), "files of the base in the merged folder");
        Set<Integer> written = ModelFiles.open(merged).eosTokenIds();
        assertTrue(written.containsAll(stops), () -> "the merged folder stops at " + written + ", not at " + stops);
        try (Tokenizer tokenizer = Tokenizer.load(merged)) {
            ChatTemplate again = ChatTemplate.ofCheckpoint(tokenizer)
                    .orElseThrow(() -> new AssertionError("the merged folder has no chat template"));
            for (SftExample row : ROWS) {
                for (Predicate<Segment> part : List.<Predicate<Segment>>of(segment -> true, Segment::trained)) {
                    assertEquals(
                            text(template, row, part),
                            text(again, row, part),
                            "the conversation as the merged folder lays it out");
                }
            }
        }
        LanguageModel.load(merged).close();
    }

    /** The text of a conversation; a template in Jinja cuts it into other pieces than a named one. */
    private static String text(ChatTemplate template, SftExample row, Predicate<Segment> wanted) {
        return template.render(row.conversation(), false).stream()
                .filter(wanted)
                .map(Segment::text)
                .collect(Collectors.joining());
    }

    /** A named template whose end tokens the vocabulary has. */
    static String fitting(Path folder) {
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            return fitting(tokenizer);
        }
    }

    private static String fitting(Tokenizer tokenizer) {
        return ChatTemplate.names().stream()
                .filter(name -> !ChatTemplate.named(name).stopTokens().isEmpty())
                .filter(name -> ChatTemplate.named(name).stopTokens().stream()
                        .allMatch(token -> tokenizer.idOf(token).isPresent()))
                .findFirst()
                .orElse("default");
    }

    /** Everything in the folder that is no weights and not this collection's own, by its path. */
    private static Set<String> smallFiles(Path folder) throws IOException {
        try (Stream<Path> paths = Files.walk(folder)) {
            Set<String> names = new TreeSet<>();
            paths.filter(Files::isRegularFile)
                    .map(path -> folder.relativize(path).toString())
                    .filter(name -> !name.contains(".safetensors") && !name.equals("expected.json"))
                    .forEach(names::add);
            return names;
        }
    }

    /** Those of the base's small files that the merged folder has. */
    private static Set<String> keptFiles(Path merged, Path base) throws IOException {
        Set<String> kept = smallFiles(base);
        kept.retainAll(smallFiles(merged));
        return kept;
    }
}
