package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Holds the main sources of all modules to the table of who may use whom.
 *
 * <p>It reads source text, not class files, so that a use which the compiler inlines (a constant) counts as well.
 * Comments and string literals are blanked first: a {@code @link} upwards is no edge, a fully qualified name in the
 * code is one.
 */
class ModuleEdgesTest {
    private static final String ROOT = "dev.finetune4j";

    /** What the table calls the package dev.finetune4j itself, which lies in the module lora. */
    private static final String FACADE = "facade";

    private static final List<String> MODULES = List.of("core", "quant", "data", "lora", "examples", "benchmarks");
    private static final List<String> LIBRARY = List.of("core", "quant", "data", "lora");

    /**
     * Names are relative to dev.finetune4j; "x.**" is x and all below it, "x" is x alone. The most specific row counts.
     * What a user sees (data, the adapters' settings and the facade) must not name the native binding; nothing sees examples and benchmarks.
     */
    private static final List<Row> TABLE = List.of(
            new Row("core.**", List.of("core.**"), true),
            new Row("quant.**", List.of("quant.**", "core.**"), true),
            new Row(
                    "data.**",
                    List.of("data.**", "core", "core.json", "core.message", "core.tensor.**", "core.text.**"),
                    false),
            new Row(FACADE, List.of(FACADE, "lora.**", "quant.**", "data.**", "core.**"), false),
            new Row("lora.adapter", List.of("core", "core.message", "core.model"), false),
            new Row("lora.adapter.layer", List.of("lora.adapter", "core.**"), true),
            new Row("lora.adapter.modules", List.of("lora.adapter", "lora.adapter.layer", "core.**"), true),
            new Row(
                    "lora.adapter.kind",
                    List.of("lora.adapter", "lora.adapter.layer", "lora.adapter.modules", "core.**"),
                    true),
            // What is left are the kinds, which do not know each other.
            new Row(
                    "lora.adapter.**",
                    List.of(
                            "lora.adapter",
                            "lora.adapter.layer",
                            "lora.adapter.modules",
                            "lora.adapter.kind",
                            "core.**"),
                    true),
            new Row("lora.adapter.peft", List.of("lora.adapter.**", "core.**"), true),
            new Row("lora.parallel.**", List.of("lora.parallel.**", "core.**"), false),
            new Row("lora.objective.**", List.of("lora.objective.**", "data.**", "core.**"), true),
            new Row("lora.report.**", List.of("lora.report.**", "lora.train.**", "core.**"), true),
            new Row(
                    "lora.train.**",
                    List.of(
                            "lora.train.**",
                            "lora.objective.**",
                            "lora.adapter.**",
                            "quant.kernel",
                            "data.**",
                            "core.**"),
                    true),
            new Row(
                    "lora.eval.**",
                    List.of("lora.eval.**", "lora.train.**", "lora.adapter.**", "data.**", "core.**"),
                    true),
            new Row(
                    "lora.plan.**",
                    List.of("lora.plan.**", "lora.adapter.**", "lora.train", "quant.**", "core.**"),
                    true),
            new Row("lora.export.**", List.of("lora.export.**", "lora.adapter.**", "quant.**", "core.**"), true),
            new Row("examples.**", List.of("examples.**", FACADE, "lora.**", "quant.**", "data.**", "core.**"), true),
            new Row(
                    "benchmarks.**",
                    List.of("benchmarks.**", FACADE, "lora.**", "quant.**", "data.**", "core.**"),
                    true));

    private static final Pattern COMMENT_OR_LITERAL = Pattern.compile(String.join(
            "|",
            "//[^\\n]*+",
            "/\\*(?s:.*?)\\*/",
            "\"\"\"(?s:[^\"\\\\]*+(?:(?:\\\\.|\"(?!\"\"))[^\"\\\\]*+)*+)\"\"\"",
            "\"[^\"\\\\\\n]*+(?:\\\\.[^\"\\\\\\n]*+)*+\"",
            "'[^'\\\\\\n]*+(?:\\\\.[^'\\\\\\n]*+)*+'"));
    private static final Pattern PACKAGE = Pattern.compile("\\bpackage\\s+([\\w.]+)\\s*;");
    private static final Pattern PROJECT_PACKAGE = Pattern.compile("\\bdev\\.finetune4j((?:\\.[a-z]\\w*+)*+)");
    private static final Pattern BINDING = Pattern.compile("\\borg\\.bytedeco\\b");
    private static final Pattern TEST_LIBRARY = Pattern.compile("\\b(?:org\\.junit|junit\\.framework)\\b");
    private static final Pattern NOISE = Pattern.compile("\\bSystem\\s*\\.\\s*(?:out|err|exit)\\b"
            + "|\\bprintStackTrace\\s*\\(\\s*\\)|\\bgetRuntime\\s*\\(\\s*\\)\\s*\\.\\s*(?:exit|halt)\\b");

    private record Row(String from, List<String> to, boolean maySeeBinding) {
        /** How specific the row is: of two with one beginning the one without "**" counts. */
        int depth() {
            return 2 * from.replace(".**", "").length() + (from.endsWith(".**") ? 0 : 1);
        }

        boolean allows(String target) {
            return to.stream().anyMatch(pattern -> covers(pattern, target));
        }
    }

    @Test
    void theSourcesKeepToTheTable() throws IOException {
        Path root = repositoryRoot();
        for (String module : List.of("core", "data", "lora")) {
            assertFalse(sources(root, module).isEmpty(), "no main sources found in " + root.resolve(module));
        }
        assertEquals(List.of(), violations(root), "forbidden uses; CONTRIBUTING.md has the table");
    }

    @ParameterizedTest(name = "{0} uses {1}")
    @CsvSource({
        "core,                dev.finetune4j.quant.Nf4Linear",
        "core.nn,             dev.finetune4j.data.batch.Batch",
        "core.generate,       dev.finetune4j.LanguageModel",
        "quant,               dev.finetune4j.data.batch.Batch",
        "quant,               dev.finetune4j.lora.adapter.lora.LoraLinear",
        "data,                dev.finetune4j.core.nn.Linear",
        "data,                dev.finetune4j.core.io.SafeTensors",
        "data.format,         dev.finetune4j.core.model.ModelConfig",
        "data,                dev.finetune4j.quant.Nf4Tensor",
        "data,                dev.finetune4j.FineTuner",
        "data,                org.bytedeco.pytorch.Tensor",
        "facade,              org.bytedeco.pytorch.Tensor",
        "facade,              dev.finetune4j.examples.QuickStart",
        "lora.adapter,        dev.finetune4j.quant.Nf4Linear",
        "lora.adapter,        dev.finetune4j.data.batch.Batch",
        "lora.adapter,        dev.finetune4j.FineTuner",
        "lora.adapter,        dev.finetune4j.lora.train.loop.Trainer",
        "lora.adapter,        dev.finetune4j.lora.adapter.peft.AdapterKinds",
        "lora.adapter,        org.bytedeco.pytorch.Tensor",
        "lora.adapter.kind,   dev.finetune4j.lora.adapter.ia3.Ia3Kind",
        "lora.adapter.ia3,    dev.finetune4j.lora.adapter.vera.VeraKind",
        "lora.objective,     dev.finetune4j.lora.train.loop.Trainer",
        "lora.objective,     dev.finetune4j.lora.adapter.LoraLinear",
        "lora.train,          dev.finetune4j.lora.report.ProgressLine",
        "lora.train,          dev.finetune4j.quant.Nf4Linear",
        "lora.train,          dev.finetune4j.FineTuner",
        "lora.eval,           dev.finetune4j.quant.Nf4Linear",
        "lora.unheard,        dev.finetune4j.core.ModelFileException",
        "examples,            dev.finetune4j.benchmarks.StepBenchmark",
        "benchmarks,          dev.finetune4j.examples.QuickStart",
        "core.text,           org.junit.jupiter.api.Test",
        "examples,            org.junit.jupiter.api.Test"
    })
    void aForbiddenImportIsFound(String from, String used, @TempDir Path root) throws IOException {
        write(root, from, "import " + used + ";\nclass Probe {}");
        assertEquals(1, violations(root).size());

        write(root, from, "class Probe { Object field = " + used + ".make(); }");
        assertEquals(1, violations(root).size(), "the same by its full name");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "System.out.println(1);",
                "System . err.println(1);",
                "System.exit(1);",
                "Runtime.getRuntime().halt(1);",
                "new Error().printStackTrace();"
            })
    void aNoisyLibraryIsFound(String statement, @TempDir Path root) throws IOException {
        String source = "class Probe { void run() { " + statement + " } }";
        for (String module : LIBRARY) {
            write(root, module, source);
        }
        assertEquals(LIBRARY.size(), violations(root).size());

        write(root, "examples", source);
        assertEquals(LIBRARY.size(), violations(root).size(), "a program may print");
    }

    @TestFactory
    Stream<DynamicTest> whatTheTableAllowsIsNotReported(@TempDir Path folder) {
        return TABLE.stream()
                .map(row -> DynamicTest.dynamicTest(row.from(), () -> {
                    String from = row.from().replace(".**", ".any");
                    StringBuilder source = new StringBuilder();
                    for (String to : row.to()) {
                        source.append("import ")
                                .append(fullName(to.replace(".**", "")))
                                .append(".Thing;\n");
                    }
                    if (row.maySeeBinding()) {
                        source.append("import org.bytedeco.pytorch.Tensor;\n");
                    }
                    Path root = folder.resolve(from);
                    write(root, from, source + "class Probe {}");
                    assertEquals(List.of(), violations(root));
                }));
    }

    @Test
    void commentsAndStringsAreNoUses(@TempDir Path root) throws IOException {
        String source = """
                /** See {@link dev.finetune4j.FineTuner}; "quoted */
                class Probe {
                    // System.out and org.junit
                    char quote = '"';
                    String text = "dev.finetune4j.quant \\" /*";
                    String block = \"""
                        System.exit "dev.finetune4j.data" \\\""" // \""";
                    String other = "*/";
                }
                """;
        write(root, "core", source);
        assertEquals(List.of(), violations(root));

        write(root, "core", source + "class Late { Object seen = dev.finetune4j.quant.Thing.make(); }");
        assertEquals(1, violations(root).size(), "code behind the literals is still read");
    }

    @Test
    void aPackageOfAnotherModuleIsFound(@TempDir Path root) throws IOException {
        Path file = root.resolve("quant/src/main/java/dev/finetune4j/core/Probe.java");
        Files.createDirectories(file.getParent());
        Files.writeString(file, "package dev.finetune4j.core;\nclass Probe {}");
        List<String> found = violations(root);
        assertEquals(1, found.size());
        assertTrue(found.get(0).contains("dev.finetune4j.quant"), found.get(0));
    }

    private static List<String> violations(Path root) throws IOException {
        List<String> found = new ArrayList<>();
        for (String module : MODULES) {
            for (Path file : sources(root, module)) {
                String code = COMMENT_OR_LITERAL.matcher(Files.readString(file)).replaceAll(" ");
                String where = root.relativize(file).toString();
                check(module, code, problem -> found.add(where + ": " + problem));
            }
        }
        return found;
    }

    private static void check(String module, String code, Consumer<String> report) {
        Matcher declaration = PACKAGE.matcher(code);
        String name = declaration.find() ? declaration.group(1) : "";
        boolean facade = module.equals("lora") && name.equals(ROOT);
        if (!facade && !covers(fullName(module) + ".**", name)) {
            report.accept("is in package '" + name + "', expected " + fullName(module) + " or a package below it");
            return;
        }
        String from = tableName(name.substring(ROOT.length()));
        Optional<Row> row = TABLE.stream()
                .filter(candidate -> covers(candidate.from(), from))
                .max(Comparator.comparingInt(Row::depth));
        if (row.isEmpty()) {
            report.accept("package " + from + " has no row in the table; add one that says what it may use");
            return;
        }
        for (String target : projectPackages(code)) {
            if (!target.equals(from) && !row.get().allows(target)) {
                report.accept(
                        from + " uses " + target + ", allowed are " + row.get().to());
            }
        }
        if (!row.get().maySeeBinding() && BINDING.matcher(code).find()) {
            report.accept(from + " is what users see and names org.bytedeco; hide it in core.tensor");
        }
        if (TEST_LIBRARY.matcher(code).find()) {
            report.accept("main code uses JUnit");
        }
        Matcher noise = NOISE.matcher(code);
        if (LIBRARY.contains(module) && noise.find()) {
            report.accept("has '" + noise.group() + "'; a library logs by slf4j, throws, and does not end the process");
        }
    }

    /** Packages in the code, the package of the file included, which it may always use. */
    private static Set<String> projectPackages(String code) {
        Set<String> names = new TreeSet<>();
        Matcher matcher = PROJECT_PACKAGE.matcher(code);
        while (matcher.find()) {
            names.add(tableName(matcher.group(1)));
        }
        return names;
    }

    /** The name in the table of a package that lies at {@code below} (empty, or a dot and more) in dev.finetune4j. */
    private static String tableName(String below) {
        return below.isEmpty() ? FACADE : below.substring(1);
    }

    private static String fullName(String tableName) {
        return tableName.equals(FACADE) ? ROOT : ROOT + "." + tableName;
    }

    private static boolean covers(String pattern, String name) {
        if (!pattern.endsWith(".**")) {
            return pattern.equals(name);
        }
        String base = pattern.substring(0, pattern.length() - ".**".length());
        return name.equals(base) || name.startsWith(base + ".");
    }

    private static List<Path> sources(Path root, String module) throws IOException {
        Path folder = root.resolve(module).resolve("src/main/java");
        if (!Files.isDirectory(folder)) {
            return List.of();
        }
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(file -> file.toString().endsWith(".java") && !file.endsWith("module-info.java"))
                    .sorted()
                    .toList();
        }
    }

    private static void write(Path root, String packageName, String code) throws IOException {
        String module = packageName.equals(FACADE) ? "lora" : packageName.split("\\.", 2)[0];
        String fullName = fullName(packageName);
        Path folder = root.resolve(module + "/src/main/java/" + fullName.replace('.', '/'));
        Files.createDirectories(folder);
        Files.writeString(folder.resolve("Probe.java"), "package " + fullName + ";\n" + code);
    }

    /** Maven starts tests in the module's folder, an editor often in the root: the first folder upwards that fits. */
    private static Path repositoryRoot() {
        Path start = Path.of("").toAbsolutePath();
        for (Path folder = start; folder != null; folder = folder.getParent()) {
            Path candidate = folder;
            if (MODULES.stream().allMatch(module -> Files.isRegularFile(candidate.resolve(module + "/pom.xml")))) {
                return folder;
            }
        }
        throw new AssertionError("no folder above " + start + " has the modules " + MODULES
                + "; start the tests in the checkout or in a module's folder");
    }
}
