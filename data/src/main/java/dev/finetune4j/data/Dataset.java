package dev.finetune4j.data;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.data.batch.Permutation;
import dev.finetune4j.data.format.DatasetInfo;
import dev.finetune4j.data.format.ExampleReader;
import dev.finetune4j.data.source.SourceFiles;
import dev.finetune4j.data.source.UncountedList;
import java.nio.file.Path;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Examples to train on, in order. Files of up to 50 MB are held in memory; the rows of larger ones are read when they are
 * needed, and the files must not change meanwhile. Immutable and thread-safe.
 */
public final class Dataset {
    /** Files that are larger together are not held in memory. */
    static final long IN_MEMORY_BYTES = 50L << 20;

    /** Of rows that are not held in memory, so many are looked at beforehand. */
    private static final int SAMPLE = 1000;

    /** As they were read: placeholders are looked for here, never in the values that replaced some. */
    private final List<Example> originals;

    private final List<Example> examples;
    private final Map<String, String> values;
    private final boolean lazy;

    private Dataset(List<Example> originals, List<Example> examples, Map<String, String> values, boolean lazy) {
        this.originals = originals;
        this.examples = examples;
        this.values = values;
        this.lazy = lazy;
    }

    private Dataset(List<Example> examples, boolean lazy) {
        this(examples, examples, Map.of(), lazy);
    }

    /** Whether rows are read when they are needed; then what is wrong with one of them may be found during the training. */
    public boolean isLazy() {
        return lazy;
    }

    /** The examples that are looked at beforehand: all that are in memory, else the first ones. */
    public List<Example> sample() {
        return lazy ? UncountedList.first(examples, SAMPLE) : examples;
    }

    private List<Example> sampledOriginals() {
        return lazy ? UncountedList.first(originals, SAMPLE) : originals;
    }

    /**
     * Reads rows whose format is recognised by the columns of the first: see {@link #read(Path, DatasetFormat)}.
     *
     * @throws DatasetException as the other method does, or if the format is not recognised
     */
    public static Dataset read(Path path) {
        return read(path, DatasetFormat.auto());
    }

    /**
     * Reads a file of rows, or all files of a folder one after the other: a JSON array of objects, JSON lines with one object in
     * each line, CSV or TSV with a header, plain text or Parquet, each also packed with gzip.
     *
     * <p>What the file begins with says which it is, whatever its name; but a table is recognised by a name that ends with {@code .csv} or
     * {@code .tsv}, and a text by {@code .txt} or {@code .md}. Text is UTF-8, with or without a byte order mark; blank lines and
     * empty rows of a table do not count. A plain text is one row; one of more than a million characters is cut
     * into several behind empty lines. Files of more than 50 MB together are not held in memory, and of their rows the first
     * thousand are looked at beforehand. Parquet needs {@code blue.strategic.parquet:parquet-floor} on the class path.
     *
     * @throws DatasetException if a file is missing, cannot be read, is no strict JSON or CSV (line and column are named),
     *     holds no row, or has rows of another format or that cannot be trained on: a field that is missing, blank or no
     *     text. All bad rows are reported together
     */
    public static Dataset read(Path path, DatasetFormat format) {
        Arguments.given(path, "read(path)");
        Arguments.given(format, "read(format)");
        return read(path, format, IN_MEMORY_BYTES);
    }

    /** @param inMemory bytes that may be held in memory */
    static Dataset read(Path path, DatasetFormat format, long inMemory) {
        List<Path> files = SourceFiles.of(path);
        if (SourceFiles.bytes(files) > inMemory) {
            return new Dataset(LazyExamples.of(files, format), true);
        }
        DatasetProblems problems = new DatasetProblems();
        List<Example> examples = new ArrayList<>();
        for (Path file : files) {
            examples.addAll(ExampleReader.readAll(file, format, problems));
        }
        problems.throwIfAny();
        return of(examples);
    }

    /**
     * Reads one of the data sets that LLaMA-Factory's {@code dataset_info.json} describes, as it says: columns, tags, formatting
     * and ranking. Of {@code num_samples} rows the first ones are taken.
     *
     * @param description the file, or the folder that holds it
     * @throws DatasetException if there is none of that name; if its entry has a mistake, such as a key that does not
     *     exist, or needs a hub; or as {@link #read(Path, DatasetFormat)} does
     */
    public static Dataset named(Path description, String name) {
        Arguments.given(description, "named(description)");
        Arguments.given(name, "named(name)");
        DatasetInfo.Entry entry = DatasetInfo.named(description, name);
        Dataset dataset = read(entry.path(), entry.format());
        return entry.rows() == null ? dataset : dataset.limit(entry.rows());
    }

    /**
     * Reads all rows of a query's result, whose columns are called as in a file; a name all in capitals counts in small
     * letters, and a column that holds a list has it as JSON text. The result is left open. All rows are held in memory, since a
     * result can be read but once; write larger ones to a file of JSON lines first.
     *
     * @throws DatasetException as {@link #read(Path, DatasetFormat)} does, or if the database fails
     */
    public static Dataset ofQuery(ResultSet result, DatasetFormat format) {
        Arguments.given(result, "ofQuery(result)");
        Arguments.given(format, "ofQuery(format)");
        DatasetProblems problems = new DatasetProblems();
        List<Example> examples;
        try {
            examples = ExampleReader.readAll(result, format, problems);
        } catch (SQLException e) {
            throw new DatasetException(
                    DatasetProblem.ofFile("the query's result", "cannot be read: " + e.getMessage()), e);
        }
        problems.throwIfAny();
        if (examples.isEmpty()) {
            throw new DatasetException(
                    DatasetProblem.ofFile("the query's result", "holds no rows; training needs at least one"));
        }
        return of(examples);
    }

    /** As {@link #ofQuery(ResultSet, DatasetFormat)}, with a format that is recognised by the columns. */
    public static Dataset ofQuery(ResultSet result) {
        return ofQuery(result, DatasetFormat.auto());
    }

    /**
     * Examples made in the program.
     *
     * @param examples those that say no place, as {@link SftExample#of} makes them, are numbered by their own
     */
    public static Dataset of(List<? extends Example> examples) {
        Arguments.given(examples, "of(examples)");
        List<Example> numbered = new ArrayList<>(examples);
        for (int i = 0; i < numbered.size(); i++) {
            Example example = Arguments.given(numbered.get(i), "of(examples[" + i + "])");
            if (example.where().isInMemory()) {
                numbered.set(i, example.at(Provenance.inMemory(i)));
            }
        }
        List<Example> copy = List.copyOf(numbered);
        return new Dataset(copy, false);
    }

    /**
     * As {@link #of(List)}. The stream is read to its end, and not closed.
     *
     * @param examples finite
     */
    public static Dataset of(Stream<? extends Example> examples) {
        Arguments.given(examples, "of(examples)");
        return of(examples.toList());
    }

    /**
     * Replaces placeholders: with a value for {@code name}, each <code>{{name}}</code> in a message becomes that value.
     * A placeholder starts with a letter or underscore, goes on with letters, digits, {@code _}, {@code .} or {@code
     * -}, and has no spaces. A value is put in as it is: what looks like a placeholder in it stays.
     *
     * @param newValues by name, without braces
     * @return a data set with these values and those given before
     * @throws DatasetException if a name occurs in no example, or an answer would become blank
     * @throws IllegalArgumentException if a name was given a value before
     */
    public Dataset bind(Map<String, String> newValues) {
        Arguments.given(newValues, "bind(newValues)");
        if (newValues.isEmpty()) {
            return this;
        }
        Map<String, String> all = new LinkedHashMap<>(values);
        newValues.forEach((name, value) -> {
            if (all.putIfAbsent(name, value) != null) {
                throw new IllegalArgumentException(
                        "the placeholder {{" + name + "}} was given a value before; give it one");
            }
        });
        Placeholders.requireOccurring(newValues.keySet(), sampledOriginals(), sources());
        return bound(originals, Collections.unmodifiableMap(all));
    }

    private Dataset bound(List<Example> unbound, Map<String, String> bindings) {
        List<Example> bound =
                lazy ? ListViews.mapped(unbound, row -> bound(row, bindings)) : Placeholders.bindAll(unbound, bindings);
        return new Dataset(unbound, bound, bindings, lazy);
    }

    private static Example bound(Example original, Map<String, String> values) {
        Placeholders.requireAllBound(List.of(original), values.keySet());
        return Placeholders.bind(original, values);
    }

    /**
     * The same examples with a system message where they have none, which then stands in the place of what a chat template would
     * write there by itself. Placeholders in it count as those of the rows do.
     *
     * @throws IllegalArgumentException if the text is blank
     */
    public Dataset withSystem(String text) {
        if (Arguments.given(text, "withSystem(text)").isBlank()) {
            throw new IllegalArgumentException("withSystem(text) is blank, but a system message says something");
        }
        return changed(ConversationChange.system(text));
    }

    /**
     * The same examples with a variable of the chat template, such as {@code enable_thinking}: see
     * {@link Conversation#templateVariables()}. It takes the place of one of its name. A template that has no variables refuses
     * them; {@link ChatTemplate#reads} tells.
     */
    public Dataset withTemplateVariable(String name, @Nullable Object value) {
        return changed(ConversationChange.variable(Arguments.given(name, "withTemplateVariable(name)"), value));
    }

    /**
     * The same examples with the thoughts taken out of their answers: what stands between {@code <think>} and {@code </think>} before
     * an answer, and the fields {@code reasoning_content}, {@code reasoning} and {@code thinking}.
     *
     * @throws DatasetException if an answer has nothing else, or a pair differed in them alone; of data that is not held in memory
     *     when such a row is read
     */
    public Dataset withoutThoughts() {
        return changed(ConversationChange.withoutThoughts());
    }

    private Dataset changed(ConversationChange change) {
        List<Example> changed = lazy ? ListViews.mapped(originals, change::of) : change.ofAll(originals);
        return values.isEmpty() ? new Dataset(changed, lazy) : bound(changed, values);
    }

    /** The two parts of a {@link #split}, each in the order of the whole. */
    public record Split(Dataset train, Dataset heldOut) {}

    /**
     * Sets examples aside, chosen by chance. Examples that say the same stay on one side, unless the data set is not held in memory.
     * Where none do, the choice depends on the size, the fraction and the seed alone, and stays the same in later
     * versions.
     *
     * @param fraction share of the examples to hold out, above 0 and below 1; rounded, but neither part is empty
     * @throws IllegalArgumentException if the fraction is out of range, there are fewer than two examples, or all say the same
     */
    public Split split(double fraction, long seed) {
        if (!(fraction > 0 && fraction < 1)) {
            throw new IllegalArgumentException(
                    "fraction is " + fraction + ", but the share to hold out must be above 0 and below 1, such as 0.1");
        }
        if (size() < 2) {
            throw new IllegalArgumentException("a split needs at least 2 examples, but there are " + size());
        }
        int[] first = lazy ? Permutation.identity(size()) : HeldOut.firstAlike(examples);
        BitSet held = HeldOut.choose(first, fraction, seed);
        return new Split(
                select(IntStream.range(0, size())
                        .filter(i -> !held.get(first[i]))
                        .toArray()),
                select(IntStream.range(0, size())
                        .filter(i -> held.get(first[i]))
                        .toArray()));
    }

    /**
     * Data sets one after the other. A placeholder that has a value in one of them has it in all.
     *
     * @param datasets at least one
     * @throws IllegalArgumentException if there is none, a placeholder has two values, or there are more than 2^31 examples
     */
    public static Dataset concat(Dataset... datasets) {
        Arguments.given(datasets, "concat(datasets)");
        if (datasets.length == 0) {
            throw new IllegalArgumentException("concat needs at least one data set, but got none");
        }
        List<List<Example>> originals = new ArrayList<>();
        Map<String, String> all = new LinkedHashMap<>();
        boolean anyLazy = false;
        for (Dataset dataset : datasets) {
            originals.add(Arguments.given(dataset, "concat(dataset)").originals);
            anyLazy |= dataset.lazy;
            dataset.values.forEach((name, value) -> {
                if (!value.equals(all.getOrDefault(name, value))) {
                    throw new IllegalArgumentException("the placeholder {{" + name
                            + "}} has another value in another data set; give values after putting them together");
                }
                all.put(name, value);
            });
        }
        List<Example> together = ListViews.concat(originals);
        return new Dataset(anyLazy ? together : List.copyOf(together), anyLazy).bind(all);
    }

    /**
     * A mix of data sets in which each has its share: all examples of each occur, those of a source that is too small
     * several times, as evenly as may be. Training shuffles them; here they stand one after the other.
     *
     * @param shares of the sources, above 0; what counts is how they relate to each other
     * @param seed decides which examples occur once more than others
     * @throws IllegalArgumentException if there is no source, or a share is not above 0
     */
    public static Dataset mix(Map<Dataset, Double> shares, long seed) {
        Arguments.given(shares, "mix(shares)");
        double scale = 0;
        for (Map.Entry<Dataset, Double> source : shares.entrySet()) {
            double share = source.getValue();
            if (!(share > 0) || Double.isInfinite(share)) {
                throw new IllegalArgumentException("a share is " + share + ", but it must be above 0, such as 0.3");
            }
            scale = Math.max(scale, source.getKey().size() / share);
        }
        List<Dataset> parts = new ArrayList<>();
        for (Map.Entry<Dataset, Double> source : shares.entrySet()) {
            parts.add(source.getKey()
                    .repeated(source.getValue() * scale / source.getKey().size(), seed));
        }
        return concat(parts.toArray(new Dataset[0]));
    }

    /**
     * The examples so many times: all of them as often as the number is whole, and as many of them as are left once more, chosen by chance.
     *
     * @param times such as 2 for each twice or 0.5 for half of them, above 0; at least one example remains
     * @throws IllegalArgumentException if the number is not above 0, or there would be more than 2^31 examples
     */
    public Dataset repeated(double times, long seed) {
        double wanted = times * size();
        if (!(times > 0) || wanted > Integer.MAX_VALUE - 8) {
            throw new IllegalArgumentException("times is " + times + " for " + size()
                    + " examples, but it must be above 0, and give fewer than 2^31 examples");
        }
        int[] order = Permutation.of(size(), seed, 0);
        int[] indices = new int[(int) Math.max(1, Math.round(wanted))];
        for (int i = 0; i < indices.length; i++) {
            indices[i] = order[i % size()];
        }
        return select(indices);
    }

    /**
     * The first examples.
     *
     * @param count how many at most, at least 1
     * @throws IllegalArgumentException if the count is less than 1
     */
    public Dataset limit(int count) {
        if (count < 1) {
            throw new IllegalArgumentException("count is " + count + ", but at least 1 example must remain");
        }
        if (!UncountedList.has(examples, count)) {
            return this;
        }
        return new Dataset(originals.subList(0, count), examples.subList(0, count), values, lazy);
    }

    private Dataset select(int[] indices) {
        Arrays.sort(indices);
        return new Dataset(ListViews.chosen(originals, indices), ListViews.chosen(examples, indices), values, lazy);
    }

    /** Number of examples; rows that are not in memory are counted when it is first asked for. */
    public int size() {
        return examples.size();
    }

    /** The examples in order, with those placeholders replaced that have a value. Unmodifiable. */
    public List<Example> examples() {
        return examples;
    }

    /**
     * Checks that the data can be trained on now: it holds examples, and every placeholder has a value.
     *
     * @throws DatasetException if not
     */
    public void requireReady() {
        if (examples.isEmpty()) {
            throw new DatasetException(
                    DatasetProblem.ofFile(Provenance.IN_MEMORY, "there is no example; at least one is needed"));
        }
        Placeholders.requireAllBound(sampledOriginals(), values.keySet());
    }

    /** What about the data a user should know before training on it, one sentence each; empty if nothing. */
    public List<String> warnings() {
        List<KtoExample> judged = sample().stream()
                .filter(KtoExample.class::isInstance)
                .map(KtoExample.class::cast)
                .toList();
        long good = judged.stream().filter(KtoExample::desirable).count();
        if (judged.isEmpty() || (good > 0 && good < judged.size())) {
            return List.of();
        }
        return List.of(sources() + ": all " + judged.size() + " answers are judged " + (good > 0 ? "good" : "bad")
                + ", but KTO learns from both kinds; add the other");
    }

    private String sources() {
        List<String> sources = sampledOriginals().stream()
                .map(example -> example.where().source())
                .distinct()
                .limit(4)
                .toList();
        String listed = String.join(", ", sources.subList(0, Math.min(3, sources.size())));
        return sources.isEmpty() ? Provenance.IN_MEMORY : listed + (sources.size() > 3 ? ", …" : "");
    }

    @Override
    public String toString() {
        return "Dataset[" + size() + " examples]";
    }
}
