package dev.finetune4j.lora.reference;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.testsupport.TensorData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The micro-batches of a recorded training, {@code step<i>.micro<j>.input_ids} and {@code .labels} in a file.
 *
 * @param examples all rows in the order of the training
 * @param rowsOfMicroBatch rows that go through the model together
 * @param rowsOfStep rows of an optimizer step
 */
public record TrajectoryBatches(List<EncodedExample> examples, int rowsOfMicroBatch, int rowsOfStep) {
    private static final Pattern NAME = Pattern.compile("step(\\d+)\\.micro(\\d+)\\.(input_ids|labels)");

    public static TrajectoryBatches read(Path path) {
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            List<EncodedExample> examples = new ArrayList<>();
            List<Integer> micro = new ArrayList<>();
            List<Integer> steps = new ArrayList<>();
            for (SortedMap<Integer, String> names : names(file).values()) {
                int before = examples.size();
                for (String name : names.values()) {
                    List<EncodedExample> rows = rows(file, name);
                    examples.addAll(rows);
                    micro.add(rows.size());
                }
                steps.add(examples.size() - before);
            }
            if (steps.stream().distinct().count() != 1) {
                throw new IllegalStateException(path + ": steps of " + steps + " rows; all must have as many");
            }
            // Which rows go through the model together changes nothing but the rounding.
            boolean even = micro.stream().distinct().count() == 1;
            return new TrajectoryBatches(examples, even ? micro.get(0) : 1, steps.get(0));
        }
    }

    private static SortedMap<Integer, SortedMap<Integer, String>> names(SafetensorsFile file) {
        SortedMap<Integer, SortedMap<Integer, String>> steps = new TreeMap<>();
        for (String tensor : file.names()) {
            Matcher matcher = NAME.matcher(tensor);
            if (!matcher.matches()) {
                throw new IllegalStateException("tensor " + tensor + " is no part of a micro-batch");
            }
            steps.computeIfAbsent(Integer.valueOf(matcher.group(1)), step -> new TreeMap<>())
                    .put(Integer.valueOf(matcher.group(2)), tensor.substring(0, matcher.end(2)));
        }
        return steps;
    }

    private static List<EncodedExample> rows(SafetensorsFile file, String name) {
        long[] shape = file.info(name + ".input_ids").shape();
        int rows = Math.toIntExact(shape[0]);
        int length = Math.toIntExact(shape[1]);
        long[] ids = TensorData.longs(file, name + ".input_ids");
        long[] labels = Fixtures.shift(TensorData.longs(file, name + ".labels"), rows, length);
        List<EncodedExample> examples = new ArrayList<>();
        for (int row = 0; row < rows; row++) {
            examples.add(new EncodedExample(ints(ids, row, length), ints(labels, row, length)));
        }
        return examples;
    }

    private static int[] ints(long[] values, int row, int length) {
        return Arrays.stream(values, row * length, (row + 1) * length)
                .mapToInt(Math::toIntExact)
                .toArray();
    }

    /** Deals the rows out in their order. */
    public BatchLoader loader() {
        return loader(rowsOfMicroBatch, rowsOfStep / rowsOfMicroBatch);
    }

    /** Deals the rows out in their order, split into other micro-batches and steps. */
    public BatchLoader loader(int microBatch, int accumulation) {
        return new BatchLoader(examples, microBatch, accumulation, 1, new Collator(0, 1), false);
    }
}
