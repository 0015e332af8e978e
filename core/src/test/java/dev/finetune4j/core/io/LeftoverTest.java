package dev.finetune4j.core.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ModelFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a downloaded folder passes off as an interrupted save changes nothing outside that folder and holds nobody up. */
class LeftoverTest {
    private static final String ID = "00000000-0000-4000-8000-000000000000";

    @TempDir
    private Path temp;

    private Path folder;
    private Path commit;
    private Path elsewhere;

    @BeforeEach
    void prepare() throws IOException {
        folder = Files.createDirectory(temp.resolve("model"));
        commit = Files.createDirectory(folder.resolve(FolderTransaction.COMMIT));
        elsewhere = Files.createDirectory(temp.resolve("elsewhere"));
        Files.writeString(elsewhere.resolve("config.json"), "theirs");
        Files.writeString(folder.resolve("config.json"), "ours");
    }

    private void manifest(String id, String files, String remove) throws IOException {
        Files.createFile(commit.resolve(FolderLock.NAME));
        Files.writeString(
                commit.resolve(PendingCommit.MANIFEST),
                "{\"id\": \"" + id + "\", \"kind\": \"WEIGHTS\", \"files\": [" + files + "], \"remove\": [" + remove
                        + "]}");
    }

    private void assertRefused() throws IOException {
        ModelFileException refused = assertTimeoutPreemptively(
                Duration.ofSeconds(10), () -> assertThrows(ModelFileException.class, () -> ModelFiles.settle(folder)));
        assertTrue(refused.getMessage().contains("delete"), refused.getMessage());
        assertEquals("theirs", Files.readString(elsewhere.resolve("config.json")));
        assertEquals("ours", Files.readString(folder.resolve("config.json")));
    }

    @Test
    void oldFilesAreNotMovedThroughALink() throws IOException {
        manifest(ID, "", "\"config.json\"");
        Files.createSymbolicLink(commit.resolve("old"), elsewhere);
        assertRefused();
    }

    @Test
    void newFilesAreNotTakenThroughALink() throws IOException {
        manifest(ID, "\"config.json\"", "");
        Files.createSymbolicLink(commit.resolve("new"), elsewhere);
        assertRefused();
    }

    @Test
    void templatesAreNotPutThroughALink() throws IOException {
        String name = FolderFiles.TEMPLATES + "/config.json";
        manifest(ID, "\"" + name + "\"", "");
        Path fresh = commit.resolve("new").resolve(name);
        Files.createDirectories(fresh.getParent());
        Files.writeString(fresh, "evil");
        Files.createSymbolicLink(folder.resolve(FolderFiles.TEMPLATES), elsewhere);
        assertRefused();
    }

    @Test
    void aWholeSaveBehindALinkIsNotTaken() throws IOException {
        Files.delete(commit);
        Files.createSymbolicLink(commit, elsewhere);
        assertRefused();
    }

    @Test
    void theIdLeadsNowhere() throws IOException {
        Files.createDirectories(folder.resolve(".finetune4j-"));
        manifest("/../../elsewhere/x", "", "");
        assertRefused();
        assertTrue(Files.exists(commit));
    }

    @Test
    void aLockThatIsAPipeIsNotOpened() throws Exception {
        Path staging = Files.createDirectory(folder.resolve(".finetune4j-" + ID + ".tmp"));
        Files.delete(commit);
        assertEquals(
                0,
                new ProcessBuilder("mkfifo", staging.resolve(FolderLock.NAME).toString())
                        .start()
                        .waitFor());
        assertTimeoutPreemptively(Duration.ofSeconds(10), () -> ModelFiles.settle(folder));
    }

    /** Such as a copy that was cut short: nobody is waited for who may never come. */
    @Test
    void aSaveWithoutItsManifestIsCalledDamagedAtOnce() throws IOException {
        Files.createDirectory(commit.resolve("new"));
        assertRefused();
    }

    @Test
    void aSaveWhoseEmptyLockWasNotCopiedIsCompleted() throws IOException {
        manifest(ID, "\"config.json\"", "");
        Files.delete(commit.resolve(FolderLock.NAME));
        Files.createDirectory(commit.resolve("new"));
        Files.writeString(commit.resolve("new").resolve("config.json"), "newer");
        ModelFiles.settle(folder);
        assertEquals("newer", Files.readString(folder.resolve("config.json")));
        assertFalse(Files.exists(commit));
    }
}
