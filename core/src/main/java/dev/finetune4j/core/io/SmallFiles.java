package dev.finetune4j.core.io;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The files of a model folder that go with its weights wherever they go: configuration, tokenizer, chat templates, code,
 * licence, cards. Not among them are weights in any form, states of a training, the files of an adapter, hidden files, and
 * those of other folders than that of the templates. Stateless.
 */
public final class SmallFiles {
    /** The most bytes of one such file; larger ones are weights under another name. */
    static final long MAX_BYTES = 100L << 20;

    private static final int MAX_FILES = 1000;
    private static final Logger LOG = LoggerFactory.getLogger(SmallFiles.class);
    private static final Set<String> WEIGHTS = Set.of(
            "safetensors",
            "bin",
            "pt",
            "pth",
            "ckpt",
            "gguf",
            "ggml",
            "onnx",
            "onnx_data",
            "h5",
            "msgpack",
            "tflite",
            "npz",
            "npy",
            "pkl",
            "pickle",
            "ot",
            "mlmodel",
            "llamafile",
            "engine",
            "nemo",
            "tar",
            "gz",
            "zip",
            "lock",
            "tmp");
    private static final Set<String> NOT_OF_THE_MODEL = Set.of(
            "adapter_config.json",
            "trainer_state.json",
            "quantize_config.json",
            "quant_config.json",
            "hf_quant_config.json",
            FolderTransaction.RECORD);
    private static final Pattern TOKENIZER = Pattern.compile("tokenizer.*|special_tokens_map\\.json|added_tokens\\.json"
            + "|chat_template\\..*|vocab\\..*|merges\\.txt|spiece\\.model|sentencepiece\\.bpe\\.model|"
            + FolderFiles.TEMPLATES + "/.*");

    private SmallFiles() {}

    /**
     * Finds them.
     *
     * @return their paths in the folder, with {@code /} between the parts
     */
    public static List<String> of(Path folder) throws IOException {
        List<String> names = new ArrayList<>();
        for (String name : FolderFiles.list(folder)) {
            if (isSmallFile(folder, name) && names.size() < MAX_FILES) {
                names.add(name);
            }
        }
        return names;
    }

    /** Those of {@link #of} that a tokenizer is read from. */
    public static List<String> ofTokenizer(Path folder) throws IOException {
        return of(folder).stream()
                .filter(name -> TOKENIZER.matcher(name).matches())
                .toList();
    }

    private static boolean isSmallFile(Path folder, String name) throws IOException {
        Path file = folder.resolve(name);
        String lower = name.toLowerCase(Locale.ROOT);
        boolean left = lower.startsWith(".")
                || NOT_OF_THE_MODEL.contains(lower)
                || WEIGHTS.contains(lower.substring(lower.lastIndexOf('.') + 1))
                || lower.endsWith(".safetensors.index.json")
                || lower.endsWith(".bin.index.json")
                || !FolderFiles.isInside(name);
        if (left || !Files.isRegularFile(file) || (!FolderFiles.isRead(name) && leadsAway(folder, file))) {
            return false;
        }
        if (Files.size(file) > MAX_BYTES) {
            LOG.warn("{} is not copied: {} bytes are more than a file beside weights has", file, Files.size(file));
            return false;
        }
        return true;
    }

    /**
     * A link to anywhere but the folder itself and the hub's cache would publish a file of somebody else; not asked of the files
     * that the model was read from, which are its own even in a folder of links.
     */
    private static boolean leadsAway(Path folder, Path file) throws IOException {
        if (!Files.isSymbolicLink(file)) {
            return false;
        }
        Path target = file.toRealPath(new LinkOption[0]);
        Path parent = target.getParent();
        boolean own = target.startsWith(folder.toRealPath(new LinkOption[0]));
        boolean cache = parent != null && String.valueOf(parent.getFileName()).equals("blobs");
        if (!own && !cache) {
            LOG.warn("{} is not copied: it is a link to {}, outside the model's folder", file, target);
        }
        return !own && !cache;
    }
}
