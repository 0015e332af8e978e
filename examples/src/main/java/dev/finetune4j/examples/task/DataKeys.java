package dev.finetune4j.examples.task;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetFormat;
import dev.finetune4j.data.DatasetFormat.Column;
import dev.finetune4j.data.format.DatasetInfo;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * What a task says of the rows.
 *
 * @param names in dataset_info.json, or files of rows
 * @param heldOut the same, for evaluations
 * @param folder where dataset_info.json is
 * @param maxRows rows of each data set at most; 0 for all
 * @param valSize share or number of rows that are held out; 0 for none
 * @param shares of the data sets in a mix; empty when they stand one after the other
 * @param texts whether rows are texts to learn as they stand
 * @param system the system message of rows that have none; null for what the chat template writes
 * @param seed chooses what is held out
 */
record DataKeys(
        List<String> names,
        List<String> heldOut,
        Path folder,
        int maxRows,
        double valSize,
        List<Double> shares,
        boolean texts,
        @Nullable String system,
        long seed) {
    private static final String SYSTEM = "default_system";
    private static final Pattern FILE =
            Pattern.compile(".*[/\\\\].*|.*\\.(?:json|jsonl|csv|tsv|txt|md|parquet)(?:\\.gz)?");

    /**
     * The rows.
     *
     * @param heldOut null when none are
     */
    record Rows(Dataset train, @Nullable Dataset heldOut) {}

    static DataKeys of(TaskFile task, ObjectiveKeys objective) {
        List<String> names = task.list("dataset");
        List<String> heldOut = task.list("eval_dataset");
        if (names.isEmpty() && task.flag("do_train")) {
            task.refuse("dataset", "is missing; name an entry of dataset_info.json, or a file of rows");
        }
        String folder = task.text("dataset_dir").orElse("data");
        if (folder.startsWith("REMOTE:") || folder.equals("ONLINE")) {
            task.refuse(
                    "dataset_dir",
                    "is " + folder + ", but no data set is downloaded; fetch it and give the folder of its"
                            + " dataset_info.json");
        }
        boolean texts = objective.stage().equals("pt");
        if (texts) {
            Demands.onlyCounts(
                    task, "rows that are conversations, but those of stage pt are texts", SYSTEM, ThinkingSwitch.NAME);
        }
        double valSize = Demands.notNegative(task, "val_size");
        if (valSize > 0 && !heldOut.isEmpty()) {
            task.refuse("val_size", "holds rows out, but eval_dataset names some already; take one of the two out");
        }
        if (valSize > 1 && valSize != Math.rint(valSize)) {
            task.refuse("val_size", "is " + valSize + "; expected a share below 1 or a number of rows");
        }
        boolean evaluates = !ScheduleKeys.strategy(task).equals("no")
                || task.flag("do_eval")
                || task.flag("load_best_model_at_end")
                || task.isGiven("early_stopping_steps")
                || task.text("save_strategy").orElse("steps").equals("best");
        if (evaluates && valSize == 0 && heldOut.isEmpty()) {
            task.refuse(
                    task.flag("do_eval") ? "do_eval" : "eval_strategy",
                    "there are no rows to evaluate; write val_size: 0.1, or eval_dataset");
        }
        if (!evaluates && !(valSize == 0 && heldOut.isEmpty())) {
            task.note(
                    valSize > 0 ? "val_size" : "eval_dataset",
                    "nothing evaluates these rows; eval_strategy: epoch or do_eval: true does");
        }
        return new DataKeys(
                names,
                evaluates ? heldOut : List.of(),
                Path.of(folder),
                task.isGiven("max_samples") ? Demands.atLeast(task, "max_samples", 1) : 0,
                valSize,
                shares(task, names),
                texts,
                task.text(SYSTEM).filter(text -> !text.isBlank()).orElse(null),
                task.integer("seed").orElse(42));
    }

    private static List<Double> shares(TaskFile task, List<String> names) {
        List<String> given = task.list("interleave_probs");
        boolean mixes = task.text("mix_strategy").orElse("concat").equals("interleave_over");
        if (!mixes) {
            if (!given.isEmpty() && task.text("mix_strategy").orElse("concat").equals("concat")) {
                task.refuse("interleave_probs", "needs mix_strategy: interleave_over; write that, or take it out");
            }
            return List.of();
        }
        List<Double> shares = new ArrayList<>();
        for (String text : given) {
            Object share = Scalars.of(TaskKey.Type.FLOAT, text);
            shares.add(share instanceof Double number && number > 0 ? number : 0.0);
        }
        if (shares.contains(0.0) || (!given.isEmpty() && shares.size() != names.size())) {
            task.refuse(
                    "interleave_probs",
                    "is " + String.join(",", given) + "; expected a number above 0 for each of the " + names.size()
                            + " data sets");
            return List.of();
        }
        return given.isEmpty() ? names.stream().map(name -> 1.0).toList() : shares;
    }

    /**
     * Reads the rows.
     *
     * @param placeholders values by name; those that occur are put in
     * @throws FineTune4jException naming all data sets that cannot be read
     */
    Rows open(Map<String, String> placeholders) {
        List<FineTune4jException> problems = new ArrayList<>();
        List<Dataset> parts = read(names, problems);
        List<Dataset> others = read(heldOut, problems);
        if (problems.size() > 1) {
            StringBuilder all = new StringBuilder("the data sets cannot be read:");
            problems.forEach(problem -> all.append("\n  - ").append(problem.getMessage()));
            throw new FineTune4jException(all.toString(), problems.get(0));
        }
        if (problems.size() == 1) {
            throw problems.get(0);
        }
        Dataset train = bind(together(parts), placeholders, true);
        if (!others.isEmpty()) {
            return new Rows(train, bind(Dataset.concat(others.toArray(Dataset[]::new)), placeholders, false));
        }
        if (valSize == 0) {
            return new Rows(train, null);
        }
        double share = valSize < 1 ? valSize : valSize / train.size();
        if (share >= 1) {
            throw new FineTune4jException(
                    "val_size holds out " + (long) valSize + " rows, but there are " + train.size() + "; lower it",
                    null);
        }
        Dataset.Split split = train.split(share, seed);
        return new Rows(split.train(), split.heldOut());
    }

    private Dataset together(List<Dataset> parts) {
        if (shares.isEmpty() || parts.size() == 1) {
            return parts.size() == 1 ? parts.get(0) : Dataset.concat(parts.toArray(Dataset[]::new));
        }
        Map<Dataset, Double> mix = new LinkedHashMap<>();
        for (int i = 0; i < parts.size(); i++) {
            mix.put(parts.get(i), shares.get(i));
        }
        return Dataset.mix(mix, seed);
    }

    private List<Dataset> read(List<String> wanted, List<FineTune4jException> problems) {
        List<Dataset> datasets = new ArrayList<>();
        for (String name : wanted) {
            try {
                Dataset dataset = read(name);
                datasets.add(maxRows > 0 ? dataset.limit(maxRows) : dataset);
            } catch (DatasetException e) {
                problems.add(e);
            }
        }
        return datasets;
    }

    private Dataset read(String name) {
        if (FILE.matcher(name).matches()) {
            return Dataset.read(Path.of(name), texts ? DatasetFormat.text() : DatasetFormat.auto());
        }
        if (!texts) {
            return Dataset.named(folder, name);
        }
        // What is a prompt elsewhere is the text here, as the original reads it.
        DatasetInfo.Entry entry = DatasetInfo.named(folder, name);
        String column = entry.format().columns().getOrDefault(Column.PROMPT, "instruction");
        Dataset dataset = Dataset.read(entry.path(), DatasetFormat.text().with(Column.TEXT, column));
        return entry.rows() == null ? dataset : dataset.limit(entry.rows());
    }

    private Dataset bind(Dataset rows, Map<String, String> placeholders, boolean all) {
        Dataset dataset = system == null || texts ? rows : rows.withSystem(system);
        Map<String, String> values = new LinkedHashMap<>(placeholders);
        if (!all) {
            values.keySet()
                    .removeIf(name -> dataset.sample().stream()
                            .noneMatch(
                                    row -> row.texts().stream().anyMatch(text -> text.contains("{{" + name + "}}"))));
        }
        return dataset.bind(values);
    }
}
