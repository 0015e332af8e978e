package dev.finetune4j.core.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What users read when natives cannot be loaded: the true cause, and the remedy of that cause alone. */
class NativeFailureTest {
    private static final String NO_LIBRARY = "no jnitorch in java.library.path: /usr/lib";

    @TempDir
    private Path folder;

    private Path library;

    @BeforeEach
    void aLibrary() throws IOException {
        library = Files.writeString(Files.createDirectory(folder.resolve("jar")).resolve("libjnitorch.so"), "code");
    }

    private String explain(long room, Throwable... failures) throws IOException {
        return failure(List.of(library.toUri().toURL()), room).explain(List.of(failures));
    }

    private NativeFailure failure(List<URL> resources, long room) {
        return new NativeFailure(
                "libtorch", resources, "there is none for this platform", folder.resolve("cache"), room, "move it");
    }

    @Test
    void nativeAccessThatIsForbidden() throws IOException {
        String wanted = "libtorch could not be loaded, because this JVM forbids native access; start it with"
                + " --enable-native-access=ALL-UNNAMED, or write Enable-Native-Access: ALL-UNNAMED into the manifest of an"
                + " executable jar";
        IllegalCallerException denied = new IllegalCallerException("Illegal native access from an unnamed module");
        assertEquals(wanted, explain(1, denied));
        assertEquals(wanted, explain(1, new ExceptionInInitializerError(denied)));
        // As the JVM tells it when a class is asked for again whose start has failed.
        assertEquals(wanted, explain(1, new NoClassDefFoundError("x: " + denied)));
    }

    @Test
    void noRoomToUnpack() throws IOException {
        String message = explain(Long.MAX_VALUE, new UnsatisfiedLinkError(NO_LIBRARY));
        assertTrue(message.contains("has to be unpacked into " + folder.resolve("cache") + ", where "), message);
        assertTrue(message.endsWith(" are free and 8.0 EiB are needed; make room, or move it"), message);
        assertFalse(message.contains("glibc"), message);
    }

    @Test
    void roomIsNoReasonOnceEverythingIsUnpacked() throws IOException {
        Files.copy(library, Files.createDirectory(folder.resolve("cache")).resolve("libjnitorch.so"));
        assertEquals(
                "libtorch could not be loaded: the cause",
                explain(Long.MAX_VALUE, new UnsatisfiedLinkError(NO_LIBRARY).initCause(new IOException("the cause"))));
    }

    @Test
    void anotherClassLoaderHasIt() throws IOException {
        String message =
                explain(1, new UnsatisfiedLinkError("Native Library /x/libt.so already loaded in another classloader"));
        assertTrue(message.contains("the server's shared class path"), message);
    }

    @Test
    void anOldGlibcIsNamedOnlyWhereItIsTheCause() throws IOException {
        Throwable first = new UnsatisfiedLinkError(NO_LIBRARY)
                .initCause(new UnsatisfiedLinkError(
                        "/x/libtorch_cpu.so: /lib64/libc.so.6: version `GLIBC_2.35' not found (required by it)"));
        String message = explain(1, first, new NoClassDefFoundError("Could not initialize class torch"));
        assertEquals(
                "libtorch could not be loaded: this Linux has no GLIBC_2.35; take one with glibc 2.35 or newer, such as"
                        + " Ubuntu 22.04 or Debian 12",
                message);
        assertFalse(explain(1, new UnsatisfiedLinkError(NO_LIBRARY)).contains("glibc"));
    }

    @Test
    void anotherCLibraryAndAFileSystemWithoutPrograms() throws IOException {
        String musl = explain(
                1,
                new UnsatisfiedLinkError(
                        "Error loading shared library ld-linux-x86-64.so.2: No such file or directory"));
        assertTrue(musl.contains("Alpine"), musl);
        String noexec = explain(
                1,
                new UnsatisfiedLinkError("libx.so: failed to map segment from shared object: Operation not permitted"));
        assertTrue(noexec.contains("noexec") && noexec.endsWith("move it"), noexec);
    }

    @Test
    void noneForThePlatform() {
        assertEquals(
                "libtorch could not be loaded: there is none for this platform",
                failure(Collections.singletonList(null), 1).explain(List.of(new UnsatisfiedLinkError(NO_LIBRARY))));
    }
}
