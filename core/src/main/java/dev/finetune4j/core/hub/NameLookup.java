package dev.finetune4j.core.hub;

import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** What a name stands for on this machine: a folder, else a model in a cache, else what the setting {@code finetune4j.hub} allows. */
final class NameLookup {
    private NameLookup() {}

    /** @param download what is done with a model that is nowhere here, if it is allowed */
    static Path fetch(String name, HubEnvironment environment, Function<HubModel, Path> download) {
        Path folder = folder(name);
        if (folder != null && (Files.exists(folder) || !SafeName.isId(name))) {
            return folder; // opening it says what is wrong with it
        }
        if (!SafeName.isId(name)) {
            throw new IllegalArgumentException(
                    "\"" + name + "\" is neither a folder nor the id of a model; expected an id such as org/name");
        }
        Hub allowed = allowed(environment);
        List<HubModel> models = new ArrayList<>();
        models.add(new HubModel(new HuggingFace(), name, environment));
        models.add(allowed instanceof ModelScope ? 0 : 1, new HubModel(new ModelScope(), name, environment));
        for (HubModel model : models) {
            Optional<Path> cached = model.cached();
            if (cached.isPresent()) {
                return cached.get();
            }
        }
        if (allowed == null) {
            throw notHere(name, environment);
        }
        return download.apply(models.get(0));
    }

    private static @Nullable Path folder(String name) {
        try {
            return Path.of(name);
        } catch (InvalidPathException e) {
            return null;
        }
    }

    private static @Nullable Hub allowed(HubEnvironment environment) {
        String setting =
                environment.hub() == null ? "" : environment.hub().strip().toLowerCase(Locale.ROOT);
        return switch (setting) {
            case "", "none" -> null;
            case "huggingface" -> new HuggingFace();
            case "modelscope" -> new ModelScope();
            default ->
                throw new IllegalArgumentException("the setting finetune4j.hub (or FINETUNE4J_HUB) is \"" + setting
                        + "\"; expected huggingface, modelscope or none");
        };
    }

    private static HubException notHere(String name, HubEnvironment environment) {
        HuggingFace huggingFace = new HuggingFace();
        ModelScope modelScope = new ModelScope();
        return new HubException(
                HubException.Reason.NOT_CACHED,
                "there is no folder " + name + " here, and neither " + huggingFace.cache(environment) + " nor "
                        + modelScope.cache(environment)
                        + " holds such a model in full; nothing is downloaded unless it is asked for: give "
                        + huggingFace.call(name) + " or " + modelScope.call(name)
                        + ", or set FINETUNE4J_HUB to huggingface or modelscope");
    }
}
