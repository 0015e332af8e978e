package dev.finetune4j.core.io;

import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.json.JsonFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * What a path is that should be a model or adapter folder and is not, and what to give in its place: a hub id, a folder of the
 * hub's cache, the folder above, the other kind of folder, weights of another form. Stateless.
 */
public final class WrongFolder {
    private static final String MODEL = "config.json";
    private static final String ADAPTER = "adapter_config.json";
    private static final String SNAPSHOTS = "snapshots";
    private static final Pattern HUB_ID = Pattern.compile("[A-Za-z0-9][\\w.-]*/[A-Za-z0-9][\\w.-]*");
    /** A path has one slash where an address has two. */
    private static final Pattern ADDRESS =
            Pattern.compile("^(?:https?|hf):/+(?:huggingface\\.co/|hf-mirror\\.com/|modelscope\\.cn/(?:models/)?)?"
                    + "([A-Za-z0-9][\\w.-]*/[A-Za-z0-9][\\w.-]*)");

    private static final int LISTED = 3;

    private WrongFolder() {}

    /**
     * Refuses a path that does not hold the wanted file.
     *
     * @param wanted {@code config.json} for a model, {@code adapter_config.json} for an adapter
     * @throws ModelFileException if the file is not there; the message says what is, and what to give
     */
    public static void refuse(Path folder, String wanted) {
        if (Files.isRegularFile(folder.resolve(wanted))) {
            return;
        }
        if (!Files.exists(folder)) {
            throw new ModelFileException(folder + " does not exist; " + absent(folder, wanted));
        }
        if (!Files.isDirectory(folder)) {
            throw new ModelFileException(folder + " is no folder; " + file(folder, wanted));
        }
        throw new ModelFileException(folder + " has no " + wanted + ", so it is no " + kind(wanted) + " folder; "
                + instead(folder, wanted) + ". Found: " + FolderWeights.describe(folder));
    }

    private static String kind(String wanted) {
        return wanted.equals(ADAPTER) ? "adapter" : "model";
    }

    private static String absent(Path folder, String wanted) {
        String text = folder.toString().replace('\\', '/');
        if (text.startsWith("~/")) {
            return "the ~ of a shell has no meaning in a path of Java: write " + System.getProperty("user.home")
                    + text.substring(1);
        }
        Matcher address = ADDRESS.matcher(text);
        if (address.find()) {
            return "web addresses are not fetched: fetch it first, such as by \"hf download " + address.group(1)
                    + " --local-dir FOLDER\", and give that folder";
        }
        return HUB_ID.matcher(text).matches()
                ? "hub ids are not resolved: fetch it first, such as by \"hf download " + text
                        + " --local-dir FOLDER\"," + " and give that folder"
                : "expected " + expected(wanted);
    }

    private static String expected(String wanted) {
        return wanted.equals(ADAPTER)
                ? "an adapter folder with " + ADAPTER + " and adapter_model.safetensors"
                : "a model folder with " + MODEL + ", safetensors weights and a tokenizer";
    }

    private static String file(Path file, String wanted) {
        String name = String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
        return name.endsWith(".gguf") ? gguf() : "give the folder that holds it: " + expected(wanted);
    }

    private static String gguf() {
        return "GGUF files are not read; fetch the model in safetensors form, in which its authors publish it";
    }

    private static String instead(Path folder, String wanted) {
        if (wanted.equals(MODEL) && Files.isRegularFile(folder.resolve(ADAPTER))) {
            return adapter(folder);
        }
        if (wanted.equals(ADAPTER) && Files.isRegularFile(folder.resolve(MODEL))) {
            return "it is a model: load it with LanguageModel.load, and give loadAdapter the folder of an adapter";
        }
        List<Path> below = below(folder, wanted);
        if (!below.isEmpty()) {
            return "give the folder below: "
                    + below.stream().limit(LISTED).map(Path::toString).collect(Collectors.joining(" or "))
                    + (below.size() > LISTED ? " or one of " + (below.size() - LISTED) + " more" : "");
        }
        if (names(folder).anyMatch(name -> name.endsWith(".gguf"))) {
            return gguf();
        }
        return "give " + expected(wanted);
    }

    /** What to do with the folder of an adapter that was given for a model's. */
    static String adapter(Path folder) {
        return "it is an adapter: load its base model" + base(folder) + ", then call loadAdapter with this folder";
    }

    private static String base(Path adapter) {
        try {
            String name = JsonFile.object(adapter.resolve(ADAPTER))
                    .path("base_model_name_or_path")
                    .asText("");
            return name.isBlank() ? "" : " (" + name + ")";
        } catch (ModelFileException e) {
            return "";
        }
    }

    /** The folders that hold the file: one below, or where the hub's cache has it, by refs/main first. */
    private static List<Path> below(Path folder, String wanted) {
        Path snapshots = folder.resolve(SNAPSHOTS);
        if (Files.isDirectory(snapshots)) {
            Optional<Path> main = main(folder).filter(path -> Files.isRegularFile(path.resolve(wanted)));
            return main.isPresent() ? List.of(main.get()) : children(snapshots, wanted);
        }
        List<Path> direct = children(folder, wanted);
        return direct.isEmpty()
                ? folders(folder)
                        .filter(child -> Files.isDirectory(child.resolve(SNAPSHOTS)))
                        .flatMap(child -> below(child, wanted).stream())
                        .toList()
                : direct;
    }

    private static Optional<Path> main(Path cached) {
        try {
            return Optional.of(cached.resolve(SNAPSHOTS)
                    .resolve(Files.readString(cached.resolve("refs").resolve("main"))
                            .trim()));
        } catch (IOException | IllegalArgumentException e) {
            return Optional.empty();
        }
    }

    private static List<Path> children(Path folder, String wanted) {
        return folders(folder)
                .filter(child -> Files.isRegularFile(child.resolve(wanted)))
                .toList();
    }

    private static Stream<Path> folders(Path folder) {
        return entries(folder).stream().filter(Files::isDirectory);
    }

    private static Stream<String> names(Path folder) {
        return entries(folder).stream()
                .map(path -> path.getFileName().toString().toLowerCase(Locale.ROOT));
    }

    private static List<Path> entries(Path folder) {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.sorted().toList();
        } catch (IOException e) {
            throw new ModelFileException(folder + " cannot be listed: " + e, e);
        }
    }
}
