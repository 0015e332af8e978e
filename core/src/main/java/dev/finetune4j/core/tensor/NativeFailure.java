package dev.finetune4j.core.tensor;

import dev.finetune4j.core.message.ByteCount;
import java.io.IOException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Why native libraries could not be loaded, in one sentence with a remedy. What the loaders report is often a consequence
 * ("no jnitorch in java.library.path") of something that they only log, so the cause is looked for.
 *
 * @param name what was to be loaded, such as {@code libtorch}
 * @param resources its files on the class path for this platform; one that is not there is null
 * @param absent what to do where one is not there
 * @param folder where they are unpacked
 * @param room what they take there, in bytes
 * @param move how another folder is chosen, an imperative
 */
public record NativeFailure(
        String name, List<@Nullable URL> resources, String absent, Path folder, long room, String move) {
    private static final Pattern GLIBC =
            Pattern.compile("version [`'\"]?((?:GLIBC|GLIBCXX|CXXABI)_[0-9.]+)['`\"]? not found");
    private static final Pattern MUSL = Pattern.compile("ld-linux[^ ]*: No such file|_chk: symbol not found");
    private static final String FORBIDDEN = "Illegal native access";

    /** The number of folders below {@link #folder} in which a file is looked for. */
    private static final int DEPTH = 8;

    /**
     * The sentence.
     *
     * @param failures what the loaders threw, the first one first; those that follow only repeat it
     */
    public String explain(List<Throwable> failures) {
        String all = messages(failures);
        if (all.contains(FORBIDDEN)) {
            return name + " could not be loaded, because this JVM forbids native access; start it with "
                    + "--enable-native-access=" + permitted();
        }
        return name + " could not be loaded: " + cause(all, failures);
    }

    private static String permitted() {
        return NativeFailure.class.getModule().isNamed()
                ? "dev.finetune4j.core,ai.djl.tokenizers,org.bytedeco.javacpp,org.bytedeco.pytorch,org.bytedeco.openblas"
                : "ALL-UNNAMED, or write Enable-Native-Access: ALL-UNNAMED into the manifest of an executable jar";
    }

    private String cause(String all, List<Throwable> failures) {
        if (all.contains("already loaded in another classloader")) {
            return "another class loader of this JVM has it, and native code serves one; put finetune4j and what it needs"
                    + " into the server's shared class path rather than into each application";
        }
        Matcher glibc = GLIBC.matcher(all);
        if (glibc.find()) {
            return "this Linux has no " + glibc.group(1)
                    + "; take one with glibc 2.35 or newer, such as Ubuntu 22.04 or Debian 12";
        }
        if (MUSL.matcher(all).find()) {
            return "this Linux has another C library than glibc (Alpine has musl); take one with glibc 2.35 or newer,"
                    + " such as Ubuntu 22.04 or Debian 12";
        }
        if (resources.stream().anyMatch(resource -> resource == null)) {
            return absent;
        }
        if (all.contains("failed to map segment")) {
            return "the file system of " + folder
                    + " is mounted noexec, so that no program code may be loaded from it; " + move;
        }
        return unpacking().orElseGet(() -> rootOf(failures.get(0)));
    }

    /** What keeps the files from being unpacked; empty when they are all there. */
    private Optional<String> unpacking() {
        try {
            Path there = folder.toAbsolutePath();
            while (!Files.exists(there) && there.getParent() != null) {
                there = there.getParent();
            }
            if (isUnpacked()) {
                return Optional.empty();
            }
            if (!Files.isWritable(there)) {
                return Optional.of(there + " cannot be written, where it would be unpacked; " + move);
            }
            long free = Files.getFileStore(there).getUsableSpace();
            return free < room
                    ? Optional.of("it has to be unpacked into " + folder + ", where " + ByteCount.text(free)
                            + " are free and " + ByteCount.text(room) + " are needed; make room, or " + move)
                    : Optional.empty();
        } catch (IOException e) {
            return Optional.of(folder + ", where it would be unpacked, cannot be read (" + e + "); " + move);
        }
    }

    private boolean isUnpacked() throws IOException {
        if (!Files.isDirectory(folder)) {
            return false;
        }
        for (URL resource : resources) {
            if (resource != null) {
                String path = resource.getPath();
                String file = path.substring(path.lastIndexOf('/') + 1);
                long size = resource.openConnection().getContentLengthLong();
                try (Stream<Path> found = Files.find(
                        folder,
                        DEPTH,
                        (candidate, attributes) -> candidate.endsWith(file) && attributes.size() == size)) {
                    if (found.findAny().isEmpty()) {
                        return false;
                    }
                }
            }
        }
        return true;
    }

    private static String messages(List<Throwable> failures) {
        StringBuilder all = new StringBuilder();
        for (Throwable failure : failures) {
            for (Throwable one = failure; one != null; one = one.getCause()) {
                all.append(one).append('\n');
            }
        }
        return all.toString();
    }

    private static String rootOf(Throwable failure) {
        Throwable root = failure;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return String.valueOf(root.getMessage() == null ? root : root.getMessage());
    }
}
