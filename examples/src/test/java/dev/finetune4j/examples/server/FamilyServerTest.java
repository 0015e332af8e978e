package dev.finetune4j.examples.server;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.testsupport.ChatFamily;
import dev.finetune4j.testsupport.SayingModel;
import dev.finetune4j.testsupport.TestData;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Behind OpenAI's API the chat models of each family end at each of their end tokens, and nothing of their form is in the content. */
class FamilyServerTest {
    @TempDir
    private Path folder;

    @TestFactory
    Stream<DynamicTest> answersHaveTheirTextAlone() {
        return ChatFamily.all().stream()
                .map(family -> DynamicTest.dynamicTest(family.name(), () -> {
                    for (int end : family.ends()) {
                        answer(family, family.write(folder.resolve(family.name() + end)), end);
                    }
                }));
    }

    private static void answer(ChatFamily family, Path folder, int end) throws Exception {
        JsonNode asked = family.cases().get(0);
        int[] prompt = TestData.ints(asked.path("ids"));
        List<Integer> said = new ArrayList<>(List.of(prompt[prompt.length - 1]));
        int vocabulary;
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            vocabulary = tokenizer.vocabularySize();
            tokenizer.idOf("<|START_RESPONSE|>").ifPresent(said::add);
            for (int word : tokenizer.encodePlain("So#Yes")) {
                said.add(word);
            }
            said.add(end);
        }
        SayingModel.write(folder, vocabulary, said);
        try (LanguageModel model = LanguageModel.loader(folder)
                        .device(ComputeDevice.cpu())
                        .precision(Precision.FP32)
                        .load();
                ModelServer server = ModelServer.start(ServerSettings.builder("base")
                        .address(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                        .build())) {
            server.load(() -> model);
            TestClient client = new TestClient(server.address());
            String request = "{\"model\": \"base\", \"temperature\": 0, \"max_tokens\": 20, \"messages\": "
                    + asked.path("messages");
            JsonNode whole = TestClient.json(200, client.post("/v1/chat/completions", request + "}"));
            JsonNode choice = whole.path("choices").path(0);
            String content = choice.path("message").path("content").asText();
            assertEquals("So#Yes", content.strip());
            assertEquals("stop", choice.path("finish_reason").asText());
            assertEquals(
                    prompt.length, whole.path("usage").path("prompt_tokens").asInt());
            List<JsonNode> events =
                    TestClient.events(client.post("/v1/chat/completions", request + ", \"stream\": true}"));
            assertEquals(content, TestClient.content(events, 0));
        }
    }
}
