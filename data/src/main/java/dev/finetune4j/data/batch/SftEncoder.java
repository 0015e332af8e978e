package dev.finetune4j.data.batch;

import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.DatasetProblems;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeSet;
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
    private final @Nullable EncodingCache cache;

    /**
     * An encoder.
     *
     * @param encoder the one that chats with the model afterwards, so that training and use see the same ids
     */
    public SftEncoder(ChatEncoder encoder, Encoding encoding) {
        this(ExampleEncoder.of(encoder, encoding), vocabulary(encoder), encoding.maxLength(), cache(encoder, encoding));
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
                encoding.maxLength(),
                encoding.cache() == null ? null : new EncodingCache(encoding.cache(), "letters " + encoding));
    }

    private SftEncoder(
            ExampleEncoder encoder, ReportBuilder.Vocabulary vocabulary, int maxLength, @Nullable EncodingCache cache) {
        this.cache = cache;
        this.encoder = encoder;
        this.vocabulary = vocabulary;
        this.maxLength = maxLength;
    }

    /**
     * Encodes all examples; those of a data set that is not held in memory when a loader needs them, and the first ones at once,
     * for the report.
     *
     * @throws DatasetException if there is no example, a placeholder has no value, an example is too long for the
     *     policy or has nothing to learn, the chat template cannot write it, or all were skipped. All bad rows are
     *     reported together
     */
    public EncodedDataset encode(Dataset dataset) {
        dataset.requireReady();
        dataset.warnings().forEach(LOG::warn);
        DatasetProblems problems = new DatasetProblems();
        ReportBuilder report = new ReportBuilder(vocabulary, maxLength, dataset.size());
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
            requireAnyLeft(firstSkipped[0], report);
        }
        DataReport built = report.build();
        built.warnings().forEach(LOG::warn);
        if (!dataset.isLazy()) {
            return EncodedDataset.of(report.kept(), built);
        }
        ReportBuilder counts = new ReportBuilder(vocabulary, maxLength, dataset.size());
        return EncodedDataset.lazily(new LazyUnits(dataset.examples(), encoder, counts), built, counts, maxLength);
    }

    /** The rows from the cache, or encoded and put there unless something is wrong with one. */
    private void forEachRow(Dataset dataset, BiConsumer<Example, EncodedRow> sink) {
        EncodingCache kept = dataset.isLazy() ? null : cache;
        List<Example> examples = dataset.sample();
        if (kept == null) {
            OrderedMap.of(examples, encoder::encode, sink);
            return;
        }
        Path file = kept.file(examples);
        Optional<List<EncodedRow>> known = kept.read(file, examples.size());
        if (known.isPresent()) {
            LOG.info("{} encoded rows are taken from {}", examples.size(), file);
            for (int i = 0; i < examples.size(); i++) {
                sink.accept(examples.get(i), known.get().get(i));
            }
            return;
        }
        List<EncodedRow> rows = new ArrayList<>(examples.size());
        OrderedMap.of(examples, encoder::encode, (example, row) -> {
            rows.add(row);
            sink.accept(example, row);
        });
        if (rows.stream().allMatch(row -> row.problem() == null)) {
            kept.write(file, rows);
        }
    }

    private static @Nullable EncodingCache cache(ChatEncoder encoder, Encoding encoding) {
        Path folder = encoding.cache();
        return folder == null
                ? null
                : new EncodingCache(
                        folder,
                        String.join(
                                "\n",
                                encoder.tokenizer().fingerprint(),
                                encoder.template().name(),
                                encoder.template().jinjaSource(),
                                new TreeSet<>(encoder.stopIds()).toString(),
                                encoder.tokenizer().eosToken().orElse(""),
                                probed(encoder),
                                encoding.maxLength() + " " + encoding.truncation() + " " + encoding.trainOn()));
    }

    /**
     * What the encoder makes of some conversations: so another default system text, another date in a template that writes it and
     * another way of this library to lay out or to mask make another encoder.
     */
    private static String probed(ChatEncoder encoder) {
        ChatMessage question = ChatMessage.user("Hello, 世界?");
        ChatMessage answer = ChatMessage.assistant("<think>1+1</think>\n\n It's 2. ");
        StringBuilder made = new StringBuilder();
        for (Conversation probe : List.of(
                Conversation.of(question, answer),
                Conversation.of(ChatMessage.system("Be kind."), question, answer, question, answer))) {
            try {
                EncodedChat chat = encoder.encode(probe, false);
                made.append(Arrays.toString(chat.ids())).append(Arrays.toString(chat.trained()));
            } catch (IllegalArgumentException e) {
                made.append(e.getMessage()); // a template may refuse a system text or several turns
            }
        }
        return made.toString();
    }

    private static void add(DatasetProblems problems, DatasetProblem problem, @Nullable Throwable cause) {
        if (cause == null) {
            problems.add(problem);
        } else {
            problems.add(problem, cause);
        }
    }

    private void requireAnyLeft(Example first, ReportBuilder report) {
        if (report.kept().isEmpty()) {
            throw new DatasetException(DatasetProblem.ofRow(
                    first.where(),
                    null,
                    "this row and all others of the data set (" + report.build().rows()
                            + " in all) have more tokens than the limit of " + maxLength
                            + ", so skipping them leaves nothing; raise maxSequenceLength"));
        }
        LOG.info(
                "the first of the rows that are left out is row {} of {}, longer than {} tokens",
                first.where().row(),
                first.where().source(),
                maxLength);
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
