package dev.finetune4j.core.io;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.pytorch.Tensor;

/**
 * Weights of experts under their published names, one tensor for each projection of each expert, where the files hold those of all
 * experts of a layer as one: transformers 5 has them so in memory, {@code experts.gate_up_proj} of shape (E, 2F, H) and {@code
 * experts.down_proj} of shape (E, H, F), and writes them so when {@code save_original_format} is off or when it has read them so. It
 * calls the sparse part of Mixtral {@code mlp} then. What a file has under the published names is found there, too.
 */
final class StackedExperts implements WeightSource {
    private static final Pattern STACK =
            Pattern.compile("(model\\.layers\\.\\d+\\.)(?:mlp|block_sparse_moe)\\.experts\\.(gate_up_proj|down_proj)");

    private static final Pattern SPARSE_PART = Pattern.compile("(model\\.layers\\.\\d+\\.)mlp\\.(.+)");

    /** The published names of a family: the sparse part of a layer, then gate, up and down of an expert. */
    private record Published(String part, List<String> gateAndUp, List<String> down) {}

    private static final Published QWEN = new Published("mlp", List.of("gate_proj", "up_proj"), List.of("down_proj"));
    private static final Map<String, Published> BY_TYPE = Map.of(
            "qwen2_moe", QWEN,
            "qwen3_moe", QWEN,
            "mixtral", new Published("block_sparse_moe", List.of("w1", "w3"), List.of("w2")));

    /**
     * Where a tensor is.
     *
     * @param name in the file
     * @param matrix its number among the matrices in the rows of a stack; -1 for a tensor of its own
     * @param rows of each of these matrices
     */
    private record Place(String name, long matrix, long rows) {
        Place(String name) {
            this(name, -1, 0);
        }
    }

    private final WeightSource weights;
    private final Map<String, Place> places;

    private StackedExperts(WeightSource weights, Map<String, Place> places) {
        this.weights = weights;
        this.places = places;
    }

    /**
     * Weights under the published names: the same where they have these or are of a model without experts.
     *
     * @param weights closed with what is returned
     * @param config config.json
     */
    static WeightSource published(WeightSource weights, JsonNode config) {
        Map<String, Place> places = places(weights, config);
        return places.entrySet().stream()
                        .allMatch(
                                entry -> entry.getKey().equals(entry.getValue().name()))
                ? weights
                : new StackedExperts(weights, places);
    }

    /** The names in the file by the published ones. */
    static Map<String, String> inFile(WeightSource weights, JsonNode config) {
        Map<String, String> names = new LinkedHashMap<>();
        places(weights, config).forEach((name, place) -> names.put(name, place.name()));
        return names;
    }

    private static Map<String, Place> places(WeightSource weights, JsonNode config) {
        Published published = BY_TYPE.get(config.path("model_type").asText());
        Map<String, Place> places = new LinkedHashMap<>();
        for (String name : weights.names()) {
            Matcher stack = STACK.matcher(name);
            if (published != null && stack.matches() && weights.info(name).shape().length == 3) {
                String start = stack.group(1) + published.part() + ".experts.";
                List<String> parts = stack.group(2).equals("down_proj") ? published.down() : published.gateAndUp();
                long[] shape = weights.info(name).shape();
                for (int i = 0; i < shape[0] * parts.size(); i++) {
                    places.put(
                            start + i / parts.size() + "." + parts.get(i % parts.size()) + ".weight",
                            new Place(name, i, shape[1] / parts.size()));
                }
            } else {
                places.put(published == null ? name : renamed(name, published.part()), new Place(name));
            }
        }
        return Collections.unmodifiableMap(places);
    }

    private static String renamed(String name, String part) {
        Matcher sparse = SPARSE_PART.matcher(name);
        return sparse.matches() ? sparse.group(1) + part + "." + sparse.group(2) : name;
    }

    private Place place(String name) {
        Place place = places.get(name);
        return place == null ? new Place(name) : place; // the files say that it is missing
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
        if (place.matrix() < 0) {
            return stored;
        }
        long width = stored.shape()[2];
        long bytes = stored.dtype().bytes(new long[] {place.rows(), width});
        return new TensorInfo(name, stored.dtype(), new long[] {place.rows(), width}, 0, bytes);
    }

    @Override
    public Tensor read(String name) {
        Place place = place(name);
        return place.matrix() < 0
                ? weights.read(place.name())
                : weights.readRows(place.name(), place.matrix() * place.rows(), place.rows());
    }

    @Override
    public Tensor readRows(String name, long first, long count) {
        Place place = place(name);
        return weights.readRows(place.name(), Math.max(0, place.matrix()) * place.rows() + first, count);
    }

    @Override
    public void close() {
        weights.close();
    }
}
