package dev.finetune4j.core.io;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.json.JsonFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * A replacement that is decided: its files lie complete in a folder inside the one that they belong to. {@link #apply} can
 * be called again after it was broken off anywhere; it then goes on where the other one stopped.
 *
 * @param id of the transaction
 * @param kind what is replaced
 * @param files the new files, by their paths
 * @param remove further files of what was there before
 */
record PendingCommit(String id, FolderTransaction.Kind kind, List<String> files, List<String> remove) {
    static final String MANIFEST = "commit.json";
    static final String NEW = "new";
    private static final String OLD = "old";
    private static final Pattern ID = Pattern.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}");

    /** A move that was made, for the way back. */
    private record Moved(Path from, Path to) {}

    void write(Path staging) throws IOException {
        Map<String, Object> content = new LinkedHashMap<>();
        content.put("id", id);
        content.put("kind", kind.name());
        content.put("files", files);
        content.put("remove", remove);
        try (Disk.Output out = Disk.create(staging.resolve(MANIFEST))) {
            out.write(ByteBuffer.wrap(JsonLayout.pretty(content)));
            out.finish();
        }
    }

    /**
     * Reads a manifest, whose paths are not trusted: the folder may have come from anywhere.
     *
     * @throws ModelFileException when it is damaged or leads out of the folder
     */
    static PendingCommit read(Path folder, Path commit) {
        Path file = commit.resolve(MANIFEST);
        for (Path part : List.of(
                commit,
                commit.resolve(NEW),
                commit.resolve(OLD),
                commit.resolve(NEW).resolve(FolderFiles.TEMPLATES),
                commit.resolve(OLD).resolve(FolderFiles.TEMPLATES),
                folder.resolve(FolderFiles.TEMPLATES))) {
            if (Files.isSymbolicLink(part)) {
                throw damaged(file, part + " is a link");
            }
        }
        ObjectNode root = JsonFile.object(file);
        String id = root.path("id").asText();
        if (!ID.matcher(id).matches()) {
            throw damaged(file, "its id is \"" + id + "\"");
        }
        String kind = root.path("kind").asText();
        for (FolderTransaction.Kind known : FolderTransaction.Kind.values()) {
            if (known.name().equals(kind)) {
                return new PendingCommit(id, known, names(file, root.path("files")), names(file, root.path("remove")));
            }
        }
        throw damaged(file, "its kind is \"" + kind + "\"");
    }

    private static List<String> names(Path file, JsonNode list) {
        List<String> names = new ArrayList<>();
        for (JsonNode name : list) {
            if (!FolderFiles.isInside(name.asText())) {
                throw damaged(file, "it names \"" + name.asText() + "\", which is no file of the folder");
            }
            names.add(name.asText());
        }
        return names;
    }

    static ModelFileException damaged(Path file, String found) {
        return new ModelFileException(file + " is not what an interrupted save leaves behind (" + found + "); delete "
                + file.getParent() + ", but see first whether it holds files that you miss");
    }

    /** Refuses before anything has changed what would stop the moves half-way. */
    void requireNoFolderInTheWay(Path folder) throws IOException {
        for (String name : files) {
            Path target = folder.resolve(name);
            if (Files.isDirectory(target, LinkOption.NOFOLLOW_LINKS)) {
                throw new IOException(target + " is a folder, where a file of that name has to go");
            }
            Path parent = parent(target);
            if (!parent.equals(folder)
                    && Files.exists(parent, LinkOption.NOFOLLOW_LINKS)
                    && !Files.isDirectory(parent, LinkOption.NOFOLLOW_LINKS)) {
                throw new IOException(parent + " is no folder, but files have to go there");
            }
        }
    }

    /**
     * Puts the files in their places. What loaders look for first leaves before anything else changes and comes last, so in
     * between the folder has no weights rather than those of another configuration.
     *
     * @param moved filled with the moves made
     */
    private void apply(Path folder, Path commit, List<Moved> moved) throws IOException {
        Disk.syncFolder(folder); // so that it is decided before anything moves
        Path fresh = commit.resolve(NEW);
        Path old = commit.resolve(OLD);
        Set<String> leaving = new LinkedHashSet<>(FolderFiles.found(folder, kind));
        leaving.addAll(remove);
        leaving.removeAll(files);
        List<String> placed = new ArrayList<>();
        for (String name : files) {
            if (Files.exists(fresh.resolve(name))) {
                placed.add(name);
                leaving.add(name);
            }
        }
        List<String> away = new ArrayList<>(leaving);
        away.sort(Comparator.comparing(name -> !FolderFiles.isEntry(name)));
        for (String name : away) {
            if (isFile(folder, name)) {
                move(folder.resolve(name), old.resolve(name), moved);
            }
        }
        placed.sort(Comparator.comparing(FolderFiles::isEntry));
        for (String name : placed) {
            move(fresh.resolve(name), folder.resolve(name), moved);
        }
        Path templates = folder.resolve(FolderFiles.TEMPLATES);
        if (Files.isDirectory(templates, LinkOption.NOFOLLOW_LINKS) && !removedIfEmpty(templates)) {
            Disk.syncFolder(templates);
        }
        Disk.syncFolder(folder);
    }

    private static Path parent(Path path) {
        return Objects.requireNonNull(path.getParent(), "the folder is given by its absolute path");
    }

    /** A file or link of that name, not reached through a link to another folder. */
    private static boolean isFile(Path folder, String name) {
        Path file = folder.resolve(name);
        Path parent = parent(file);
        return Files.exists(file, LinkOption.NOFOLLOW_LINKS)
                && !Files.isDirectory(file, LinkOption.NOFOLLOW_LINKS)
                && (parent.equals(folder) || !Files.isSymbolicLink(parent));
    }

    private static void move(Path from, Path to, List<Moved> moved) throws IOException {
        createFolders(parent(to));
        Disk.move(from, to);
        moved.add(new Moved(from, to));
    }

    private static void createFolders(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            createFolders(parent(folder));
            Disk.createFolder(folder);
        }
    }

    private static boolean removedIfEmpty(Path folder) throws IOException {
        return FolderTransaction.isEmpty(folder) && Disk.delete(folder);
    }

    /** Puts the files in their places, for whoever finds that the process that began it has ended. */
    void complete(Path folder, Path commit) throws IOException {
        apply(folder, commit, new ArrayList<>());
    }

    /**
     * Puts the files in their places, or everything back where it was.
     *
     * @throws IOException the cause; with {@code suppressed} ones the way back failed, too, and the new files take their
     *     places when the folder is opened again
     */
    void applyOrUndo(Path folder, Path commit) throws IOException {
        List<Moved> moved = new ArrayList<>();
        try {
            apply(folder, commit, moved);
        } catch (IOException e) {
            for (int i = moved.size() - 1; i >= 0; i--) {
                try {
                    move(moved.get(i).to(), moved.get(i).from(), new ArrayList<>());
                } catch (IOException again) {
                    e.addSuppressed(again);
                    break;
                }
            }
            throw e;
        }
    }
}
