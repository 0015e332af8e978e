package dev.finetune4j.lora.reference;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import dev.finetune4j.testsupport.Needs;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** A folder of reference numbers: what lies in it, and which base a case of it is meant for. */
record ReferenceFolder(Path root) {
    /** The system property that names another folder than the usual one. */
    static final String PROPERTY = "finetune4j.reference";

    private static final String USUAL_BASE = "llama";

    /** The folder that the property names, else the wide collection where it is, else the part of it in the resources. */
    static ReferenceFolder selected() {
        String named = System.getProperty(PROPERTY);
        if (named == null) {
            return new ReferenceFolder(Needs.findShared("fixtures/reference").orElseGet(() -> Fixtures.reference("")));
        }
        // Maven starts tests in the module's folder: what is relative may be meant from the checkout's root.
        return Stream.of(Path.of(named), Path.of("..").resolve(named))
                .map(path -> path.toAbsolutePath().normalize())
                .filter(Files::isDirectory)
                .findFirst()
                .map(ReferenceFolder::new)
                .orElseThrow(() -> new IllegalStateException("-D" + PROPERTY + "=" + named
                        + " is no folder; name one that is laid out as the collection of reference numbers"));
    }

    /** The folders in a folder of the collection, sorted; none if it is not there. */
    List<Path> folders(String kind) {
        return entries(root.resolve(kind)).stream().filter(Files::isDirectory).toList();
    }

    /** The files in a folder whose names begin and end so, sorted; none if the folder is not there. */
    static List<Path> files(Path folder, String start, String end) {
        return entries(folder).stream()
                .filter(Files::isRegularFile)
                .filter(file -> name(file).startsWith(start) && name(file).endsWith(end))
                .toList();
    }

    private static List<Path> entries(Path folder) {
        if (!Files.isDirectory(folder)) {
            return List.of();
        }
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.sorted().toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static String name(Path path) {
        return path.getFileName().toString();
    }

    /** A file name without what follows its last dot. */
    static String stem(Path file) {
        return name(file).replaceFirst("\\.[^.]*$", "");
    }

    /** What a folder of a model consists of, the files with expected numbers left out. */
    static List<Path> checkpoint(Path folder) {
        List<Path> files = new ArrayList<>();
        files.add(folder.resolve("config.json"));
        files.add(folder.resolve("generation_config.json"));
        files.addAll(files(folder, "model", ".safetensors"));
        files.addAll(files(folder, "model", ".safetensors.index.json"));
        return files;
    }

    /**
     * The model that a case sits on: the one that it states, else the one whose name its own name begins with, else the
     * Llama that the collection is built around, else the only one there is.
     *
     * @param stated a path whose last part is the model's folder; empty if nothing is stated
     * @param caseName the case's own name
     */
    Path base(String stated, String caseName) {
        List<Path> models = folders("models");
        return named(stated)
                .or(() -> models.stream()
                        .filter(model -> (caseName + "_").startsWith(name(model) + "_"))
                        .max(Comparator.comparingInt(model -> name(model).length())))
                .or(() -> named(USUAL_BASE))
                .or(() -> models.size() == 1 ? Optional.of(models.get(0)) : Optional.empty())
                .orElseThrow(() -> new IllegalStateException(root + ": the base of " + caseName + " is not known; state"
                        + " it, or begin the case's name with the name of one of " + models));
    }

    private Optional<Path> named(String stated) {
        if (stated.isEmpty() || stated.equals("null")) {
            return Optional.empty();
        }
        return Stream.concat(folders("models").stream(), folders("bnb").stream())
                .filter(folder -> Path.of(stated).endsWith(name(folder)))
                .findFirst();
    }

    /** Loads a model as it is stored, in float32 on the CPU. */
    static CausalLM load(Path folder) {
        return Fixtures.model(
                folder, isFourBit(folder) ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense());
    }

    static boolean isFourBit(Path folder) {
        return ModelFiles.open(folder).isFourBit();
    }
}
