package dev.finetune4j.examples.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.examples.Snippets;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/** The commands and the Java code of docs/tutorial.md run, and those of its Chinese twin are the same. */
class TutorialTest {
    private static final String PAGE = "docs/tutorial.md";
    private static final String CHINESE = "docs/tutorial.zh.md";
    private static final Pattern ASKED = Pattern.compile("printf '([^']*)' \\| (finetune4j .*)");

    @TempDir
    private Path folder;

    private static List<String> commands(String page) throws IOException {
        Matcher block =
                Pattern.compile("```sh\n(.*?)```", Pattern.DOTALL).matcher(Files.readString(Snippets.page(page)));
        List<String> commands = new ArrayList<>();
        while (block.find()) {
            block.group(1).lines().forEach(commands::add);
        }
        return commands;
    }

    @Test
    void bothLanguagesHaveTheSameCommandsAndCode() throws IOException {
        assertEquals(commands(PAGE), commands(CHINESE));
        assertEquals(Snippets.codeOnly(PAGE), Snippets.codeOnly(CHINESE));
    }

    /** All but the server, which ends only when it is stopped, and what the shell's own programs print. */
    @Test
    void theCommandsRun() throws IOException {
        List<String> printed = new ArrayList<>();
        for (String command : commands(PAGE)) {
            Matcher asked = ASKED.matcher(command);
            String line = asked.matches() ? asked.group(2) : command;
            if (!line.startsWith("finetune4j ") || line.contains(" serve ")) {
                continue;
            }
            List<String> words = new ArrayList<>(Arrays.asList(here(line).split(" ", -1)));
            words.remove(0);
            if (words.get(0).equals("train") && words.size() > 2) {
                words.add("--check"); // one of the methods compared, which ToursTest trains by
            }
            String[] arguments = words.toArray(String[]::new);
            Cli run = asked.matches()
                    ? Cli.piped(List.of(here(asked.group(1)).split("\\\\n", -1)), arguments)
                    : Cli.run(arguments);
            assertEquals(0, run.code(), command + "\n" + run.out() + run.err());
            printed.add(run.out());
        }
        String all = String.join("\n", printed);
        for (String said : List.of(
                "it fits",
                "base> 我是通用助手，由开放实验室开发。",
                "\"examples\":138",
                "qlora> 我是张三，由某某公司开发。",
                "✓ Task learned at least 80 %",
                "compared with model and adapter on 4 prompts",
                "base> 我叫张三。")) {
            assertTrue(all.contains(said), said + " is not in\n" + all);
        }
        for (String file : List.of(
                "saves/qlora/trainer_log.jsonl",
                "saves/qlora/training_loss.png",
                "saves/qlora/adapter_model.safetensors",
                "report/evaluation.html",
                "own.jsonl",
                "merged/model.safetensors",
                "model.gguf",
                "ollama/Modelfile")) {
            assertTrue(Files.size(folder.resolve("demo").resolve(file)) > 0, file);
        }
        assertTrue(
                Files.readString(folder.resolve("demo/report/evaluation.html")).contains("<svg"),
                "the curve of the loss");
    }

    @Test
    void theJavaCodeRuns() throws Exception {
        Cli.run("demo", folder.resolve("demo").toString());
        List<String> blocks = Snippets.blocks(PAGE);
        List<String> lines = Snippets.run(
                folder, here(blocks.stream().map(block -> "{\n" + block + "}\n").reduce("", String::concat)));
        assertEquals(10, blocks.size());
        assertEquals("true", lines.get(0), "the plan fits");
        assertEquals("我是通用助手，由开放实验室开发。", lines.get(1));
        assertTrue(lines.get(2).startsWith("138 examples, "), lines.get(2));
        assertEquals("我叫张三。", lines.get(3));
        assertEquals("我是张三，由某某公司开发。", lines.get(4));
        assertEquals("我是通用助手，由开放实验室开发。", lines.get(5));
        assertEquals(List.of("true", "2", "2", "我叫张三。 STOP"), lines.subList(6, 10));
        assertTrue(Files.exists(folder.resolve("demo/java/merged/model.safetensors")));
    }

    /** The folder of the page's commands is here one of the test. */
    private String here(String text) {
        return text.replaceAll(
                        "(?<![\\w./])demo(?=[/ \"]|$)",
                        Matcher.quoteReplacement(folder.resolve("demo").toString()))
                .replace("finetune4j " + folder.resolve("demo") + " ", "finetune4j demo ");
    }

    @Test
    void theCommandsOfTheReadmesAreUnderstood() throws IOException {
        Pattern command = Pattern.compile("mvn -q -Pcli -Dargs=\"([^\"]*)\"");
        int found = 0;
        for (String page : List.of("README.md", "README.zh.md")) {
            Matcher matcher = command.matcher(Files.readString(Snippets.page(page)));
            while (matcher.find()) {
                found++;
                Finetune4j.commandLine(Streams.out(), Streams.err())
                        .parseArgs(matcher.group(1).split(" ", -1));
            }
        }
        assertTrue(found > 15, found + " commands");
    }

    /** The page as a person runs it, with processes of their own, the server and curl. */
    @Test
    @Tag("slow")
    @EnabledIfSystemProperty(named = "finetune4j.long", matches = "true")
    void theScriptRuns() throws Exception {
        Path transcript = folder.resolve("transcript.txt");
        ProcessBuilder script = new ProcessBuilder(
                        "bash", Snippets.page("docs/tutorial.sh").toString())
                .redirectErrorStream(true)
                .redirectOutput(transcript.toFile());
        script.environment().put("JAR", System.getProperty("java.class.path"));
        Process process = script.start();
        boolean ended = process.waitFor(6, TimeUnit.MINUTES);
        if (!ended) {
            process.destroy();
        }
        String printed = Files.readString(transcript);
        assertTrue(ended, printed);
        assertEquals(0, process.exitValue(), printed);
        assertTrue(printed.contains("data: [DONE]"), printed);
        assertTrue(printed.contains("\"content\":\"我叫张三。\""), printed);
        assertFalse(printed.contains("Exception"), printed);
    }
}
