package dev.finetune4j.core.text;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.cache.CacheFolder;
import dev.finetune4j.core.tensor.NativeFailure;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Unpacks the native tokenizer for the CPU into a folder of this library's own, one per version and platform, below the
 * user's cache folder.
 *
 * <p>The loader that comes with the native tokenizer would look for a build for the GPU it sees, ask the network for
 * it, and share its cache with runs that saw another GPU; a file of our own avoids all three.
 */
final class NativeLibrary {
    private static final Logger LOG = LoggerFactory.getLogger(NativeLibrary.class);
    private static final String TEMPORARY = "finetune4j-native";
    /** What the largest of the platforms takes. */
    private static final long UNPACKED_BYTES = 16_000_000;

    private static final String ROOT = "/native/lib/";
    private static final List<String> WINDOWS_HELPERS =
            List.of("libwinpthread-1.dll", "libgcc_s_seh-1.dll", "libstdc++-6.dll");

    private NativeLibrary() {}

    /**
     * The library's files in the order in which they are to be loaded, unpacked if they are not there yet.
     *
     * @param owner a class of the jar that carries the library
     * @throws FineTune4jException when the jar has none for this platform or it cannot be written
     */
    static List<Path> unpack(Class<?> owner) {
        String platform = platform(System.getProperty("os.name", ""), System.getProperty("os.arch", ""));
        String file = System.mapLibraryName("tokenizers");
        try {
            Path folder = folder("tokenizers-" + version(owner) + "-" + platform);
            List<Path> files = new ArrayList<>();
            if (platform.startsWith("win")) {
                for (String helper : WINDOWS_HELPERS) {
                    files.add(copy(owner, platform, helper, folder));
                }
            }
            files.add(copy(owner, platform, file, folder));
            return files;
        } catch (IOException e) {
            throw new FineTune4jException(failure(owner).explain(List.of(e)), e);
        }
    }

    /** What to say when the library cannot be unpacked or loaded. */
    static NativeFailure failure(Class<?> owner) {
        String platform = platform(System.getProperty("os.name", ""), System.getProperty("os.arch", ""));
        List<@Nullable URL> resources = new ArrayList<>();
        resources.add(resource(owner, platform, System.mapLibraryName("tokenizers")));
        return new NativeFailure(
                "the native tokenizer",
                resources,
                absent(platform),
                CacheFolder.of("native").toAbsolutePath(),
                UNPACKED_BYTES,
                "choose another home with -Duser.home=FOLDER or XDG_CACHE_HOME");
    }

    private static @Nullable URL resource(Class<?> owner, String platform, String name) {
        return owner.getResource(ROOT + platform + "/cpu/" + name);
    }

    private static String absent(String platform) {
        return "there is none for the platform " + platform
                + "; it exists for linux-x86_64, linux-aarch64, osx-aarch64 and win-x86_64."
                + " Use one of these or set RUST_LIBRARY_PATH to a file of your own";
    }

    /** The platform as the jar spells it, such as {@code linux-x86_64}. */
    static String platform(String osName, String osArch) {
        String os = osName.toLowerCase(Locale.ROOT);
        String prefix = os.startsWith("win") ? "win" : os.startsWith("mac") ? "osx" : "linux";
        String arch = osArch.toLowerCase(Locale.ROOT);
        return prefix + "-" + (arch.equals("amd64") ? "x86_64" : arch);
    }

    private static String version(Class<?> owner) throws IOException {
        Properties properties = new Properties();
        try (InputStream in = owner.getResourceAsStream(ROOT + "tokenizers.properties")) {
            if (in != null) {
                properties.load(in);
            }
        }
        return properties.getProperty("version", "unknown");
    }

    private static Path folder(String name) throws IOException {
        Path wanted = CacheFolder.of("native").resolve(name).toAbsolutePath();
        try {
            Files.createDirectories(wanted);
            if (Files.isWritable(wanted)) {
                return wanted;
            }
        } catch (IOException e) {
            LOG.debug("cache folder {} cannot be made: {}", wanted, e.toString());
        }
        // Made anew and readable by its owner alone: in a shared folder another user could plant a library.
        Path temporary = Files.createTempDirectory(TEMPORARY).toAbsolutePath();
        temporary.toFile().deleteOnExit();
        return temporary;
    }

    private static Path copy(Class<?> owner, String platform, String name, Path folder) throws IOException {
        URL resource = resource(owner, platform, name);
        if (resource == null) {
            throw new FineTune4jException("the native tokenizer could not be loaded: " + absent(platform));
        }
        Path target = folder.resolve(name);
        if (Files.isRegularFile(target)
                && Files.size(target) == resource.openConnection().getContentLengthLong()) {
            return target;
        }
        Path partial = Files.createTempFile(folder, name, ".part");
        try (InputStream in = resource.openStream()) {
            Files.copy(in, partial, StandardCopyOption.REPLACE_EXISTING);
            // Never a half-written file under the final name, also with several processes starting at once.
            Files.move(partial, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (FileAlreadyExistsException e) {
            LOG.debug("{} was unpacked by another process", target);
        } finally {
            Files.deleteIfExists(partial);
        }
        if (folder.getFileName().toString().startsWith(TEMPORARY)) {
            target.toFile().deleteOnExit();
        }
        return target;
    }
}
