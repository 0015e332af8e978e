package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The Java examples of the README compile, run, and do what the text says. */
class ReadmeTest {
    @TempDir
    private Path folder;

    @Test
    void theExamplesCompileAndRun() throws Exception {
        List<String> blocks = Snippets.blocks("README.md");
        assertEquals(
                8,
                blocks.size(),
                "the README has examples of training, listeners, loading, many texts, another method, preferences, planning,"
                        + " going on");
        assertTrue(blocks.get(0).lines().count() <= 12, "the first example has at most 12 lines");
        List<String> lines = Snippets.run(
                folder,
                String.join("\n", blocks.subList(0, 3))
                        + "System.out.println();\n"
                        + String.join("\n", blocks.subList(3, 8)),
                Bundled.baseModel().toString(),
                Bundled.identityDataset().toString(),
                folder.resolve("adapter").toString());
        assertEquals(20, lines.size(), lines.toString());
        assertEquals("我是张三，由某某公司开发。", lines.get(0), "the first example, word for word, prints the new identity");
        assertTrue(lines.get(1).contains("通用助手"), "the base alone says who it was: " + lines.get(1));
        assertEquals("我叫张三。", lines.get(2), "and so does the saved adapter");
        assertEquals("我叫张三。", lines.get(3), "many texts at once are those of each alone");
        assertTrue(lines.get(4).contains("张三"), lines.get(4));
        assertTrue(lines.get(5).contains("通用助手"), "beside them the base answers: " + lines.get(5));
        assertTrue(lines.get(6).startsWith("1.0 ") && lines.get(6).contains("张三"), lines.get(6));
        assertTrue(lines.get(7).startsWith("4 x 512 tokens on "), lines.get(7));
        assertEquals("it fits", lines.get(18));
        assertTrue(Files.exists(folder.resolve("adapter/adapter_model.safetensors")));
        assertTrue(Files.exists(folder.resolve("best/adapter_model.safetensors")));
        assertTrue(Files.exists(folder.resolve("logs/trainer_log.jsonl")));
        assertTrue(Files.exists(folder.resolve("merged/model.safetensors")));
        assertTrue(Files.exists(folder.resolve("merged.gguf")));
        assertTrue(Double.parseDouble(lines.get(19)) > 0, lines.get(19));
        assertTrue(Files.exists(folder.resolve("checkpoints/checkpoint-12/trainer_state.json")));
        assertTrue(Files.exists(folder.resolve("resumed/run.json")));
    }

    /** What is run above is what the Chinese page shows, in other words beside the code. */
    @Test
    void theChinesePageHasTheSameCode() throws Exception {
        assertEquals(Snippets.codeOnly("README.md"), Snippets.codeOnly("README.zh.md"));
    }

    /** A command that names no goal needs one by default, in the parent as in the module that has the program. */
    @Test
    void theCommandsNameProfilesThatRun() throws Exception {
        Pattern command = Pattern.compile("mvn -q -P([a-z]+)(?: -Dargs=\"[^\"]*\")?(?=`|$)", Pattern.MULTILINE);
        Set<String> profiles = new TreeSet<>();
        for (String page : List.of("README.md", "README.zh.md", "CONTRIBUTING.md")) {
            Matcher found = command.matcher(Files.readString(Snippets.page(page)));
            while (found.find()) {
                profiles.add(found.group(1));
            }
        }
        assertTrue(profiles.containsAll(Set.of("quickstart", "chat", "cli")), profiles.toString());
        String parent = Files.readString(Snippets.page("pom.xml"));
        for (String profile : profiles) {
            Pattern runs = Pattern.compile("<id>" + profile + "</id>(?:(?!</profile>).)*<defaultGoal>", Pattern.DOTALL);
            assertTrue(runs.matcher(parent).find(), "-P" + profile + " has no default goal in the parent's pom.xml");
        }
    }
}
