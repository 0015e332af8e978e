package dev.finetune4j.core.model;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.nn.RopeScaling;
import dev.finetune4j.core.nn.RopeSpec;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Reads rotary frequencies from config.json, from transformers 5's {@code rope_parameters} or transformers 4's
 * {@code rope_theta} and {@code rope_scaling}. What would change the numbers and is not known is refused.
 */
final class RopeReader {
    private static final Set<String> COMMON = Set.of("rope_type", "type", "rope_theta", "partial_rotary_factor");

    /** What Phi-3 takes when the file says nothing beside the rope parameters. */
    private static final int PHI3_POSITIONS = 4096;

    private final ConfigReader reader;
    private final int headDim;
    private final int positions;
    private final double partDefault;
    private final boolean interleaved;
    private final boolean phi3Rope;

    /** @param draft with what the family has said of its rotary embedding */
    RopeReader(ConfigDraft draft) {
        this.reader = draft.reader;
        this.headDim = draft.headDim;
        this.positions = draft.positions();
        this.partDefault = draft.partialRope;
        this.interleaved = draft.interleavedRope;
        this.phi3Rope = draft.phi3Rope;
    }

    /** The rotary embedding of a model with one for all layers. */
    RopeSpec read(double thetaDefault) {
        JsonNode theta = reader.node("rope_theta");
        JsonNode scaling = reader.object("rope_scaling");
        JsonNode parameters = reader.object("rope_parameters");
        JsonNode chosen = scaling.isObject() && !scaling.isEmpty() ? scaling : parameters;
        return spec(
                chosen,
                number(theta, "rope_theta", thetaDefault),
                reader.number("partial_rotary_factor", partDefault > 0 ? partDefault : 1));
    }

    /** One of several rotary embeddings, by the kind of layer that transformers 5 lists it under. */
    RopeSpec read(String layerType, String oldThetaKey, double thetaDefault, boolean oldScaling) {
        JsonNode theta = reader.node(oldThetaKey);
        JsonNode scaling = reader.object("rope_scaling");
        JsonNode nested = reader.object("rope_parameters").path(layerType);
        if (!nested.isObject() && !nested.isMissingNode() && !nested.isNull()) {
            reader.problem(
                    "\"rope_parameters." + layerType + "\" must be an object, but is " + ConfigReader.describe(nested));
        }
        JsonNode chosen = oldScaling && scaling.isObject() ? scaling : nested;
        return spec(chosen, number(theta, oldThetaKey, thetaDefault), 1);
    }

    private RopeSpec spec(JsonNode node, double thetaOutside, double partOutside) {
        double theta = number(node.path("rope_theta"), "rope_theta", thetaOutside);
        if (!(theta > 0)) {
            reader.problem("\"rope_theta\" must be above 0, but is " + theta);
        }
        double part = number(node.path("partial_rotary_factor"), "partial_rotary_factor", partOutside);
        if (part != 1 && partDefault == 0) {
            reader.problem("\"partial_rotary_factor\" is " + part + ", but models of this type turn all channels");
            part = 1;
        }
        int channels = (int) (headDim * part);
        if (channels < 2 || channels > headDim || channels % 2 != 0) {
            reader.problem("\"partial_rotary_factor\" (" + part + ") must leave an even number of the " + headDim
                    + " channels of a head, at least 2");
            channels = 2;
        }
        return new RopeSpec(theta, channels, interleaved, scaling(node, theta, channels));
    }

    private RopeScaling scaling(JsonNode node, double theta, int channels) {
        String kind = node.path("rope_type").asText(node.path("type").asText("default"));
        return switch (kind) {
            case "default" -> {
                known(node, kind, "factor", "original_max_position_embeddings");
                yield new RopeScaling.None();
            }
            case "linear" -> {
                known(node, kind, "factor");
                yield new RopeScaling.Linear(positive(node, "factor", Double.NaN));
            }
            case "dynamic" -> {
                known(node, kind, "factor", "original_max_position_embeddings");
                if (channels <= 2) {
                    reader.problem("the rope type \"dynamic\" needs heads with more than 2 turned channels");
                }
                yield new RopeScaling.Dynamic(positive(node, "factor", Double.NaN), positions);
            }
            case "yarn" -> phi3Rope ? longRope(node, channels) : yarn(node, theta);
            case "llama3" -> llama3(node);
            case "longrope", "su" -> longRope(node, channels);
            default -> {
                reader.problem("the rope type \"" + kind + "\" is not supported (supported: \"default\", \"linear\","
                        + " \"dynamic\", \"yarn\", \"llama3\", \"longrope\")"
                        + (kind.equals("mrope")
                                ? "; for text alone its sections change nothing: write \"default\" in its place"
                                : ""));
                yield new RopeScaling.None();
            }
        };
    }

    private RopeScaling llama3(JsonNode node) {
        known(node, "llama3", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings");
        double low = positive(node, "low_freq_factor", Double.NaN);
        double high = positive(node, "high_freq_factor", Double.NaN);
        if (high <= low) {
            reader.problem("\"high_freq_factor\" (" + high + ") must be above \"low_freq_factor\" (" + low + ")");
        }
        return new RopeScaling.Llama3(positive(node, "factor", Double.NaN), low, high, original(node));
    }

    private RopeScaling yarn(JsonNode node, double theta) {
        known(
                node,
                "yarn",
                "factor",
                "original_max_position_embeddings",
                "attention_factor",
                "beta_fast",
                "beta_slow",
                "mscale",
                "mscale_all_dim",
                "truncate");
        if (theta == 1) {
            reader.problem("the rope type \"yarn\" cannot be computed with a \"rope_theta\" of 1");
        }
        int original = original(node);
        double factor = positive(node, "factor", (double) positions / original);
        double mscale = number(node.path("mscale"), "mscale", 0);
        double mscaleAll = number(node.path("mscale_all_dim"), "mscale_all_dim", 0);
        double usual = mscale != 0 && mscaleAll != 0
                ? magnitude(factor, mscale) / magnitude(factor, mscaleAll)
                : magnitude(factor, 1);
        return new RopeScaling.Yarn(
                factor,
                original,
                orDefault(number(node.path("beta_fast"), "beta_fast", 0), 32),
                orDefault(number(node.path("beta_slow"), "beta_slow", 0), 1),
                number(node.path("attention_factor"), "attention_factor", usual),
                node.path("truncate").asBoolean(true));
    }

    /** The growth of the scores with the context that the paper recommends. */
    private static double magnitude(double factor, double strength) {
        return factor <= 1 ? 1 : 0.1 * strength * Math.log(factor) + 1;
    }

    private static double orDefault(double value, double whenZero) {
        return value == 0 ? whenZero : value;
    }

    private RopeScaling longRope(JsonNode node, int channels) {
        known(
                node,
                "longrope",
                "factor",
                "short_factor",
                "long_factor",
                "attention_factor",
                "original_max_position_embeddings");
        int original = original(node);
        double factor = positive(node, "factor", (double) positions / original);
        double usual = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
        return new RopeScaling.LongRope(
                factors(node, "short_factor", channels / 2),
                factors(node, "long_factor", channels / 2),
                original,
                number(node.path("attention_factor"), "attention_factor", usual));
    }

    private List<Double> factors(JsonNode node, String key, int count) {
        List<Double> factors = new ArrayList<>();
        node.path(key).forEach(value -> factors.add(value.asDouble()));
        if (factors.size() != count || factors.stream().anyMatch(factor -> !(factor > 0))) {
            reader.problem("\"" + key + "\" must be a list of " + count + " numbers above 0, but is " + node.path(key));
        }
        return factors;
    }

    /** Positions of the first training; the value outside the rope parameters counts more, as in transformers. */
    private int original(JsonNode node) {
        JsonNode value = node.path("original_max_position_embeddings");
        int inside = positions;
        if (ConfigReader.isWhole(value) && value.intValue() >= 1) {
            inside = value.intValue();
        } else if (!value.isMissingNode() && !value.isNull()) {
            reader.problem(
                    "\"original_max_position_embeddings\" in the rope parameters must be a whole number of at least"
                            + " 1, but is " + ConfigReader.describe(value));
        }
        return reader.size("original_max_position_embeddings", phi3Rope ? PHI3_POSITIONS : inside);
    }

    /** Other parameters have no part in a kind; those of single layer types must not be taken for none at all. */
    private void known(JsonNode node, String kind, String... keys) {
        for (Map.Entry<String, JsonNode> parameter : node.properties()) {
            String key = parameter.getKey();
            if (COMMON.contains(key) || List.of(keys).contains(key) || HarmlessKeys.isOff(parameter.getValue())) {
                continue;
            }
            if (parameter.getValue().isObject()) {
                reader.problem(
                        "the rope parameters hold an object \"" + key + "\" of their own, but all layers of models"
                                + " of this type share one rotary embedding; write its values one level higher");
            } else {
                reader.passOver("rope parameter " + key + " of the rope type " + kind);
            }
        }
    }

    private double positive(JsonNode node, String key, double whenAbsent) {
        double value = number(node.path(key), key, whenAbsent);
        if (!(value > 0)) {
            reader.problem("\"" + key + "\" in the rope parameters must be a number above 0, but is "
                    + ConfigReader.describe(node.path(key)));
            return 1;
        }
        return value;
    }

    private double number(JsonNode value, String key, double whenAbsent) {
        if (value.isMissingNode() || value.isNull()) {
            return whenAbsent;
        }
        if (!value.isNumber()) {
            reader.problem("\"" + key + "\" must be a number, but is " + value);
            return Double.isNaN(whenAbsent) ? 1 : whenAbsent;
        }
        return value.doubleValue();
    }
}
