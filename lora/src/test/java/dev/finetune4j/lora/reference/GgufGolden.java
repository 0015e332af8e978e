package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.testsupport.TensorData;
import java.nio.file.Path;
import java.util.Arrays;

/** Rows without padding, and the logits that transformers has for them at some positions. */
record GgufGolden(int[][] rows, int[] positions, float[][] logits, int vocabulary) {
    static GgufGolden of(Path folder, int longest) {
        return of(folder.resolve("golden.safetensors"), folder.resolve("golden.safetensors"), longest);
    }

    static GgufGolden of(Path input, Path expectation, int longest) {
        try (SafetensorsFile file = SafetensorsFile.open(input);
                SafetensorsFile numbers = SafetensorsFile.open(expectation)) {
            long[] shape = numbers.info("logits").shape();
            long[] ids = TensorData.longs(file, "input_ids");
            long[] mask = file.names().contains("attention_mask") ? TensorData.longs(file, "attention_mask") : null;
            float[] logits = TensorData.floats(numbers, "logits");
            int rows = (int) shape[0];
            int length = (int) file.info("input_ids").shape()[1];
            int[] positions =
                    numbers.names().contains("positions") // as the adapters of the library's own tests have it
                            ? Arrays.stream(TensorData.longs(numbers, "positions"))
                                    .mapToInt(Math::toIntExact)
                                    .toArray()
                            : ReferenceBatch.positions(numbers, length);
            assertEquals(positions.length, shape[1], "positions");
            int vocabulary = (int) shape[2];
            int[][] kept = new int[rows][];
            float[][] expected = new float[rows][];
            for (int row = 0; row < rows; row++) {
                int count = 0;
                while (count < Math.min(length, longest) && (mask == null || mask[row * length + count] != 0)) {
                    count++;
                }
                kept[row] = new int[count];
                for (int i = 0; i < count; i++) {
                    kept[row][i] = (int) ids[row * length + i];
                }
                int each = positions.length * vocabulary;
                expected[row] = Arrays.copyOfRange(logits, row * each, (row + 1) * each);
            }
            return new GgufGolden(kept, positions, expected, vocabulary);
        }
    }

    ObjectNode question(Path file) {
        ObjectNode question = GgufJudge.question("logprobs", file);
        ArrayNode all = question.putArray("rows");
        for (int[] row : rows) {
            ArrayNode list = all.addArray();
            for (int id : row) {
                list.add(id);
            }
        }
        return question;
    }

    /** The largest difference of a log-probability. */
    double difference(JsonNode answer) {
        double largest = 0;
        int compared = 0;
        for (int row = 0; row < rows.length; row++) {
            for (int i = 0; i < positions.length && positions[i] < rows[row].length; i++) {
                compared++;
                double normalizer = normalizer(logits[row], i * vocabulary);
                for (int id = 0; id < vocabulary; id++) {
                    double expected = logits[row][i * vocabulary + id] - normalizer;
                    JsonNode actual = answer.path(row).path(positions[i]).path(id);
                    assertTrue(actual.isNumber(), "no probability of token " + id);
                    largest = Math.max(largest, Math.abs(expected - actual.doubleValue()));
                }
            }
        }
        assertTrue(compared > 0, "no position of the expectation is within the rows");
        return largest;
    }

    private double normalizer(float[] values, int from) {
        double max = Double.NEGATIVE_INFINITY;
        for (int id = 0; id < vocabulary; id++) {
            max = Math.max(max, values[from + id]);
        }
        double sum = 0;
        for (int id = 0; id < vocabulary; id++) {
            sum += Math.exp(values[from + id] - max);
        }
        return max + Math.log(sum);
    }

    /** The largest difference of two answers. */
    static double largest(JsonNode one, JsonNode other) {
        if (one.isNumber()) {
            return Math.abs(one.doubleValue() - other.doubleValue());
        }
        assertTrue(!one.isEmpty() && one.size() == other.size(), "answers of other shapes");
        double largest = 0;
        for (int i = 0; i < one.size(); i++) {
            largest = Math.max(largest, largest(one.get(i), other.get(i)));
        }
        return largest;
    }
}
