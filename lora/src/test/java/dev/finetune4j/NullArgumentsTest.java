package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.eval.EvalCase;
import dev.finetune4j.lora.eval.EvalTask;
import dev.finetune4j.lora.eval.Evaluation;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** A null that reaches a public method is named there, not somewhere below. */
class NullArgumentsTest {
    @TempDir
    private Path folder;

    private static void refused(String name, Executable call) {
        assertEquals(
                name + " must not be null; give a value or leave the call out",
                assertThrows(IllegalArgumentException.class, call).getMessage());
    }

    static Stream<Arguments> calls() {
        return Stream.of(
                builder("model(folder)", b -> b.model((Path) null)),
                builder("model(base)", b -> b.model((LanguageModel) null)),
                builder("lora(options)", b -> b.lora(null)),
                builder("qlora(options)", b -> b.qlora(null)),
                builder("vera(options)", b -> b.vera(null)),
                builder("targetModules(value)", b -> b.vera(v -> v.targetModules((TargetModules) null))),
                builder("promptTuning(text)", b -> b.promptTuning(4, null)),
                builder("adapter(settings)", b -> b.adapter((AdapterSettings) null)),
                builder("quantize(form)", b -> b.quantize(null)),
                builder("dataset(file)", b -> b.dataset((Path) null)),
                builder("dataset(examples)", b -> b.dataset((Dataset) null)),
                builder("placeholder(name)", b -> b.placeholder(null, "x")),
                builder("placeholder(value)", b -> b.placeholder("x", null)),
                builder("chatTemplate(name)", b -> b.chatTemplate(null)),
                builder("truncation(policy)", b -> b.truncation(null)),
                builder("trainOn(tokens)", b -> b.trainOn(null)),
                builder("device(chosen)", b -> b.device(null)),
                builder("precision(chosen)", b -> b.precision(null)),
                builder("activationCheckpointing(policy)", b -> b.activationCheckpointing(null)),
                builder("schedule(value)", b -> b.training(t -> t.schedule(null, 0))),
                builder("listener(listener)", b -> b.listener(null)));
    }

    private static Arguments builder(String name, Consumer<FineTuner.Builder> call) {
        return Arguments.of(name, call);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("calls")
    void ofTheBuilder(String name, Consumer<FineTuner.Builder> call) {
        refused(name, () -> call.accept(FineTuner.builder()));
    }

    @Test
    void ofTheExamples() {
        SftExample example = SftExample.of("q", "a");
        refused("ChatMessage(content)", () -> ChatMessage.user(null));
        refused("ChatMessage(role)", () -> new ChatMessage(null, "x"));
        refused("ChatMessage(content)", () -> SftExample.of("q", null));
        refused("SftExample(conversation)", () -> SftExample.of((Conversation) null));
        refused("Conversation(messages)[1]", () -> Conversation.of(ChatMessage.user("q"), null));
        refused("Conversation(messages)", () -> new Conversation(null));
        refused("of(examples[1])", () -> Dataset.of(Arrays.asList(example, null)));
        refused("questions(name)", () -> EvalTask.questions(null, List.of()));
        refused("questions(cases)", () -> EvalTask.questions("x", null));
        refused("EvalCase.of(question)", () -> EvalCase.of(null, answer -> true));
        refused("EvalCase.of(correct)", () -> EvalCase.of("q", (Predicate<String>) null));
        refused("perplexity(examples)", () -> EvalTask.perplexity("x", null));
        refused(
                "compare(base)",
                () -> Evaluation.builder()
                        .general(EvalTask.generalKnowledge())
                        .build()
                        .compare(null, null));
    }

    @Test
    void ofTheModel() {
        refused("loader(folder)", () -> LanguageModel.load((Path) null));
        refused("open(folder)", () -> ModelFiles.open(null));
        refused("load(folderOrTokenizerJson)", () -> Tokenizer.load(null));
        refused("read(path)", () -> Dataset.read(null));
        try (LanguageModel model = LanguageModel.load(Fixtures.tinyChatModel(folder.resolve("model")));
                ChatSession session = model.chat(GenerationSettings.greedy())) {
            refused("ask(question)", () -> model.ask(null));
            refused("stream(message)", () -> session.stream(null, text -> {}));
            refused("stream(sink)", () -> session.stream("x", null));
            refused("chat(settings)", () -> model.chat(null));
            refused("loadAdapter(folder)", () -> model.loadAdapter(null));
        }
    }
}
