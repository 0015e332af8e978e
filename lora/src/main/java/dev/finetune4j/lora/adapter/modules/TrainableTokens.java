package dev.finetune4j.lora.adapter.modules;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.layer.AdapterLayer;
import dev.finetune4j.lora.adapter.layer.AdapterLayerSpec;
import dev.finetune4j.lora.adapter.layer.BaseModules;
import dev.finetune4j.lora.adapter.layer.InitContext;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Rows of a table of token vectors that are trained in the place of the base's; PEFT's {@code trainable_token_indices}. The
 * file calls them a delta, but holds the rows themselves. When the head shares the embedding's weight, it uses the rows too.
 */
public final class TrainableTokens {
    private static final String ROWS = "token_adapter.trainable_tokens_delta";

    private TrainableTokens() {}

    /**
     * The tables that the names mean.
     *
     * @throws SettingsException when a name means no embedding and no head
     */
    public static List<String> resolve(ModuleNames modules, Collection<String> names) {
        List<String> problems = new ArrayList<>();
        List<String> tables = new ArrayList<>();
        for (String name : names) {
            List<String> meant =
                    tables(modules).stream().filter(path -> path.endsWith(name)).toList();
            meant.stream()
                    .filter(tables::contains)
                    .forEach(path -> problems.add("two names mean the table " + path + " of trained tokens: "
                            + String.join(", ", names) + "; give it once, with all its tokens"));
            tables.addAll(meant);
            if (meant.isEmpty()) {
                problems.add("no table of token vectors is called \"" + name + "\"; the model has "
                        + String.join(", ", tables(modules)));
            }
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
        return tables;
    }

    private static List<String> tables(ModuleNames modules) {
        List<String> tables = new ArrayList<>(modules.embeddings());
        modules.linears().stream().filter(ModuleNames::isOutputHead).forEach(tables::add);
        return tables;
    }

    public static List<AdapterLayerSpec> specs(BaseModules base, Map<String, List<Integer>> tokens) {
        resolve(base.names(), tokens.keySet());
        List<AdapterLayerSpec> specs = new ArrayList<>();
        boolean shared = base.tiedHead() && sameEverywhere(tokens);
        boolean first = true;
        for (Map.Entry<String, List<Integer>> entry : tokens.entrySet()) {
            for (String path : resolve(base.names(), List.of(entry.getKey()))) {
                if (shared && !first) {
                    continue; // the first table's rows serve the other
                }
                List<String> modules = shared ? tables(base.names()) : List.of(path);
                specs.add(spec(base, modules, entry.getValue()));
                first = false;
            }
        }
        return specs;
    }

    private static boolean sameEverywhere(Map<String, List<Integer>> tokens) {
        return tokens.values().stream().distinct().count() == 1
                && tokens.keySet().stream().anyMatch("model.embed_tokens"::endsWith);
    }

    private static AdapterLayerSpec spec(BaseModules base, List<String> modules, List<Integer> ids) {
        String path = modules.get(0);
        Embedding embedding = base.embeddings().get(path);
        Linear head = base.linears().get(path);
        long vocabulary = embedding != null
                ? embedding.vocabulary()
                : Objects.requireNonNull(head).outFeatures();
        long width = embedding != null
                ? embedding.width()
                : Objects.requireNonNull(head).inFeatures();
        ids.stream().filter(id -> id >= vocabulary).findFirst().ifPresent(id -> {
            throw new SettingsException(List.of("the trained token " + id + " does not exist: " + path + " has "
                    + vocabulary + " rows; give token ids below that"));
        });
        return new Spec(modules, ids, width, embedding, head);
    }

    private record Spec(
            List<String> modules,
            List<Integer> ids,
            long width,
            @Nullable Embedding embedding,
            @Nullable Linear head) implements AdapterLayerSpec {
        @Override
        public Map<String, long[]> shapes() {
            return Map.of(ROWS, new long[] {ids.size(), width});
        }

        @Override
        public AdapterLayer init(InitContext context) {
            Tensor index = index(context.device());
            Tensor table = embedding != null
                    ? embedding.denseWeight()
                    : Objects.requireNonNull(head).denseWeight();
            return new Layer(index, table.index_select(0, index));
        }

        @Override
        public AdapterLayer of(Map<String, Tensor> tensors) {
            Tensor rows = Objects.requireNonNull(tensors.get(ROWS));
            return new Layer(index(Tensors.deviceOf(rows)), rows);
        }

        private Tensor index(ComputeDevice device) {
            long[] values = ids.stream().mapToLong(Integer::longValue).toArray();
            return Tensors.ofLongs(device, values, values.length);
        }
    }

    /**
     * The trained rows.
     *
     * @param index their token ids, int64, shape (n)
     * @param rows shape (n, D), float32
     */
    record Layer(Tensor index, Tensor rows) implements AdapterLayer {
        @Override
        public Map<String, Tensor> trained() {
            return Map.of(ROWS, rows);
        }

        @Override
        public List<Tensor> owned() {
            return List.of(index, rows);
        }

        @Override
        public Linear wrap(Linear base) {
            return new TrainableTokensHead(base, this);
        }

        @Override
        public Embedding wrap(Embedding base) {
            return new TrainableTokensEmbedding(base, this);
        }
    }
}
