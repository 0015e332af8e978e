package dev.finetune4j.data.batch;

import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.DatasetProblems;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.TextExample;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Turns conversations and texts into ids and labels for supervised fine-tuning: the loss counts the assistant's answers and the
 * tokens that end them, unless {@link TrainOn} says otherwise, and all of a text. It uses all cores; the result does not
 * depend on how many there are.
 *
 * <p>Thread-safe. It borrows the chat encoder.
 */
public final class SftEncoder {
    private static final Logger LOG = LoggerFactory.getLogger(SftEncoder.class);

    private final ExampleEncoder encoder;
    private final ReportBuilder.Vocabulary vocabulary;
    private final int maxLength;
    /** Whether rows that are not in memory are encoded into a file. */
    private final boolean beforehand;

    private final @Nullable EncodingCache cache;

    /**
     * An encoder.
     *
     * @param encoder the one that chats with the model afterwards, so that training and use see the same ids
     */
    public SftEncoder(ChatEncoder encoder, Encoding encoding) {
        this(
                ExampleEncoder.of(encoder, encoding),
                vocabulary(encoder),
                encoding,
                EncodingCache.of(encoder, encoding, "answers"));
    }

    /**
     * An encoder that trains on answers.
     *
     * @param maxLength tokens that an example may have, at least 2
     * @throws IllegalArgumentException if {@code maxLength} is less than 2
     */
    public SftEncoder(ChatEncoder encoder, int maxLength, Truncation truncation) {
        this(encoder, new Encoding(maxLength, truncation, TrainOn.ANSWERS));
    }

    /** As above, with {@link Truncation#FAIL}. */
    public SftEncoder(ChatEncoder encoder, int maxLength) {
        this(encoder, maxLength, Truncation.FAIL);
    }

    SftEncoder(Function<Conversation, EncodedChat> chat, Set<Integer> stopIds, Encoding encoding) {
        this(
                new ExampleEncoder(chat, text -> text.chars().toArray(), encoding),
                new LetterVocabulary(stopIds),
                encoding,
                encoding.cache() == null ? null : new EncodingCache(encoding.cache(), "letters " + encoding));
    }

    private SftEncoder(
            ExampleEncoder encoder,
            ReportBuilder.Vocabulary vocabulary,
            Encoding encoding,
            @Nullable EncodingCache cache) {
        this.cache = cache;
        this.encoder = encoder;
        this.vocabulary = vocabulary;
        this.maxLength = encoding.maxLength();
        this.beforehand = encoding.beforehand() || cache != null;
    }

    /**
     * Encodes all examples; those of a data set that is not held in memory when a loader needs them, and the first ones at once,
     * for the report. {@linkplain Encoding#beforehand Beforehand} or with a cache they are encoded into a file.
     *
     * @throws DatasetException if there is no example, a placeholder has no value, an example is too long for the
     *     policy or has nothing to learn, the chat template cannot write it, or all were skipped. All bad rows are
     *     reported together
     */
    public EncodedDataset encode(Dataset dataset) {
        dataset.requireReady();
        dataset.warnings().forEach(LOG::warn);
        if (dataset.isLazy() && beforehand) {
            return intoFile(dataset);
        }
        DatasetProblems problems = new DatasetProblems();
        ReportBuilder report = new ReportBuilder(vocabulary, maxLength);
        Example[] firstSkipped = {null};
        forEachRow(dataset, (example, row) -> {
            DatasetProblem problem = row.problem();
            if (problem != null) {
                add(problems, problem, row.cause());
                return;
            }
            if (row.tooLong() > 0 && firstSkipped[0] == null) {
                firstSkipped[0] = example;
            }
            report.add(example, row);
        });
        problems.throwIfAny();
        if (firstSkipped[0] != null) {
            requireAnyLeft(firstSkipped[0], dataset, report);
        }
        DataReport built = report.build(dataset.sample().size());
        built.warnings().forEach(LOG::warn);
        if (!dataset.isLazy()) {
            return EncodedDataset.of(report.kept(), built);
        }
        ReportBuilder counts = new ReportBuilder(vocabulary, maxLength);
        LazyUnits rows = new LazyUnits(dataset.examples(), encoder, counts);
        return EncodedDataset.lazily(rows, report::build, counts, maxLength);
    }

    private EncodedDataset intoFile(Dataset dataset) {
        StoredUnits rows = new FileEncoder(encoder, cache).encode(dataset.examples());
        List<Example> first = dataset.sample();
        boolean texts = first.get(0) instanceof TextExample;
        ReportBuilder looked = new ReportBuilder(vocabulary, maxLength);
        ReportBuilder all = new ReportBuilder(vocabulary, maxLength);
        for (int i = 0; i < rows.size(); i++) {
            EncodedRow row = rows.row(i);
            all.count(row, texts);
            if (i < first.size()) {
                looked.add(first.get(i), row);
            }
        }
        DataReport built = all.completing(looked.build(rows.size()));
        if (rows.examples() == 0) {
            throw noneLeft(first.get(0), built);
        }
        built.warnings().forEach(LOG::warn);
        return EncodedDataset.stored(rows, built);
    }

    /** The rows from the cache, or encoded and put there unless something is wrong with one. */
    private void forEachRow(Dataset dataset, BiConsumer<Example, EncodedRow> sink) {
        List<Example> examples = dataset.sample();
        EncodingCache.rows(
                dataset.isLazy() ? null : cache,
                examples,
                each -> OrderedMap.of(examples, encoder::encode, each),
                sink);
    }

    static void add(DatasetProblems problems, DatasetProblem problem, @Nullable Throwable cause) {
        if (cause == null) {
            problems.add(problem);
        } else {
            problems.add(problem, cause);
        }
    }

    private void requireAnyLeft(Example first, Dataset dataset, ReportBuilder report) {
        if (report.kept().isEmpty()) {
            throw noneLeft(first, report.build(dataset.size()));
        }
        LOG.info(
                "the first of the rows that are left out is row {} of {}, longer than {} tokens",
                first.where().row(),
                first.where().source(),
                maxLength);
    }

    private DatasetException noneLeft(Example first, DataReport report) {
        return new DatasetException(DatasetProblem.ofRow(
                first.where(),
                null,
                "this row and all others of the data set (" + report.rows()
                        + " in all) have more tokens than the limit of " + maxLength
                        + ", so skipping them leaves nothing; raise maxSequenceLength"));
    }

    static ReportBuilder.Vocabulary vocabulary(ChatEncoder encoder) {
        Tokenizer tokenizer = encoder.tokenizer();
        OptionalInt unknown = tokenizer.unkToken().stream()
                .flatMapToInt(token -> tokenizer.idOf(token).stream())
                .findFirst();
        return new ReportBuilder.Vocabulary() {
            @Override
            public Set<Integer> stopIds() {
                return encoder.stopIds();
            }

            @Override
            public String decode(int[] ids) {
                return tokenizer.decode(ids);
            }

            @Override
            public boolean spellsSpecial(String text) {
                return encoder.spellsControlToken(text);
            }

            @Override
            public boolean isUnknown(int id) {
                return unknown.isPresent()
                        && unknown.getAsInt() == id
                        && !encoder.stopIds().contains(id);
            }
        };
    }

    /** Where ids are characters. */
    private record LetterVocabulary(Set<Integer> stopIds) implements ReportBuilder.Vocabulary {
        @Override
        public String decode(int[] ids) {
            return new String(ids, 0, ids.length);
        }

        @Override
        public boolean spellsSpecial(String text) {
            return false;
        }

        @Override
        public boolean isUnknown(int id) {
            return false;
        }
    }
}
