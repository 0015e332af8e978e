package dev.finetune4j.benchmarks;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Example;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;

/**
 * What an application sees through the public builder and chats, on real rows and from a first run on: one line of JSON for
 * each figure on the standard output, and all of them as a table on the standard error at the end. Each cell runs in a process
 * of its own whose caches are empty, as on a machine that has never run the library.
 *
 * <p>Arguments: {@code --models FOLDER,FOLDER --data rows.json,more.json} and, all with usual values, {@code --cells
 * rows,first-steps,answers,together --rows 8x0,4x0.05} (batch size x dropout) {@code --epochs 3 --steps 40 --seconds 300 --chats 4
 * --template llama2 --device cuda}. Rows are in any format that {@link Dataset#read} knows.
 *
 * <ul>
 *   <li>{@code rows}: useful tokens (without padding) a second in each epoch; first step; peak beside the plan.
 *   <li>{@code first-steps}: the same training twice in one process, batches of 4 rows of at most 1,024 tokens: the first over the
 *       second.
 *   <li>{@code answers}: load, then three answers of at most 200 tokens with the time to the first piece; again in a second process,
 *       which finds the caches of the first.
 *   <li>{@code together}: trainings beside chats, compared with both alone ({@link TogetherCell}).
 *   <li>{@code soak}, if it is asked for: memory that {@code --steps} steps of batches of 8 leave behind ({@link SoakCell}).
 * </ul>
 */
public final class RealCells {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int ROWS_LENGTH = 2048;
    private static final int FIRST_STEPS_LENGTH = 1024;

    private final String[] args;
    private final ComputeDevice device;

    private RealCells(String[] args) {
        this.args = args;
        this.device = option("--device", "cuda").equals("cuda") ? ComputeDevice.cuda(0) : ComputeDevice.cpu();
    }

    public static void main(String[] args) throws IOException {
        RealCells cells = new RealCells(args);
        if (!cells.option("--cell", "").isEmpty()) {
            cells.measure(cells.option("--cell", ""), Path.of(cells.option("--model", "")));
            return;
        }
        List<Map<String, Object>> lines = cells.all();
        System.err.println(table(lines));
    }

    private String option(String name, String usual) {
        return TrainCells.option(args, name, usual);
    }

    private int number(String name, int usual) {
        return Integer.parseInt(option(name, Integer.toString(usual)));
    }

    /** Each cell of each model in a process of its own. */
    private List<Map<String, Object>> all() throws IOException {
        List<Map<String, Object>> lines = new ArrayList<>();
        for (String model : option("--models", "").split(",", -1)) {
            for (String cell :
                    option("--cells", "rows,first-steps,answers,together").split(",", -1)) {
                // The rows of one batch size must not warm those of the next.
                List<String> parts = cell.equals("rows")
                        ? Arrays.stream(option("--rows", "8x0,4x0.05").split(",", -1))
                                .map(shape -> "rows:" + shape)
                                .toList()
                        : List.of(cell);
                for (String part : parts) {
                    lines.addAll(fresh(part, model));
                }
            }
        }
        return lines;
    }

    private List<Map<String, Object>> fresh(String cell, String model) throws IOException {
        Path caches = Files.createTempDirectory("empty-caches");
        try {
            List<Map<String, Object>> lines = new ArrayList<>(process(cell, model, caches));
            if (cell.equals("answers")) {
                lines.addAll(process("answers-again", model, caches));
            }
            return lines;
        } finally {
            try (Stream<Path> files = Files.walk(caches)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(file);
                }
            }
        }
    }

    private List<Map<String, Object>> process(String cell, String model, Path caches) throws IOException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), RealCells.class.getName()));
        command.addAll(List.of("--cell", cell, "--model", model));
        command.addAll(Arrays.asList(args));
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT);
        builder.environment().put("XDG_CACHE_HOME", caches.toString());
        Process process = builder.start();
        List<Map<String, Object>> lines = new ArrayList<>();
        try (BufferedReader out =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line = out.readLine(); line != null; line = out.readLine()) {
                System.out.println(line);
                if (line.startsWith("{")) {
                    lines.add(JSON.readValue(line, new TypeReference<LinkedHashMap<String, Object>>() {}));
                }
            }
        }
        int code = process.onExit().join().exitValue();
        if (code != 0) {
            System.err.printf(Locale.ROOT, "the cell %s of %s ended with %d%n", cell, model, code);
        }
        return lines;
    }

    private void measure(String cell, Path model) throws IOException {
        switch (cell.replaceFirst(":.*", "")) {
            case "rows" -> {
                String[] shape = cell.replaceFirst(".*:", "").split("x", -1);
                rows(model, Integer.parseInt(shape[0]), Double.parseDouble(shape[1]));
            }
            case "first-steps" -> firstSteps(model);
            case "soak" -> soak(model);
            case "answers", "answers-again" -> answers(cell, model);
            case "together" ->
                print(
                        "together",
                        model,
                        new TogetherCell(task(model, number("--steps", 40)), number("--chats", 4))
                                .run(number("--seconds", 300)));
            default ->
                throw new IllegalArgumentException(
                        "--cells takes rows, first-steps, answers, together and soak, not " + cell);
        }
    }

    private Dataset data() {
        List<Example> examples = new ArrayList<>();
        for (String file : option("--data", "").split(",", -1)) {
            examples.addAll(Dataset.read(Path.of(file)).examples());
        }
        return Dataset.of(examples);
    }

    private String template() {
        return option("--template", "llama2");
    }

    private void rows(Path model, int batch, double dropout) throws JsonProcessingException {
        double epochs = Double.parseDouble(option("--epochs", "3"));
        RealTraining training = RealTraining.run(new RealTraining.Task(
                model,
                device,
                data(),
                template(),
                ROWS_LENGTH,
                dropout,
                t -> t.epochs(epochs).batchSize(batch)));
        for (var epoch : training.epochs().entrySet()) {
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("batch", batch);
            line.put("dropout", dropout);
            line.put("epoch", epoch.getKey());
            line.put("tokens_per_s", Math.round(RealTraining.tokensPerSecond(epoch.getValue())));
            line.put("loss", rounded(RealTraining.loss(epoch.getValue())));
            line.put("steps", epoch.getValue().size());
            print("rows", model, line);
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("batch", batch);
        line.put("dropout", dropout);
        line.put("s_before_first_step", rounded(training.secondsBefore()));
        line.put("s_first_step", rounded(training.steps().get(0).seconds()));
        line.put("s_in_all", rounded(training.secondsInAll()));
        line.put("plan_gib", rounded(training.plannedGibibytes()));
        line.put("peak_gib", rounded(training.peakGibibytes()));
        line.put("reserved_gib", rounded(training.reservedGibibytes()));
        print("rows", model, line);
    }

    private RealTraining.Task task(Path model, int steps) {
        return new RealTraining.Task(
                model,
                device,
                data(),
                template(),
                FIRST_STEPS_LENGTH,
                0,
                t -> t.maxSteps(steps).batchSize(4));
    }

    private void firstSteps(Path model) throws JsonProcessingException {
        RealTraining.Task task = task(model, number("--steps", 40));
        RealTraining first = RealTraining.run(task);
        RealTraining second = RealTraining.run(task);
        double cold = RealTraining.tokensPerSecond(first.steps());
        double warm = RealTraining.tokensPerSecond(second.steps());
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("steps", first.steps().size());
        line.put("tokens_per_s", Math.round(cold));
        line.put("second_tokens_per_s", Math.round(warm));
        line.put("ratio", rounded(cold / warm));
        line.put("s_first_step", rounded(first.steps().get(0).seconds()));
        line.put("ms", milliseconds(first.steps()));
        line.put("second_ms", milliseconds(second.steps()));
        line.put("s_before_first_step", rounded(first.secondsBefore()));
        line.put("second_s_before_first_step", rounded(second.secondsBefore()));
        line.put("loss", rounded(RealTraining.loss(first.steps())));
        line.put("second_loss", rounded(RealTraining.loss(second.steps())));
        line.put("peak_gib", rounded(second.peakGibibytes()));
        print("first-steps", model, line);
    }

    private static List<Long> milliseconds(List<RealTraining.Step> steps) {
        return steps.stream().map(step -> Math.round(1e3 * step.seconds())).toList();
    }

    private void soak(Path model) throws JsonProcessingException {
        int steps = number("--steps", 2000);
        SoakCell memory = new SoakCell(device);
        RealTraining training = RealTraining.run(
                new RealTraining.Task(
                        model,
                        device,
                        data(),
                        template(),
                        ROWS_LENGTH,
                        0,
                        t -> t.maxSteps(steps).batchSize(8)),
                memory);
        Map<String, Object> line = memory.growth();
        line.put("tokens_per_s", Math.round(RealTraining.tokensPerSecond(training.steps())));
        print("soak", model, line);
    }

    private void answers(String cell, Path model) throws JsonProcessingException {
        for (Map<String, Object> line : RealAnswers.measure(model, device, template())) {
            print(cell, model, line);
        }
    }

    private static void print(String cell, Path model, Map<String, Object> values) throws JsonProcessingException {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("part", "real");
        line.put("cell", cell);
        line.put("model", model.getFileName().toString());
        line.putAll(values);
        System.out.println(JSON.writeValueAsString(line));
        System.out.flush();
    }

    /** Three decimals. */
    static double rounded(double value) {
        return Double.isFinite(value) ? Math.round(value * 1e3) / 1e3 : -1;
    }

    /** A Markdown table with a row for each line. */
    static String table(List<Map<String, Object>> lines) {
        StringBuilder text = new StringBuilder("| model | cell | figures |\n|---|---|---|\n");
        for (Map<String, Object> line : lines) {
            Map<String, Object> figures = new LinkedHashMap<>(line);
            figures.keySet().removeAll(List.of("part", "cell", "model"));
            List<String> shown = new ArrayList<>();
            figures.forEach((name, value) -> shown.add(name + " " + value));
            text.append("| ")
                    .append(line.get("model"))
                    .append(" | ")
                    .append(line.get("cell"))
                    .append(" | ")
                    .append(String.join(", ", shown))
                    .append(" |\n");
        }
        return text.toString();
    }
}
