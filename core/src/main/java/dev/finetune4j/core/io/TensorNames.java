package dev.finetune4j.core.io;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;

/**
 * The names of tensors as transformers and PEFT find them. A decoder that was saved without its head lacks the {@code model.}
 * in front, one that was wrapped once more has it twice. {@code torch.compile}, data parallel and activation checkpointing
 * each add a part to the path of the module that they wrap; {@link #withoutWrappers} takes those out of an adapter's names.
 */
public final class TensorNames {
    private static final Set<String> WRAPPERS =
            Set.of("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module");
    private static final String PARALLEL = "module.";
    private static final String MODEL = "model.";
    private static final List<String> WITHIN_MODEL = List.of("embed_tokens.", "layers.", "norm.", "rotary_emb.");
    private static final String HEAD = "lm_head.";
    private static final String HEAD_WEIGHT = "lm_head.weight";
    private static final String EMBEDDING_WEIGHT = "model.embed_tokens.weight";

    private TensorNames() {}

    /**
     * The names that Hugging Face's decoders with a head have, each with the name in the file; in the file's order. When two
     * of the file's names would become one, all stay as they are. A table of token vectors that is there under the name of the
     * head alone, which some programs keep of two names for one tensor, gets that of the embedding.
     */
    static Map<String, String> ofModel(Set<String> names) {
        Map<String, String> renamed = renamed(names, TensorNames::ofModel);
        if (renamed.containsKey(EMBEDDING_WEIGHT) || !renamed.containsKey(HEAD_WEIGHT)) {
            return renamed;
        }
        Map<String, String> one = new LinkedHashMap<>();
        renamed.forEach((name, there) -> one.put(name.equals(HEAD_WEIGHT) ? EMBEDDING_WEIGHT : name, there));
        return one;
    }

    private static String ofModel(String name) {
        String inner = name;
        while (inner.startsWith(MODEL)) {
            inner = inner.substring(MODEL.length());
        }
        if (WITHIN_MODEL.stream().anyMatch(inner::startsWith)) {
            return MODEL + inner;
        }
        return inner.startsWith(HEAD) ? inner : name;
    }

    /**
     * Other names for those of a file.
     *
     * @return the file's name by the new one, in the file's order; unchanged when two would become one
     */
    public static Map<String, String> renamed(Set<String> names, UnaryOperator<String> change) {
        Map<String, String> renamed = new LinkedHashMap<>();
        names.forEach(name -> renamed.putIfAbsent(change.apply(name), name));
        if (renamed.size() < names.size()) {
            renamed.clear();
            names.forEach(name -> renamed.put(name, name));
        }
        return renamed;
    }

    /** The name of a tensor as it is without {@code torch.compile}, data parallel and activation checkpointing. */
    public static String withoutWrappers(String name) {
        StringBuilder bare = new StringBuilder();
        for (String part : name.split("\\.", -1)) {
            if (!WRAPPERS.contains(part)) {
                bare.append(bare.isEmpty() ? "" : ".").append(part);
            }
        }
        String rest = bare.toString();
        while (rest.startsWith(PARALLEL)) {
            rest = rest.substring(PARALLEL.length());
        }
        return rest;
    }
}
