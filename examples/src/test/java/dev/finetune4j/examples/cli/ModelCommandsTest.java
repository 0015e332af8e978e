package dev.finetune4j.examples.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.Adapter;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.MergeSettings;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.core.Precision;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.lora.adapter.Combination;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The commands that use what was trained, on the demonstration: chat, eval, merge and export. */
class ModelCommandsTest {
    @TempDir
    private static Path folder;

    private static String model;
    private static String adapter;

    @BeforeAll
    static void theDemonstration() {
        model = Demo.folder().resolve("model").toString();
        adapter = Demo.folder().resolve("adapter").toString();
    }

    private static String data(String name) {
        return Demo.folder().resolve("data").resolve(name).toString();
    }

    /** The first ten of its rows, a line each between the brackets. */
    private static String few(String name) throws IOException {
        List<String> lines = Files.readAllLines(Path.of(data(name)));
        Path file = folder.resolve(name);
        Files.writeString(file, String.join("\n", lines.subList(0, 10)).replaceAll(",\\s*$", "") + "\n]\n");
        return file.toString();
    }

    @Test
    void eachSideHasItsConversation() {
        Path rows = folder.resolve("rows.jsonl");
        Cli chat = Cli.piped(
                List.of(
                        "你叫什么名字?",
                        "/base",
                        "你叫什么名字?",
                        "/clear",
                        "/adapter",
                        "/save " + rows,
                        "/base",
                        "/system 用中文回答",
                        "Who are you?",
                        "/save " + rows,
                        "/exit",
                        "not read"),
                "chat",
                model,
                "--device",
                "cpu",
                "--adapter",
                "tuned=" + adapter);
        assertEquals(0, chat.code(), chat.err());
        assertEquals("you> 你叫什么名字?", chat.lines().get(0));
        assertEquals("tuned> 我叫张三。", chat.lines().get(1));
        assertEquals("base answers", chat.lines().get(3));
        assertEquals("base> 我叫通用助手。", chat.lines().get(5));
        assertFalse(chat.out().contains("not read"), chat.out());
        Dataset saved = Dataset.read(rows);
        assertEquals(2, saved.size(), "each conversation is a row to train on");
        assertEquals(List.of("你叫什么名字?", "我叫张三。"), saved.examples().get(0).texts());
        assertEquals("用中文回答", saved.examples().get(1).texts().get(0));
    }

    @Test
    void programsGetAnObjectForEachAnswer() throws Exception {
        Cli chat = Cli.piped(
                List.of("你叫什么名字?", "/base", "/fly", "/adapter other", "你叫什么名字?"),
                "chat",
                model,
                "--json",
                "--max-new-tokens",
                "4",
                "--adapter",
                adapter);
        assertEquals(1, chat.code(), "two commands failed");
        assertEquals(2, chat.lines().size(), chat.out());
        JsonNode first = Cli.json(chat.lines().get(0));
        assertEquals("adapter", first.path("side").asText());
        assertEquals("我叫张三", first.path("answer").asText());
        assertEquals("LENGTH", first.path("finishReason").asText());
        assertEquals(4, first.path("completionTokens").asInt());
        assertEquals("base", Cli.json(chat.lines().get(1)).path("side").asText());
        List<String> errors = chat.err().lines().toList();
        assertEquals(2, errors.size(), chat.err());
        assertTrue(Cli.json(errors.get(0)).path("message").asText().contains("/fly; there are /help"), chat.err());
        assertTrue(Cli.json(errors.get(1)).path("message").asText().contains("there are adapter and base"), chat.err());
    }

    @Test
    void wrongChoicesEndBeforeTheChat() {
        for (String[] wrong : new String[][] {
            {"--adapter", "base=" + adapter},
            {"--adapter", adapter, "--adapter", adapter},
            {"--adapter", "no-such-folder"},
            {"--temperature", "-1"},
            {"--template", "no-such-template"}
        }) {
            String[] arguments = new String[wrong.length + 2];
            arguments[0] = "chat";
            arguments[1] = model;
            System.arraycopy(wrong, 0, arguments, 2, wrong.length);
            Cli chat = Cli.piped(List.of("hello"), arguments);
            assertEquals(1, chat.code(), chat.out());
            assertEquals(1, chat.err().lines().count(), chat.err());
            assertEquals("", chat.out());
        }
    }

    @Test
    void theVerdictIsTheExitCode() throws Exception {
        Path report = folder.resolve("report");
        String[] arguments = {
            "eval",
            model,
            "--adapter",
            adapter,
            "--task",
            data("identity_new_phrasings.json"),
            "--trained",
            data("identity_trained.json"),
            "--general",
            data("general.json"),
            "--held-out",
            data("identity.json"),
            "--output",
            report.toString(),
            "--language",
            "zh",
            "--json"
        };
        Cli passed = Cli.run(arguments);
        assertEquals(0, passed.code(), passed.out() + passed.err());
        JsonNode verdict = passed.json();
        assertTrue(verdict.path("passed").asBoolean());
        assertTrue(verdict.path("success").asDouble() > 0.9, passed.out());
        assertTrue(verdict.path("retention").asDouble() > 0.9, passed.out());
        assertEquals(3, verdict.path("checks").size());
        assertTrue(Files.readString(report.resolve("evaluation.html")).contains("lang=\"zh"));
        assertTrue(Files.exists(report.resolve("evaluation.json")));

        Cli missed = Cli.run("eval", model, "--adapter", adapter, "--task", few("general.json"), "--rule", "exact");
        assertEquals(Finetune4j.NOT_PASSED, missed.code(), missed.err());
        assertTrue(missed.out().contains("✗ Task learned at least 80 %"), missed.out());
        assertFalse(missed.out().contains("\n## "), "the answers are in the files");
    }

    @Test
    void anEvaluationNeedsWhatWasTrained() {
        Cli neither = Cli.run("eval", model, "--task", data("general.json"));
        assertEquals(1, neither.code());
        assertTrue(neither.err().contains("--adapter PATH"), neither.err());
        Cli both = Cli.run("eval", model, "--task", data("general.json"), "--adapter", adapter, "--tuned", model);
        assertEquals(2, both.code());
    }

    @Test
    void taskFilesOfLlamaFactoryChatAndMerge() throws Exception {
        Path chat = folder.resolve("chat.yaml");
        Files.writeString(chat, """
                model_name_or_path: %s
                adapter_name_or_path: %s
                template: yi
                infer_backend: huggingface
                trust_remote_code: true
                do_sample: false
                """.formatted(model, adapter));
        Cli said = Cli.piped(List.of("你叫什么名字?"), "chat", chat.toString(), "infer_dtype=float16", "--json");
        assertEquals(0, said.code(), said.err());
        assertEquals("我叫张三。", said.json().path("answer").asText(), "the model's own template, as the file means");
        assertEquals("adapter", said.json().path("side").asText());
        assertTrue(said.err().contains("float16 is computed in bfloat16"), said.err());

        serves(chat.toString());

        Path merge = folder.resolve("merge.yaml");
        Path target = folder.resolve("by-task-file");
        Files.writeString(merge, """
                model_name_or_path: %s
                adapter_name_or_path: %s,%s
                template: yi
                export_dir: %s
                export_size: 5
                export_device: cpu
                export_legacy_format: false
                """.formatted(model, adapter, adapter, target));
        Cli merged = Cli.run("merge", merge.toString(), "--json");
        assertEquals(0, merged.code(), merged.err());
        assertEquals(target.toString(), merged.json().path("target").asText());
        Cli refused = Cli.run("export", merge.toString(), "export_quantization_bit=4", "export_size=0", "modell=x");
        assertEquals(2, refused.code());
        assertTrue(refused.err().contains("GPTQ is not built in"), refused.err());
        assertTrue(refused.err().contains("export_size: is 0"), refused.err());
        Cli noTask = Cli.run("export", model, "export_size=1");
        assertTrue(noTask.err().contains("export_size=1 is for keys of a task file"), noTask.err());
    }

    /** LLaMA-Factory merges one after the other into the model: one of weight 1 and its opposite leave the base. */
    @Test
    void severalAdaptersOfATaskFileAddUp() throws Exception {
        Path opposite = folder.resolve("opposite");
        try (LanguageModel base = LanguageModel.load(Path.of(model));
                Adapter tuned = base.loadAdapter(Path.of(adapter));
                Adapter negative =
                        Adapter.combine(Combination.of(Combination.Type.CAT), tuned.weighted(-1), tuned.weighted(0))) {
            negative.save(opposite);
        }
        Path chat = folder.resolve("several.yaml");
        Files.writeString(chat, """
                model_name_or_path: %s
                adapter_name_or_path: %s,%s
                do_sample: false
                """.formatted(model, adapter, opposite));
        Cli both = Cli.piped(List.of("你叫什么名字?"), "chat", chat.toString(), "--json");
        assertEquals(0, both.code(), both.err());
        assertEquals("adapter+opposite", both.json().path("side").asText());
        Cli base = Cli.piped(List.of("你叫什么名字?"), "chat", model, "--json");
        assertEquals(
                base.json().path("answer").asText(), both.json().path("answer").asText());
    }

    /** The server has the model of a task file, and its adapter by name. */
    private static void serves(String task) throws Exception {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        Thread server = new Thread(() -> Finetune4j.commandLine(new PrintWriter(out, true), new PrintWriter(err, true))
                .execute("serve", task, "--port", "0", "--json"));
        server.start();
        while (server.isAlive() && !out.toString().endsWith("\n")) {
            Thread.sleep(20);
        }
        try {
            String address = Cli.json(out.toString()).path("address").asText();
            String models = HttpClient.newHttpClient()
                    .send(
                            HttpRequest.newBuilder(URI.create(address).resolve("/v1/models"))
                                    .build(),
                            HttpResponse.BodyHandlers.ofString())
                    .body();
            assertEquals("adapter", Cli.json(models).at("/data/1/id").asText(), models + err);
            assertTrue(err.toString().contains("those of each request"), err.toString());
        } finally {
            server.interrupt();
            server.join(10_000);
        }
    }

    @Test
    void aMergedModelIsComparedAndAnswersAlone() throws Exception {
        Path merged = folder.resolve("merged");
        Cli merge = Cli.run("merge", model, "--adapter", adapter, "--output", merged.toString(), "--json");
        assertEquals(0, merge.code(), merge.err());
        assertEquals(4, merge.json().path("comparison").path("prompts").asInt());
        assertTrue(merge.json().path("bytes").path("model.safetensors").asLong() > 1_000_000, merge.out());
        try (LanguageModel alone = LanguageModel.load(merged)) {
            assertEquals("我叫张三。", alone.ask("你叫什么名字?"));
        }
        Cli eval = Cli.run(
                "eval",
                model,
                "--tuned",
                merged.toString(),
                "--task",
                few("identity_new_phrasings.json"),
                "--general",
                few("general.json"));
        assertEquals(0, eval.code(), eval.out());

        Path shards = folder.resolve("shards");
        LanguageModel.merge(
                Path.of(model),
                Path.of(adapter),
                shards,
                ModelFormat.huggingFace(Precision.BF16).shardBytes(2_000_000),
                MergeSettings.defaults());
        assertTrue(Files.size(shards.resolve("model-00001-of-00004.safetensors")) <= 2_001_000, "what was asked for");
        try (LanguageModel alone = LanguageModel.load(shards)) {
            assertEquals("我叫张三。", alone.ask("你叫什么名字?"));
        }

        Cli uncompared = Cli.run(
                "export",
                model,
                "--adapter",
                adapter,
                "--output",
                folder.resolve("again").toString(),
                "--no-comparison");
        assertEquals(0, uncompared.code(), uncompared.err());
        assertEquals(1, uncompared.out().lines().count(), uncompared.out());
        assertEquals(
                -1,
                Files.mismatch(merged.resolve("model.safetensors"), folder.resolve("again/model.safetensors")),
                "export of safetensors is a merge");
    }

    @Test
    void everyFormIsWritten() throws Exception {
        Path gguf = folder.resolve("merged.gguf");
        Cli whole = Cli.run("export", model, "--adapter", adapter, "--output", gguf.toString(), "--format", "gguf");
        assertEquals(0, whole.code(), whole.err());
        assertTrue(whole.out().startsWith(gguf + "  3."), whole.out());
        assertEquals("GGUF", new String(Files.readAllBytes(gguf), 0, 4, StandardCharsets.US_ASCII));

        Path ollama = folder.resolve("ollama");
        Cli folderForm = Cli.run(
                "export", model, "--output", ollama.toString(), "--format", "ollama", "--type", "f16", "--json");
        assertEquals(0, folderForm.code(), folderForm.err());
        assertTrue(folderForm.json().path("bytes").path("Modelfile").asLong() > 0, folderForm.out());

        Path lora = folder.resolve("adapter.gguf");
        Cli alone =
                Cli.run("export", model, "--adapter", adapter, "--output", lora.toString(), "--format", "gguf_adapter");
        assertEquals(0, alone.code(), alone.err());
        assertTrue(Files.size(lora) < Files.size(gguf));

        Cli nowhere = Cli.run("export", model, "--format", "gguf");
        assertEquals(1, nowhere.code());
        assertTrue(nowhere.err().contains("add --output PATH"), nowhere.err());
        Cli without = Cli.run("export", model, "--output", lora.toString(), "--format", "gguf_adapter");
        assertEquals(1, without.code());
        assertTrue(without.err().contains("--adapter PATH"), without.err());
    }
}
