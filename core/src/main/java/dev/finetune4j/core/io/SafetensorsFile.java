package dev.finetune4j.core.io;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * One file of weights in <a href="https://github.com/huggingface/safetensors#format">safetensors</a> form.
 *
 * <p>Opening reads and checks the header only. Tensors are read straight into their memory, at most 1 GiB at a time; not
 * through a memory map, because touching a map whose file has become shorter is a fault that the JVM reports later, to
 * whatever runs then. The open file is held, so it may be replaced (not overwritten) while it is read; an interrupt of the
 * thread does no harm. Thread-safe.
 */
public final class SafetensorsFile implements WeightSource {
    private static final long MAX_HEADER_BYTES = 100_000_000;
    private static final long PIECE_BYTES = 1L << 30;

    private final Path file;
    private final FileChannel channel;
    private final SafetensorsHeader header;
    private final long dataStart;
    private final long pieceBytes;
    private volatile boolean closed;

    private SafetensorsFile(Path file, FileChannel channel, SafetensorsHeader header, long dataStart, long pieceBytes) {
        this.file = file;
        this.channel = channel;
        this.header = header;
        this.dataStart = dataStart;
        this.pieceBytes = pieceBytes;
    }

    /**
     * Opens a file and checks its header.
     *
     * @throws ModelFileException when the file is missing, cannot be read, or breaks the format
     */
    public static SafetensorsFile open(Path file) {
        return open(file, PIECE_BYTES);
    }

    /** The same with another size of the pieces. */
    static SafetensorsFile open(Path file, long pieceBytes) {
        if (!Files.isRegularFile(file)) {
            throw new ModelFileException(
                    file + (Files.exists(file) ? " is no file" : " does not exist") + "; expected a safetensors file");
        }
        try {
            return Uninterrupted.call(() -> openHere(file, pieceBytes));
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }

    private static SafetensorsFile openHere(Path file, long pieceBytes) throws IOException {
        FileChannel channel = FileChannel.open(file, StandardOpenOption.READ);
        SafetensorsFile opened = null;
        try {
            opened = open(file, channel, pieceBytes);
            return opened;
        } finally {
            if (opened == null) {
                channel.close();
            }
        }
    }

    private static SafetensorsFile open(Path file, FileChannel channel, long pieceBytes) throws IOException {
        long size = channel.size();
        byte[] start = bytesAt(file, channel, 0, (int) Math.min(size, 64));
        rejectOtherFormats(file, start);
        if (size < 8) {
            throw SafetensorsHeader.damaged(
                    file, "it has " + size + " bytes, fewer than the 8 of the header's length", null);
        }
        long length = ByteBuffer.wrap(start).order(ByteOrder.LITTLE_ENDIAN).getLong();
        // Lengths beyond 63 bits show as negative numbers.
        if (length < 0 || length > MAX_HEADER_BYTES || length > size - 8) {
            throw SafetensorsHeader.damaged(
                    file,
                    "it gives its header " + Long.toUnsignedString(length) + " bytes, but " + (size - 8)
                            + " bytes follow and the format allows " + MAX_HEADER_BYTES,
                    null);
        }
        byte[] json = bytesAt(file, channel, 8, (int) length);
        SafetensorsHeader header = SafetensorsHeader.parse(file, json, size - 8 - length);
        return new SafetensorsFile(file, channel, header, 8 + length, pieceBytes);
    }

    /** Names the three files that most often lie under the name of a weight file. */
    private static void rejectOtherFormats(Path file, byte[] start) {
        String text = new String(start, StandardCharsets.ISO_8859_1);
        if (text.startsWith("version https://git-lfs")) {
            throw new ModelFileException(file + " is a Git LFS pointer, not the weights; run \"git lfs pull\" in its"
                    + " folder or download the file itself");
        }
        if (text.stripLeading().startsWith("<")) {
            throw new ModelFileException(
                    file + " is an HTML or XML page, not weights; the download failed: fetch the file again");
        }
        if (text.startsWith("PK\u0003\u0004")) {
            throw new ModelFileException(file + " is a zip archive, as torch.save writes it, not a safetensors file;"
                    + " convert it with safetensors.torch.save_file in Python");
        }
    }

    private static byte[] bytesAt(Path file, FileChannel channel, long position, int length) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(length);
        while (buffer.hasRemaining()) {
            if (channel.read(buffer, position + buffer.position()) < 0) {
                throw cutShort(file);
            }
        }
        return buffer.array();
    }

    /**
     * All tensors by name, in the order of the header; unmodifiable.
     *
     * @throws IllegalStateException after {@link #close()}
     */
    public Map<String, TensorInfo> tensors() {
        requireOpen();
        return header.tensors();
    }

    /**
     * The free text of {@code __metadata__}, such as {@code format=pt}; empty without it; unmodifiable.
     *
     * @throws IllegalStateException after {@link #close()}
     */
    public Map<String, String> metadata() {
        requireOpen();
        return header.metadata();
    }

    @Override
    public Set<String> names() {
        return tensors().keySet();
    }

    @Override
    public TensorInfo info(String name) {
        TensorInfo info = tensors().get(name);
        if (info == null) {
            throw new ModelFileException(file + " has no tensor " + name + " among its "
                    + header.tensors().size() + "; use the file that belongs to this model");
        }
        return info;
    }

    /** Reads no more of the file than those rows. */
    @Override
    public Tensor readRows(String name, long first, long count) {
        TensorInfo all = info(name);
        long[] shape = all.shape();
        long width = shape[shape.length - 1];
        long bytes = all.dtype().bytes(new long[] {width});
        if (first < 0 || count < 0 || (first + count) * bytes > all.bytes()) {
            throw new IllegalArgumentException(
                    "rows " + first + " to " + (first + count) + " are not all among those of " + all);
        }
        long begin = all.begin() + first * bytes;
        return read(new TensorInfo(name, all.dtype(), new long[] {count, width}, begin, begin + count * bytes));
    }

    @Override
    public Tensor read(String name) {
        return read(info(name));
    }

    private Tensor read(TensorInfo info) {
        ScalarType type = info.dtype()
                .scalarType()
                .orElseThrow(() -> new ModelFileException(file + ": tensor " + info.name() + " has the type "
                        + info.dtype() + ", which libtorch cannot compute with; use the model in another precision"));
        TorchRuntime.start();
        try (TensorScope scope = new TensorScope()) {
            Tensor tensor = allocate(info, type);
            if (info.bytes() > 0) {
                fill(tensor, info);
            }
            return scope.keep(tensor);
        }
    }

    private Tensor allocate(TensorInfo info, ScalarType type) {
        try {
            return Tensors.empty(ComputeDevice.cpu(), type, info.shape());
        } catch (RuntimeException e) {
            throw new ModelFileException(
                    file + ": no memory for tensor " + info + "; close other models or use a smaller one", e);
        }
    }

    private void fill(Tensor tensor, TensorInfo info) {
        TensorBytes memory = new TensorBytes(tensor);
        long done = 0;
        while (done < info.bytes()) {
            int slice = (int) Math.min(pieceBytes, info.bytes() - done);
            copy(info.begin() + done, memory.view(done, slice));
            done += slice;
        }
    }

    /** The bytes of a tensor from {@code from} on, at most {@code length} of them. */
    byte[] bytes(TensorInfo info, long from, int length) {
        byte[] bytes = new byte[(int) Math.min(length, info.bytes() - from)];
        copy(info.begin() + from, ByteBuffer.wrap(bytes));
        return bytes;
    }

    private void copy(long begin, ByteBuffer target) {
        try {
            Uninterrupted.call(() -> copyHere(dataStart + begin, target));
        } catch (IOException e) {
            requireOpen();
            throw unreadable(file, e);
        }
    }

    private long copyHere(long from, ByteBuffer target) throws IOException {
        long position = from;
        while (target.hasRemaining()) {
            int read = channel.read(target, position);
            if (read < 0) {
                throw cutShort(file);
            }
            position += read;
        }
        return position;
    }

    private synchronized void requireOpen() {
        if (closed) {
            throw new IllegalStateException(file + " is closed; open it again to read from it");
        }
    }

    private static ModelFileException cutShort(Path file) {
        return new ModelFileException(file + " became shorter while it was open; fetch or write the file again");
    }

    private static ModelFileException unreadable(Path file, IOException cause) {
        return new ModelFileException(file + " cannot be read: " + cause, cause);
    }

    /** Closes the file; tensors that were read stay. Closing twice is fine. */
    @Override
    public synchronized void close() {
        if (closed) {
            return;
        }
        closed = true;
        try {
            channel.close();
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }
}
