package dev.finetune4j.data;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.data.batch.EncodedExample;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.function.Executable;

/** Where the test data lies, and what the tests of this package have in common. */
public final class Fixtures {
    private Fixtures() {}

    /** Runs what must fail, and checks that the message has all the parts. */
    public static DatasetException fails(Executable call, String... parts) {
        DatasetException failure = assertThrows(DatasetException.class, call);
        for (String part : parts) {
            String message = failure.getMessage();
            assertTrue(message.contains(part), () -> "expected \"" + part + "\" in: " + message);
        }
        return failure;
    }

    public static List<String> contents(Example example) {
        return example.texts();
    }

    public static List<String> roles(Example example) {
        return ((SftExample) example)
                .conversation().messages().stream()
                        .map(message -> message.role().name())
                        .toList();
    }

    /** Examples "q0", "a0" and so on. */
    public static Dataset numbered(int count) {
        return Dataset.of(IntStream.range(0, count).mapToObj(i -> SftExample.of("q" + i, "a" + i)));
    }

    /** Examples of different lengths that tell their number by their first id. */
    public static List<EncodedExample> encoded(int count) {
        return IntStream.range(0, count)
                .mapToObj(i -> {
                    int[] ids = new int[1 + i % 5];
                    int[] labels = new int[ids.length];
                    ids[0] = 1000 + i;
                    labels[0] = i;
                    return new EncodedExample(ids, labels);
                })
                .toList();
    }
}
