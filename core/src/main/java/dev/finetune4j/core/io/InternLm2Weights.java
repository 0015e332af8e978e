package dev.finetune4j.core.io;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.pytorch.Tensor;

/**
 * InternLM2 as the Llama that it computes (<a href="https://arxiv.org/abs/2403.17297">Cai et al. 2024</a>). Its checkpoints have
 * other names, and one weight with the rows of a group's queries, its key and its value behind one another. Read like this such a
 * model needs no code of its own, and what is written of it is a Llama.
 */
final class InternLm2Weights implements WeightSource {
    private static final String TYPE = "internlm2";
    private static final String MODEL_TYPE = "model_type";
    private static final Pattern STACKED =
            Pattern.compile("(model\\.layers\\.\\d+\\.)attention\\.wqkv\\.(weight|bias)");

    private static final Map<String, String> PARTS = Map.of(
            "attention.wo", "self_attn.o_proj",
            "feed_forward.w1", "mlp.gate_proj",
            "feed_forward.w3", "mlp.up_proj",
            "feed_forward.w2", "mlp.down_proj",
            "attention_norm", "input_layernorm",
            "ffn_norm", "post_attention_layernorm");

    private static final Map<String, String> TABLES = Map.of(
            "model.tok_embeddings.weight", "model.embed_tokens.weight",
            "tok_embeddings.weight", "model.embed_tokens.weight",
            "output.weight", "lm_head.weight");

    /** A projection within the weight that all three share. */
    private enum Part {
        QUERIES("q_proj"),
        KEYS("k_proj"),
        VALUES("v_proj"),
        /** A tensor for itself. */
        WHOLE("");

        private final String name;

        Part(String name) {
            this.name = name;
        }
    }

    /** Where a tensor is in the file. */
    private record Place(String name, Part part) {}

    private final WeightSource weights;
    private final int groups;
    private final int queriesOfGroup;
    private final int size;
    private final Map<String, Place> places;

    /**
     * @param weights under the file's names; closed with this
     * @param config config.json
     */
    InternLm2Weights(WeightSource weights, JsonNode config) {
        this.weights = weights;
        int heads = config.path("num_attention_heads").intValue();
        this.groups = config.path("num_key_value_heads").asInt(heads);
        this.queriesOfGroup = heads / groups;
        this.size = config.path("hidden_size").intValue() / heads;
        Map<String, Place> found = new LinkedHashMap<>();
        for (String name : weights.names()) {
            Matcher stacked = STACKED.matcher(name);
            if (stacked.matches()) {
                for (Part part : new Part[] {Part.QUERIES, Part.KEYS, Part.VALUES}) {
                    found.put(
                            stacked.group(1) + "self_attn." + part.name + "." + stacked.group(2),
                            new Place(name, part));
                }
            } else {
                found.put(renamed(name), new Place(name, Part.WHOLE));
            }
        }
        this.places = Collections.unmodifiableMap(found);
    }

    /** Whether config.json describes such a model. */
    static boolean isIn(JsonNode config) {
        return config.path(MODEL_TYPE).asText().equals(TYPE);
    }

    /** Its config.json as that of a Llama. */
    static ObjectNode config(ObjectNode own) {
        ObjectNode llama = own.deepCopy();
        llama.put(MODEL_TYPE, "llama");
        llama.putArray("architectures").add("LlamaForCausalLM");
        llama.remove("auto_map");
        JsonNode bias = llama.remove("bias");
        llama.put("attention_bias", bias == null || bias.asBoolean());
        return llama;
    }

    private static String renamed(String name) {
        String table = TABLES.get(name);
        if (table != null) {
            return table;
        }
        return PARTS.entrySet().stream()
                .filter(part -> name.matches("model\\.layers\\.\\d+\\." + Pattern.quote(part.getKey()) + "\\..+"))
                .findFirst()
                .map(part -> name.replace("." + part.getKey() + ".", "." + part.getValue() + "."))
                .orElse(name);
    }

    private Place place(String name) {
        Place place = places.get(name);
        return place == null ? new Place(name, Part.WHOLE) : place; // the files say that it is missing
    }

    private int headsOf(Part part) {
        return part == Part.QUERIES ? queriesOfGroup : 1;
    }

    @Override
    public Set<String> names() {
        weights.names(); // tells when it is closed
        return places.keySet();
    }

    @Override
    public TensorInfo info(String name) {
        Place place = place(name);
        TensorInfo stored = weights.info(place.name());
        if (place.part() == Part.WHOLE) {
            return stored;
        }
        long[] shape = stored.shape();
        long rows = (long) groups * (queriesOfGroup + 2) * size;
        if (shape[0] != rows) {
            throw new ModelFileException(
                    place.name() + " has the shape " + Arrays.toString(shape) + ", but by config.json it has "
                            + rows
                            + " rows of queries, keys and values; use the config.json that belongs to these weights,"
                            + " and 16-bit weights if these hold 4-bit codes");
        }
        long bytes = stored.bytes() / rows;
        shape[0] = (long) groups * headsOf(place.part()) * size;
        return new TensorInfo(name, stored.dtype(), shape, 0, bytes * shape[0]);
    }

    @Override
    public Tensor read(String name) {
        Place place = place(name);
        if (place.part() == Part.WHOLE) {
            return weights.read(place.name());
        }
        long[] shape = info(name).shape();
        try (TensorScope scope = new TensorScope()) {
            Tensor grouped = weights.read(place.name()).view(groups, queriesOfGroup + 2L, size, -1);
            long first = place.part() == Part.QUERIES ? 0 : queriesOfGroup + (place.part() == Part.KEYS ? 0 : 1);
            return scope.keep(
                    grouped.narrow(1, first, headsOf(place.part())).clone().reshape(shape));
        }
    }

    @Override
    public void close() {
        weights.close();
    }
}
