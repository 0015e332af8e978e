package dev.finetune4j.lora.adapter.peft;

import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.RenamedWeights;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.TensorNames;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.lora.adapter.kind.AdapterKind;
import dev.finetune4j.lora.adapter.layer.PeftNames;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * The tensors of an adapter under the names that PEFT writes. Files that were made past its {@code save_pretrained}, from a
 * plain {@code state_dict}, have the adapter's name in them; those of a model that was compiled, wrapped or saved without
 * its head have other beginnings. What each tensor is for is beyond doubt in all of them.
 */
final class AdapterNames {
    private static final String MODEL = "model.";
    private static final List<String> WITHIN_MODEL = List.of("embed_tokens.", "layers.", "norm.");

    /** Parts of a path behind which PEFT keeps tensors by the adapter's name, whatever the kind. */
    private static final Set<String> BY_ADAPTER = Set.of("trainable_tokens_delta", "modules_to_save");

    private static final Set<String> LAST = Set.of("weight", "bias");

    private final AdapterKind<?> kind;
    private final Set<String> adapters = new LinkedHashSet<>();

    private AdapterNames(AdapterKind<?> kind) {
        this.kind = kind;
    }

    /**
     * The tensors of a file by PEFT's names.
     *
     * @param weights closed with the result
     * @param kind of the adapter
     * @throws ModelFileException when the file holds several adapters
     */
    static WeightSource of(Path file, SafetensorsFile weights, AdapterKind<?> kind) {
        AdapterNames names = new AdapterNames(kind);
        WeightSource renamed = new RenamedWeights(weights, TensorNames.renamed(weights.names(), names::ofPeft));
        if (names.adapters.size() > 1) {
            throw new ModelFileException(file + " holds several adapters (" + String.join(", ", names.adapters)
                    + "); save each in a folder of its own, with save_pretrained(…, selected_adapters=[…]) in PEFT");
        }
        return renamed;
    }

    private String ofPeft(String name) {
        String path = TensorNames.withoutWrappers(name);
        if (path.indexOf('.') < 0) {
            return name; // virtual tokens belong to no module
        }
        String whole = withoutAdapter(path);
        if (kind.outsideModules().contains(whole)) {
            return whole;
        }
        while (path.startsWith(PeftNames.PREFIX)) {
            path = path.substring(PeftNames.PREFIX.length());
        }
        String inner = path;
        while (inner.startsWith(MODEL)) {
            inner = inner.substring(MODEL.length());
        }
        boolean known = WITHIN_MODEL.stream().anyMatch(inner::startsWith);
        return PeftNames.PREFIX + withoutAdapter(known ? MODEL + inner : path);
    }

    /** {@code lora_A.default.weight} is {@code lora_A.weight}, and a module's copy is the module. */
    private String withoutAdapter(String path) {
        List<String> parts = new ArrayList<>(List.of(path.split("\\.", -1)));
        for (int i = 0; i + 1 < parts.size(); i++) {
            if (!BY_ADAPTER.contains(parts.get(i)) && !kind.namedByAdapter().contains(parts.get(i))) {
                continue;
            }
            if (!LAST.contains(parts.get(i + 1))) {
                adapters.add(parts.remove(i + 1));
            }
            if (kind.alsoCalledWeight().contains(parts.get(i)) && i + 1 < parts.size()) {
                parts.remove(i + 1); // of older versions
            }
            if (parts.get(i).equals("modules_to_save")) {
                parts.remove(i);
            }
        }
        return String.join(".", parts);
    }
}
