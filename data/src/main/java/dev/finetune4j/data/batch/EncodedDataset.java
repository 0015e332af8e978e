package dev.finetune4j.data.batch;

import dev.finetune4j.data.DataReport;
import java.util.List;

/**
 * A data set ready for {@link BatchLoader}.
 *
 * @param examples in the order of the data set
 * @param report what became of it
 */
public record EncodedDataset(List<EncodedExample> examples, DataReport report) {
    public EncodedDataset {
        examples = List.copyOf(examples);
    }
}
