package dev.finetune4j.lora.export;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.ConfigTie;
import dev.finetune4j.core.io.FolderTransaction;
import dev.finetune4j.core.io.LazyTensor;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.io.SmallFiles;
import dev.finetune4j.core.io.TensorInfo;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.lora.adapter.kind.StoredAdapter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A model with further tokens at the end of its vocabulary, and how it is written.
 *
 * @param source the model without them
 * @param tokenizer its own, borrowed
 * @param tokens the new ones
 */
public record ExtendedVocabulary(PretrainedFolder source, Tokenizer tokenizer, List<String> tokens) {
    /** To what the number of rows is filled up, so that matrix products stay fast. */
    private static final int MULTIPLE = 64;

    private static final long SHARD_BYTES = 5_000_000_000L;
    private static final String CONFIG = "config.json";
    private static final String TOKENIZER = "tokenizer.json";
    private static final String WEIGHT = ".weight";
    private static final ObjectMapper JSON = new ObjectMapper();

    /** @throws SettingsException if the weights are in 4 bits */
    public ExtendedVocabulary {
        tokens = List.copyOf(tokens);
        if (source.files().isFourBit()) {
            throw new SettingsException(
                    List.of(source.path() + " holds weights in 4 bits, which cannot be copied with new"
                            + " rows; extend the model that they were made of, and quantize it when it is loaded"));
        }
    }

    /** The ids of the new tokens. */
    public List<Integer> tokenIds() {
        int first = tokenizer.vocabularySize();
        return IntStream.range(first, first + tokens.size()).boxed().toList();
    }

    /** The tables in which tokens have rows, by the ends of their paths. */
    public List<String> tables() {
        List<String> tables = new ArrayList<>(List.of("embed_tokens"));
        if (!source.config().projections().tiedHead()) {
            tables.add(ModuleNames.OUTPUT_HEAD);
        }
        return tables;
    }

    /** Rows of the tables: those of the model if they suffice. */
    private int rows() {
        int needed = tokenizer.vocabularySize() + tokens.size();
        int there = source.config().vocabSize();
        return needed <= there ? there : (needed + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
    }

    /**
     * Writes it, as a whole or not at all.
     *
     * @param folder made if absent
     * @throws SettingsException naming all tokens that cannot be added, or when the folder is that of the model or an adapter's
     * @throws FineTune4jException when a file cannot be read or written
     */
    public void write(Path folder) {
        byte[] definition = tokenizer.definitionWith(tokens);
        try (WeightSource weights = source.files().weights()) {
            if (Files.exists(folder) && Files.isSameFile(source.path(), folder)) {
                throw new SettingsException(
                        List.of(folder + " is the folder of the model without the new tokens; choose another one"));
            }
            if (Files.exists(folder.resolve(StoredAdapter.CONFIG))) {
                throw new SettingsException(
                        List.of(folder + " holds an adapter, whose place the model would take; choose another folder"));
            }
            try (FolderTransaction transaction = FolderTransaction.begin(folder, FolderTransaction.Kind.MODEL)) {
                HuggingFaceWriter.requireOurs(folder, source.path());
                for (String name : SmallFiles.of(source.path())) {
                    if (!Set.of(CONFIG, TOKENIZER).contains(name)) {
                        transaction.copy(source.path().resolve(name), name);
                    }
                }
                transaction.write(TOKENIZER, definition);
                ObjectNode config = (ObjectNode) source.files().config();
                config.put("vocab_size", rows());
                transaction.write(CONFIG, JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(config));
                ObjectNode record = JSON.createObjectNode();
                transaction.hashes().forEach(record.putObject("files")::put);
                transaction.write(
                        FolderTransaction.RECORD,
                        JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(record));
                SafetensorsWriter.writeSharded(
                        transaction,
                        tensors(weights),
                        ConfigTie.ofModel(config),
                        source.files().weightFiles(),
                        SHARD_BYTES);
                transaction.commit();
            }
        } catch (IOException e) {
            throw new FineTune4jException(
                    folder + ": the model with new tokens could not be written (" + e + "); what was there before is"
                            + " unchanged. Check space and rights, or choose another folder",
                    e);
        }
    }

    private Map<String, LazyTensor> tensors(WeightSource weights) {
        Map<String, LazyTensor> tensors = new LinkedHashMap<>();
        for (String name : weights.names()) {
            TensorInfo info = weights.info(name);
            long[] shape = info.shape().clone();
            boolean isTable =
                    name.equals(ModuleNames.EMBEDDING + WEIGHT) || name.equals(ModuleNames.OUTPUT_HEAD + WEIGHT);
            if (isTable) {
                shape[0] = rows();
            }
            tensors.put(
                    name,
                    LazyTensor.of(
                            type(name, info),
                            shape,
                            () -> isTable ? extended(weights.read(name)) : weights.read(name)));
        }
        return tensors;
    }

    private static ScalarType type(String name, TensorInfo info) {
        return info.dtype()
                .scalarType()
                .orElseThrow(() -> new FineTune4jException("the tensor " + name + " is of the type " + info.dtype()
                        + ", which cannot be copied; take a model in bfloat16, float16 or float32"));
    }

    /** A table with the mean of all tokens' rows in those of the new ones and behind them. */
    private Tensor extended(Tensor table) {
        long known = Math.min(tokenizer.vocabularySize(), table.size(0));
        Tensor used = table.narrow(0, 0, known);
        Tensor mean = used.to(ScalarType.Float).mean(new long[] {0}, true, null).to(Tensors.typeOf(table));
        return torch.cat(new TensorVector(used, mean.expand(rows() - known, table.size(1))), 0);
    }
}
