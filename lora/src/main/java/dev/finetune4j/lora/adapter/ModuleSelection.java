package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * The modules that get an adapter, by PEFT's rules. Immutable.
 *
 * @param targets the candidates
 * @param exclude modules that get none although they are targets; null for no exception
 * @param layers numbers of the layers that get one, counted from 0; empty for all
 * @param layersPattern names of the list of layers in the module paths, such as {@code layers}; empty for the first number
 *     in the path
 */
public record ModuleSelection(
        TargetModules targets, @Nullable TargetModules exclude, List<Integer> layers, List<String> layersPattern) {
    public ModuleSelection {
        layers = List.copyOf(layers);
        layersPattern = List.copyOf(layersPattern);
        List<String> problems = new ArrayList<>();
        if (exclude instanceof TargetModules.AllLinear) {
            problems.add("all linears cannot be excluded; name the modules to exclude");
        }
        if (targets instanceof TargetModules.Matching && !layers.isEmpty()) {
            problems.add("layers cannot be chosen apart when the targets are a regular expression;"
                    + " put the layers into the expression");
        }
        if (!layersPattern.isEmpty() && layers.isEmpty()) {
            problems.add("a layers pattern needs the layers to transform; give their numbers");
        }
        layers.stream()
                .filter(layer -> layer < 0)
                .forEach(layer -> problems.add("layers are counted from 0, but one is " + layer));
        layersPattern.forEach(pattern -> checkPattern(problems, pattern));
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** The same without the linears of single experts, excluded in a way that PEFT understands. */
    ModuleSelection withoutExperts() {
        String experts = ".*\\.experts\\.\\d+\\..*";
        if (exclude instanceof TargetModules.Matching matching) {
            experts = "(?:" + matching.regex() + ")|" + experts;
        } else if (exclude instanceof TargetModules.Named named) {
            experts = named.names().stream()
                            .map(name -> name.replaceAll("\\W", "\\\\$0"))
                            .collect(Collectors.joining("|", "(?:.*\\.)?(?:", ")"))
                    + "|" + experts;
        }
        return new ModuleSelection(targets, TargetModules.matching(experts), layers, layersPattern);
    }

    /** All targets, in all layers. */
    public static ModuleSelection of(TargetModules targets) {
        return new ModuleSelection(targets, null, List.of(), List.of());
    }

    private static void checkPattern(List<String> problems, String pattern) {
        String problem = PathPattern.problem(pattern);
        if (problem != null) {
            problems.add("the layers pattern \"" + pattern + "\" " + problem);
        }
    }

    /**
     * The chosen ones among the modules that an adapter can sit on.
     *
     * @param candidates module paths, in the model's order
     * @param modulesToSave modules that are trained themselves, by the names that PEFT's {@code modules_to_save} gives
     */
    public Set<String> matching(Collection<String> candidates, List<String> modulesToSave) {
        Set<String> chosen = new LinkedHashSet<>();
        List<PathPattern> ownTraining = modulesToSave.stream()
                .map(module -> PathPattern.of("(^|.*\\.)" + module + "($|\\..*)"))
                .toList();
        List<PathPattern> layerPaths = layerPaths();
        for (String name : candidates) {
            boolean whole = ownTraining.stream().anyMatch(pattern -> pattern.matches(name));
            boolean excluded = exclude != null && exclude.matches(name);
            if (!whole && !excluded && targets.matches(name) && inLayers(name, layerPaths)) {
                chosen.add(name);
            }
        }
        return chosen;
    }

    /**
     * The same, where nothing may be missed.
     *
     * @param noun what messages call a candidate
     * @throws SettingsException when a name matches nothing, or nothing is left; the message lists the names that exist
     */
    public Set<String> resolve(String noun, Collection<String> candidates, List<String> modulesToSave) {
        if (targets instanceof TargetModules.Named named) {
            List<String> missed = named.names().stream()
                    .filter(name ->
                            candidates.stream().noneMatch(candidate -> TargetModules.Named.matches(candidate, name)))
                    .sorted()
                    .toList();
            if (!missed.isEmpty()) {
                throw new SettingsException(List.of("no " + noun + " of the model matches the target module(s) "
                        + String.join(", ", missed) + "; it has " + String.join(", ", lastParts(candidates))));
            }
        }
        return matchingSome(noun, candidates, modulesToSave);
    }

    /**
     * As {@link #matching}, where one must be left.
     *
     * @param noun what messages call a candidate
     * @throws SettingsException when none is; the message lists the names that exist
     */
    public Set<String> matchingSome(String noun, Collection<String> candidates, List<String> modulesToSave) {
        Set<String> chosen = matching(candidates, modulesToSave);
        if (chosen.isEmpty()) {
            throw new SettingsException(List.of("no " + noun + " of the model matches the target modules " + described()
                    + "; it has " + String.join(", ", lastParts(candidates))));
        }
        return chosen;
    }

    private String described() {
        String wanted = targets instanceof TargetModules.Named named
                ? String.join(", ", named.names())
                : targets instanceof TargetModules.Matching matching
                        ? "of the regular expression \"" + matching.regex() + "\""
                        : "(all linears)";
        return wanted
                + (exclude == null ? "" : " without the excluded ones")
                + (layers.isEmpty() ? "" : " in the layers " + layers);
    }

    private static Set<String> lastParts(Collection<String> paths) {
        Set<String> parts = new TreeSet<>();
        paths.forEach(name -> parts.add(name.substring(name.lastIndexOf('.') + 1)));
        return parts;
    }

    /** A path that a list names whole is taken in any layer, as in PEFT. */
    private boolean inLayers(String name, List<PathPattern> layerPaths) {
        if (layers.isEmpty()
                || (targets instanceof TargetModules.Named named
                        && named.names().contains(name))) {
            return true;
        }
        for (PathPattern path : layerPaths) {
            String layer = path.group(name, "layer");
            if (layer != null) {
                return layer.length() < 10 && layers.contains(Integer.valueOf(layer));
            }
        }
        return false;
    }

    private List<PathPattern> layerPaths() {
        if (layers.isEmpty()) {
            return List.of();
        }
        List<String> starts = layersPattern.isEmpty()
                ? List.of(".*?\\.[^.]*\\.")
                : layersPattern.stream()
                        .map(pattern -> "(?:^|.*?\\.)" + pattern + "\\.")
                        .toList();
        return starts.stream()
                .map(start -> PathPattern.of(start + "(?<layer>\\d+)\\."))
                .toList();
    }
}
