package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.module.FindException;
import java.lang.module.ModuleFinder;
import java.lang.module.ModuleReference;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.spi.ToolProvider;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A program of somebody else: with a module descriptor that requires {@code dev.finetune4j} alone, and without one. */
class ConsumerTest {
    private static final String PROGRAM = """
            package consumer;

            import dev.finetune4j.Adapter;
            import dev.finetune4j.FineTunedModel;
            import dev.finetune4j.FineTuner;
            import dev.finetune4j.LanguageModel;
            import dev.finetune4j.core.Precision;
            import dev.finetune4j.core.generate.ChatSession;
            import dev.finetune4j.core.generate.GenerationSettings;
            import dev.finetune4j.data.Dataset;
            import dev.finetune4j.lora.plan.MemoryPlan;
            import dev.finetune4j.quant.QuantSettings;
            import java.nio.file.Path;

            public final class Program {
                public static void main(String[] args) {
                    Path base = Path.of(args[0]);
                    Path adapterFolder = Path.of(args[2]);
                    FineTuner tuner = FineTuner.builder()
                            .model(base)
                            .qlora(q -> q.rank(4))
                            .quantize(QuantSettings.nf4())
                            .dataset(Dataset.read(Path.of(args[1])))
                            .placeholder("name", "Ada")
                            .placeholder("author", "us")
                            .precision(Precision.FP32)
                            .training(t -> t.maxSteps(2))
                            .build();
                    MemoryPlan plan = tuner.plan();
                    String trained;
                    try (FineTunedModel tuned = tuner.train()) {
                        tuned.save(adapterFolder);
                        trained = tuned.ask("Who are you?");
                    }
                    try (LanguageModel model = LanguageModel.load(base);
                            Adapter adapter = model.loadAdapter(adapterFolder);
                            ChatSession chat = adapter.chat(GenerationSettings.greedy())) {
                        System.out.println("module " + Program.class.getModule().getName());
                        System.out.println("planned " + (plan != null));
                        System.out.println("trained " + !trained.isBlank());
                        System.out.println("loaded " + !chat.send("Who are you?").isBlank());
                    }
                }
            }
            """;

    /** What JDK 22 and newer warn about otherwise; the README says the same. */
    private static final String NATIVE_MODULES =
            "dev.finetune4j.core,ai.djl.tokenizers,org.bytedeco.javacpp,org.bytedeco.pytorch,org.bytedeco.openblas";

    private static final List<String> TEST_MODULES = List.of(
            "org.junit.", "org.opentest4j", "org.apiguardian", "dev.finetune4j.examples", "finetune4j.examples");

    @TempDir
    private Path folder;

    @BeforeEach
    void theSources() throws IOException {
        Files.createDirectories(folder.resolve("source/consumer"));
        Files.writeString(folder.resolve("source/consumer/Program.java"), PROGRAM);
    }

    @Test
    void onTheModulePath() throws Exception {
        Files.writeString(folder.resolve("source/module-info.java"), "module consumer { requires dev.finetune4j; }\n");
        String path = modulePath();
        compile("--module-path", path, "source/module-info.java", "source/consumer/Program.java");

        List<String> lines = run(
                NATIVE_MODULES,
                "--module-path",
                folder.resolve("classes") + File.pathSeparator + path,
                "--add-modules",
                "ALL-MODULE-PATH",
                "--module",
                "consumer/consumer.Program");
        assertEquals(List.of("module consumer", "planned true", "trained true", "loaded true"), lines);
    }

    @Test
    void onTheClassPath() throws Exception {
        String path = System.getProperty("java.class.path");
        compile("--class-path", path, "source/consumer/Program.java");

        List<String> lines = run(
                "ALL-UNNAMED",
                "--class-path",
                folder.resolve("classes") + File.pathSeparator + path,
                "consumer.Program");
        assertEquals(List.of("module null", "planned true", "trained true", "loaded true"), lines);
    }

    /** A module sees what is exported to it and nothing of the library's inside. */
    @Test
    void theInsideIsHidden() throws IOException {
        Files.writeString(folder.resolve("source/module-info.java"), "module consumer { requires dev.finetune4j; }\n");
        Path peeping = folder.resolve("source/consumer/Peeping.java");
        for (String inside : List.of(
                "dev.finetune4j.core.tensor.TensorScope",
                "dev.finetune4j.core.nn.Linear",
                "dev.finetune4j.core.model.CausalLM",
                "org.bytedeco.pytorch.Tensor")) {
            Files.writeString(peeping, "package consumer;\nclass Peeping { " + inside + " it; }\n");
            String said =
                    javac("--module-path", modulePath(), "source/module-info.java", "source/consumer/Peeping.java");
            assertTrue(said.contains("not visible") || said.contains("not exported"), inside + ": " + said);
        }
    }

    private void compile(String... arguments) {
        assertEquals("", javac(arguments));
    }

    /** What the compiler says; empty when it is content. */
    private String javac(String... arguments) {
        List<String> all =
                new ArrayList<>(List.of("-proc:none", "-Xlint:all,-path,-options", "-d", folder + "/classes"));
        Arrays.stream(arguments)
                .map(argument -> argument.startsWith("source/")
                        ? folder.resolve(argument).toString()
                        : argument)
                .forEach(all::add);
        StringWriter said = new StringWriter();
        PrintWriter writer = new PrintWriter(said);
        ToolProvider.findFirst("javac").orElseThrow().run(writer, writer, all.toArray(String[]::new));
        return said.toString();
    }

    private List<String> run(String nativeAccess, String... arguments) throws Exception {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        if (Runtime.version().feature() >= 22) {
            command.add("--enable-native-access=" + nativeAccess);
        }
        command.addAll(List.of("-Xmx1g", "-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"));
        command.addAll(List.of(arguments));
        command.add(Bundled.baseModel().toString());
        command.add(Bundled.identityDataset().toString());
        command.add(folder.resolve("adapter").toString());
        Path output = folder.resolve("output.txt");
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        assertTrue(process.waitFor(120, TimeUnit.SECONDS), "the program does not end");
        List<String> lines = Files.readAllLines(output, StandardCharsets.UTF_8);
        assertEquals(0, process.exitValue(), String.join("\n", lines));
        assertTrue(Files.exists(folder.resolve("adapter/adapter_model.safetensors")));
        return lines;
    }

    /** What a build tool puts there: all of this JVM's class path but the tests and what they use. */
    private static String modulePath() {
        String path = Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
                .filter(entry -> ConsumerTest.isLibrary(Path.of(entry)))
                .collect(Collectors.joining(File.pathSeparator));
        assertFalse(path.isEmpty());
        return path;
    }

    private static boolean isLibrary(Path entry) {
        try {
            List<String> names = ModuleFinder.of(entry).findAll().stream()
                    .map(ModuleReference::descriptor)
                    .map(descriptor -> descriptor.name() + ".")
                    .toList();
            return !names.isEmpty()
                    && names.stream().noneMatch(name -> TEST_MODULES.stream().anyMatch(name::startsWith));
        } catch (FindException e) {
            return false;
        }
    }
}
