package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.lora.export.GgufContent;
import dev.finetune4j.testsupport.ChatFamily;
import dev.finetune4j.testsupport.SayingModel;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Answers of the chat models of each family end at each of their end tokens, which is not shown; what is exported has them too. */
class FamilyAnswersTest {
    /** Spaces beside special tokens, which llama.cpp keeps, and the pieces of the small vocabulary, which it joins otherwise. */
    private static final Map<String, String> NOT_IN_GGUF = Map.of(
            "phi4", "takes the spaces beside it along",
            "phi4_mini", "takes the spaces beside it along",
            "internlm2", "does not join 5 of the pairs",
            "mixtral", "does not join 5 of the pairs");

    @TempDir
    private Path folder;

    @TestFactory
    Stream<DynamicTest> anAnswerEndsAtEachOfTheEnds() {
        return ChatFamily.all().stream()
                .map(family -> DynamicTest.dynamicTest(family.name(), () -> {
                    for (int end : family.ends()) {
                        answer(family, family.write(folder.resolve(family.name() + end)), end);
                    }
                }));
    }

    private static void answer(ChatFamily family, Path model, int end) {
        JsonNode asked = family.cases().get(0);
        int[] prompt = TestData.ints(asked.path("ids"));
        int vocabulary;
        List<Integer> said = new ArrayList<>(List.of(prompt[prompt.length - 1]));
        String text;
        try (Tokenizer tokenizer = Tokenizer.load(model)) {
            vocabulary = tokenizer.vocabularySize();
            int[] words = tokenizer.encodePlain("So#Yes");
            text = tokenizer.decode(words).strip();
            for (int word : words) {
                said.add(word);
            }
            said.add(end);
            said.add(tokenizer.encodePlain("%")[tokenizer.encodePlain("%").length - 1]);
        }
        assertEquals(said.size(), new TreeSet<>(said).size(), "each token once");
        SayingModel.write(model, vocabulary, said);
        try (LanguageModel loaded = load(model)) {
            ChatRequest request = ChatRequest.of(
                    ChatFamily.conversation(asked),
                    GenerationSettings.builder().maxNewTokens(20).build());
            Reply reply = loaded.reply(request);
            assertEquals(text, reply.text().strip());
            assertEquals(FinishReason.STOP, reply.finishReason());
            assertEquals(prompt.length, reply.usage().promptTokens());
            assertEquals(said.size() - 3, reply.usage().completionTokens());
        }
    }

    private static LanguageModel load(Path model) {
        return LanguageModel.loader(model)
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32)
                .load();
    }

    /** In a GGUF file the first three ends have keys; a merged folder has all in generation_config.json. */
    @TestFactory
    Stream<DynamicTest> whatIsExportedEndsThereToo() {
        return ChatFamily.all().stream()
                .map(family -> DynamicTest.dynamicTest(family.name(), () -> {
                    Path model = family.write(folder.resolve(family.name()));
                    int eos;
                    String template;
                    int vocabulary;
                    try (Tokenizer tokenizer = Tokenizer.load(model)) {
                        eos = tokenizer.idOf(tokenizer.eosToken().orElseThrow()).orElseThrow();
                        template = tokenizer.chatTemplateSource().orElseThrow();
                        vocabulary = tokenizer.vocabularySize();
                    }
                    SayingModel.write(model, vocabulary, List.of(5, 6));
                    try (LanguageModel loaded = load(model)) {
                        Path merged = folder.resolve(family.name() + "-merged");
                        loaded.export(merged, ModelFormat.huggingFace(Precision.FP32));
                        JsonNode ids = TestData.json(merged.resolve("generation_config.json"))
                                .path("eos_token_id");
                        Set<Integer> ends = new TreeSet<>();
                        (ids.isInt() ? List.of(ids) : ids).forEach(id -> ends.add(id.intValue()));
                        assertTrue(ends.containsAll(family.ends()), () -> ids + " for " + family.ends());

                        Path file = folder.resolve(family.name() + ".gguf");
                        String reason = NOT_IN_GGUF.get(family.name());
                        if (reason != null) {
                            String refused = assertThrows(
                                            SettingsException.class,
                                            () -> loaded.export(file, ModelFormat.gguf(GgufType.F32)))
                                    .getMessage();
                            assertTrue(refused.contains(reason), refused);
                            return;
                        }
                        loaded.export(file, ModelFormat.gguf(GgufType.F32));
                        GgufContent content = GgufContent.read(file);
                        assertEquals(template, content.metadata().get("tokenizer.chat_template"));
                        assertEquals((long) eos, content.metadata().get("tokenizer.ggml.eos_token_id"));
                        Set<Integer> stored = new TreeSet<>();
                        for (String key : List.of("eos", "eot", "eom")) {
                            if (content.metadata().get("tokenizer.ggml." + key + "_token_id") instanceof Long id) {
                                stored.add(id.intValue());
                            }
                        }
                        assertTrue(stored.containsAll(family.ends()), () -> stored + " for " + family.ends());
                    }
                }));
    }
}
