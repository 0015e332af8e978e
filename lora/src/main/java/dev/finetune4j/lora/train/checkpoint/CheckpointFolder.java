package dev.finetune4j.lora.train.checkpoint;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.AtomicFolder;
import dev.finetune4j.core.io.FolderClaim;
import dev.finetune4j.core.io.SafetensorsWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The folder of a training's checkpoints, {@code checkpoint-120} and the like, claimed until it is closed. What else lies there stays
 * as it is. Safe to use from two threads that do not write at the same time.
 */
public final class CheckpointFolder implements AutoCloseable {
    /** What the names of checkpoints begin with, as in transformers. */
    static final String PREFIX = "checkpoint-";

    private static final Logger LOG = LoggerFactory.getLogger(CheckpointFolder.class);
    private static final Pattern NAME = Pattern.compile(PREFIX + "([0-9]{1,9})");
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path folder;
    private final FolderClaim claim;

    private CheckpointFolder(Path folder, FolderClaim claim) {
        this.folder = folder;
        this.claim = claim;
    }

    /**
     * Claims a folder and clears away what a process that was killed has left half-written.
     *
     * @param folder made if absent
     * @throws SettingsException when another training writes there
     * @throws FineTune4jException when nothing can be written there
     */
    public static CheckpointFolder claim(Path folder) {
        try {
            Files.createDirectories(folder);
            FolderClaim claim = FolderClaim.take(folder);
            if (claim == null) {
                throw new SettingsException(List.of("another training writes its checkpoints to " + folder
                        + " now; stop it, or choose another" + " folder"));
            }
            CheckpointFolder claimed = new CheckpointFolder(folder, claim);
            AtomicFolder.sweep(folder);
            // Now, and not when hours of training are to be saved.
            try (AtomicFolder probe = AtomicFolder.create(folder.resolve("probe"))) {
                probe.write("probe", new byte[0]);
            } catch (IOException e) {
                claimed.close();
                throw e;
            }
            return claimed;
        } catch (IOException e) {
            throw new FineTune4jException(
                    folder + ": checkpoints cannot be written there (" + e
                            + "); check rights and space, or choose another" + " folder",
                    e);
        }
    }

    /** The folder. */
    public Path path() {
        return folder;
    }

    /** The checkpoints of a folder by their steps, whole or not; none if it is absent. */
    public static NavigableMap<Integer, Path> all(Path folder) {
        TreeMap<Integer, Path> found = new TreeMap<>();
        if (!Files.isDirectory(folder)) {
            return found;
        }
        try (Stream<Path> entries = Files.list(folder)) {
            entries.filter(Files::isDirectory).forEach(entry -> {
                Matcher name = NAME.matcher(String.valueOf(entry.getFileName()));
                if (name.matches()) {
                    found.put(Integer.valueOf(name.group(1)), entry);
                }
            });
        } catch (IOException e) {
            throw new FineTune4jException(folder + " cannot be listed (" + e + "); check its rights", e);
        }
        return found;
    }

    /**
     * The latest checkpoint of a folder that is whole; each later one that is not is named in a warning. Empty when there is none at all.
     *
     * @throws ModelFileException when there are some, and none is whole
     */
    public static Optional<SavedCheckpoint> latest(Path folder) {
        NavigableMap<Integer, Path> all = all(folder);
        ModelFileException last = null;
        for (Map.Entry<Integer, Path> entry : all.descendingMap().entrySet()) {
            try {
                return Optional.of(SavedCheckpoint.read(entry.getValue()));
            } catch (ModelFileException e) {
                LOG.warn("{}; the training goes on from an earlier checkpoint, if there is one", e.getMessage());
                last = last == null ? e : last;
            }
        }
        if (last != null) {
            throw new ModelFileException(
                    "none of the " + all.size() + " checkpoints in " + folder + " is whole; of the latest: "
                            + last.getMessage() + ". Restore one of them, or begin anew in another folder",
                    last);
        }
        return Optional.empty();
    }

    /** Where the checkpoint of a step is, or will be. */
    Path of(int step) {
        return folder.resolve(PREFIX + step);
    }

    /**
     * Writes a checkpoint, which appears when all of it has reached the disk.
     *
     * @throws FineTune4jException when that fails; nothing has changed then
     */
    void write(TakenCheckpoint taken) {
        int step = taken.state().step();
        try (AtomicFolder writing = AtomicFolder.create(of(step))) {
            taken.model().write(writing.path());
            SafetensorsWriter.write(writing.path().resolve(SavedCheckpoint.TENSORS), taken.tensors());
            writing.write(SavedCheckpoint.RUN, taken.run());
            writing.write(
                    SavedCheckpoint.STATE,
                    pretty(TrainerStateJson.write(
                            taken.state(), folder.resolve(PREFIX).toString())));
            writing.write(SavedCheckpoint.REST, pretty(TrainerStateJson.rest(taken.state())));
            ObjectNode sums = JSON.createObjectNode();
            Checksums.write(writing.path(), sums.putObject("files"));
            writing.write(SavedCheckpoint.SUMS, pretty(sums));
            writing.commit();
        } catch (IOException | FineTune4jException e) {
            throw new FineTune4jException(
                    of(step) + " could not be written (" + reason(e) + "); earlier checkpoints are as they were."
                            + " Check the free space and the rights",
                    e);
        }
    }

    /** What the system said, below what those said who wrote a part of it. */
    private static Throwable reason(Throwable thrown) {
        Throwable reason = thrown;
        while (reason.getCause() != null) {
            reason = reason.getCause();
        }
        return reason;
    }

    private static byte[] pretty(ObjectNode node) throws IOException {
        return JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(node);
    }

    /**
     * Removes old checkpoints.
     *
     * @param latest how many stay; 0 for all
     * @param step of the latest; later ones are none of this training
     * @param best step of the best one, which stays too; 0 for none
     */
    void prune(int latest, int step, int best) {
        if (latest == 0) {
            return;
        }
        List<Map.Entry<Integer, Path>> older =
                List.copyOf(all(folder).headMap(step, true).descendingMap().entrySet());
        for (Map.Entry<Integer, Path> entry : older.subList(Math.min(latest, older.size()), older.size())) {
            if (entry.getKey() != best) {
                try {
                    AtomicFolder.remove(entry.getValue());
                } catch (IOException e) {
                    LOG.warn("{} is an old checkpoint and could not be removed: {}", entry.getValue(), e.toString());
                }
            }
        }
    }

    /** Gives the folder up for other trainings. Closing twice is fine. */
    @Override
    public void close() {
        try {
            claim.close();
        } catch (IOException e) {
            LOG.warn("{}: the lock could not be given up: {}", folder, e.toString());
        }
    }
}
