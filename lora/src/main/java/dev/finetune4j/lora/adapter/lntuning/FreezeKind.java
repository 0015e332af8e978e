package dev.finetune4j.lora.adapter.lntuning;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.lora.adapter.FreezeSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.kind.ConfigFields;
import dev.finetune4j.lora.adapter.kind.ConfigKeys;
import dev.finetune4j.lora.adapter.kind.LayerAdapterKind;
import dev.finetune4j.lora.adapter.layer.AdapterLayerSpec;
import dev.finetune4j.lora.adapter.layer.BaseModules;
import dev.finetune4j.lora.adapter.modules.ModulesToSave;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Freeze tuning: copies of the modules of some layers that are trained in their place, written as LN tuning writes its norms. */
public final class FreezeKind extends LayerAdapterKind<FreezeSettings> {
    private static final Pattern LAYER = Pattern.compile("(?:.*\\.)?layers\\.(\\d+)\\.(.+)");

    public FreezeKind() {
        super(FreezeSettings.class, LnTuningKind.TYPE, 2e-5);
    }

    @Override
    public boolean rateDependsOnWidth() {
        return true;
    }

    @Override
    public List<String> trainingProblems(FreezeSettings chosen, boolean quantized) {
        return quantized
                ? List.of("freeze(…) trains the weights of layers themselves, which cannot be kept in 4 bits; leave"
                        + " quantize(…) out or train a LoRA adapter")
                : List.of();
    }

    @Override
    public List<String> problems(FreezeSettings chosen, ModuleNames modules) {
        List<String> problems = new ArrayList<>();
        int layers = layers(modules);
        if (chosen.layers() > layers) {
            problems.add("freeze tuning of " + chosen.layers() + " layers was asked for, but the model has " + layers);
        }
        Set<String> inside = new TreeSet<>();
        List<String> outside = new ArrayList<>();
        for (String path : modules.all()) {
            Matcher layer = LAYER.matcher(path);
            if (layer.matches()) {
                inside.add(layer.group(2));
            } else {
                outside.add(path);
            }
        }
        problems.addAll(unknown(chosen.modules(), inside, "no module of a layer is called "));
        problems.addAll(unknown(chosen.extraModules(), outside, "no module outside of the layers is called "));
        return problems;
    }

    private static List<String> unknown(List<String> names, Collection<String> paths, String message) {
        return names.stream()
                .filter(name -> paths.stream().noneMatch(path -> isMeant(path, List.of(name))))
                .map(name -> message + name + "; there are " + String.join(", ", paths))
                .toList();
    }

    private static int layers(ModuleNames modules) {
        return modules.all().stream()
                        .map(FreezeKind::layer)
                        .filter(OptionalInt::isPresent)
                        .mapToInt(OptionalInt::getAsInt)
                        .max()
                        .orElse(-1)
                + 1;
    }

    private static OptionalInt layer(String path) {
        Matcher layer = LAYER.matcher(path);
        return layer.matches() ? OptionalInt.of(Integer.parseInt(layer.group(1))) : OptionalInt.empty();
    }

    /** Whether a name is a run of whole parts of a path, such as {@code mlp} or {@code mlp.up_proj} of {@code mlp.up_proj}. */
    private static boolean isMeant(String path, List<String> names) {
        return names.stream().anyMatch(name -> ("." + path + ".").contains("." + name + "."));
    }

    /** The paths of the trained modules, in the model's order. */
    private static Set<String> trained(FreezeSettings chosen, ModuleNames modules) {
        int layers = layers(modules);
        int from = chosen.first() ? 0 : layers - chosen.layers();
        Set<String> paths = new LinkedHashSet<>();
        for (String path : modules.all()) {
            Matcher layer = LAYER.matcher(path);
            if (!layer.matches()) {
                if (isMeant(path, chosen.extraModules())) {
                    paths.add(path);
                }
                continue;
            }
            int number = Integer.parseInt(layer.group(1));
            boolean inside = number >= from && number < from + chosen.layers();
            if (inside && (chosen.modules().isEmpty() || isMeant(layer.group(2), chosen.modules()))) {
                paths.add(path);
            }
        }
        return paths;
    }

    @Override
    protected List<AdapterLayerSpec> specs(FreezeSettings chosen, BaseModules base) {
        return trained(chosen, base.names()).stream()
                .map(path -> ModulesToSave.spec(base, path, LnTuningKind.WEIGHT))
                .toList();
    }

    /** A file does not say that it is of freeze tuning; it is read as that of LN tuning. */
    @Override
    public FreezeSettings read(ConfigFields fields, CausalLM base) {
        throw new UnsupportedOperationException("files of freeze tuning are read as those of LN tuning");
    }

    @Override
    public void write(FreezeSettings chosen, ObjectNode config, CausalLM base) {
        Set<String> paths = trained(chosen, base.moduleNames());
        ConfigKeys.putModules(config, "target_modules", TargetModules.named(paths.toArray(String[]::new)), paths);
        ConfigKeys.putModules(config, "exclude_modules", null, paths);
        ConfigKeys.putNames(config, "modules_to_save", List.of());
    }

    @Override
    public Set<String> namedByAdapter() {
        return Set.of(LnTuningKind.COPIES);
    }
}
