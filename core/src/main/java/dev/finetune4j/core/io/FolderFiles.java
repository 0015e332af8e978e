package dev.finetune4j.core.io;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Which files of a folder make a model or an adapter, by the names that transformers and PEFT look for. Stateless. */
final class FolderFiles {
    static final String TEMPLATES = "additional_chat_templates";

    /** What loaders look for first: gone before anything else changes, and back when everything else is in place. */
    private static final Pattern ENTRY =
            Pattern.compile("model\\.safetensors(\\.index\\.json)?|adapter_model\\.safetensors"
                    + "|(pytorch|adapter)_model\\.bin(\\.index\\.json)?");

    private static final Pattern WEIGHTS =
            Pattern.compile("model(-[0-9]{5}-of-[0-9]{5})?\\.safetensors|model\\.safetensors\\.index\\.json");
    private static final Pattern PICKLES =
            Pattern.compile("pytorch_model(-[0-9]{5}-of-[0-9]{5})?\\.bin|pytorch_model\\.bin\\.index\\.json");
    private static final Set<String> ADAPTER =
            Set.of("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin");
    /** Read by every loader of a tokenizer or of generation settings, so one of another model would change this one. */
    private static final Set<String> READ = Set.of(
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "added_tokens.json",
            "chat_template.jinja",
            "chat_template.json",
            "generation_config.json");
    /** The same for other programs. */
    private static final Set<String> ALSO_OF_TEXT = Set.of("tokenizer.model", FolderTransaction.RECORD);
    /** Files that anybody may have; those of a model only beside a tokenizer. */
    private static final List<String> COMMON = List.of(
            "vocab.json",
            "merges.txt",
            "vocab.txt",
            "spiece.model",
            "sentencepiece.bpe.model",
            "preprocessor_config.json",
            "processor_config.json");

    private FolderFiles() {}

    static boolean isEntry(String name) {
        return ENTRY.matcher(name).matches();
    }

    /** Whether a file, by its path in the folder, belongs to what is replaced. */
    private static boolean isOf(FolderTransaction.Kind kind, String name) {
        boolean weights = WEIGHTS.matcher(name).matches();
        return switch (kind) {
            case WEIGHTS -> weights;
            case MODEL -> weights || PICKLES.matcher(name).matches() || ADAPTER.contains(name) || isText(name);
            case ADAPTER -> ADAPTER.contains(name) || isText(name);
        };
    }

    /** Whether a new model or adapter that brings a file of that name takes the place of the one that is there. */
    static boolean belongsTo(FolderTransaction.Kind kind, String name) {
        return isOf(kind, name) || COMMON.contains(name);
    }

    /** Whether loading a model reads a file of that name, so that its content is that of the model, wherever it lies. */
    static boolean isRead(String name) {
        return READ.contains(name) || isTemplate(name) || name.equals("config.json");
    }

    private static boolean isTemplate(String name) {
        return name.startsWith(TEMPLATES + "/") && name.endsWith(".jinja");
    }

    private static boolean isText(String name) {
        return READ.contains(name) || ALSO_OF_TEXT.contains(name) || isTemplate(name);
    }

    /** The files in the folder that belong to what is replaced, with {@code /} between the parts of a path. */
    static Set<String> found(Path folder, FolderTransaction.Kind kind) throws IOException {
        Set<String> found = new LinkedHashSet<>();
        for (String name : list(folder)) {
            if (isOf(kind, name)) {
                found.add(name);
            }
        }
        return found;
    }

    /** The common files that are taken to be of the earlier model of the folder. */
    static List<String> common(Path folder, FolderTransaction.Kind kind) {
        boolean tokenizer = Files.isRegularFile(folder.resolve("tokenizer.json"))
                || Files.isRegularFile(folder.resolve("tokenizer_config.json"));
        return kind == FolderTransaction.Kind.WEIGHTS || !tokenizer
                ? List.of()
                : COMMON.stream()
                        .filter(name -> Files.isRegularFile(folder.resolve(name)))
                        .toList();
    }

    /** All files that lie in the folder and in its folder of templates; no other folder is looked into. */
    static List<String> list(Path folder) throws IOException {
        List<String> names = new ArrayList<>();
        add(folder, "", names);
        Path templates = folder.resolve(TEMPLATES);
        if (Files.isDirectory(templates, LinkOption.NOFOLLOW_LINKS)) {
            add(templates, TEMPLATES + "/", names);
        }
        return names;
    }

    private static void add(Path folder, String prefix, List<String> names) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            entries.filter(entry -> !Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS))
                    .map(entry -> prefix + folder.relativize(entry))
                    .sorted()
                    .forEach(names::add);
        }
    }

    /** Whether a path leads to a file of the folder itself or of its folder of templates. */
    static boolean isInside(String name) {
        String last = name.startsWith(TEMPLATES + "/") ? name.substring(TEMPLATES.length() + 1) : name;
        String lower = last.toLowerCase(Locale.ROOT);
        return !last.isEmpty()
                && !last.equals(".")
                && !last.equals("..")
                && !lower.startsWith(FolderTransaction.PREFIX)
                && last.chars().noneMatch(c -> c < ' ' || "/\\:*?\"<>|".indexOf(c) >= 0);
    }
}
