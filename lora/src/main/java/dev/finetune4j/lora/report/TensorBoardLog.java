package dev.finetune4j.lora.report;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Clock;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * Writes an event file of TensorBoard: a TFRecord file of {@code tensorflow.Event} messages
 * (<a href="https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto">event.proto</a>), one record
 * for the version and one for each step. Holds no file open between two records.
 */
final class TensorBoardLog implements TrainingListener {
    private static final int CRC_MASK = 0xa282ead8;

    private final Path folder;
    private final Clock clock;
    private @Nullable Path file;

    TensorBoardLog(Path folder, Clock clock) {
        this.folder = folder;
        this.clock = clock;
    }

    @Override
    public void onStart(int totalSteps, long trainableParameters) {
        Message version = event(0);
        version.bytes(3, "brain.Event:2".getBytes(StandardCharsets.UTF_8));
        append(version);
    }

    /** The start of a session, at which TensorBoard forgets what other files of the folder say of later steps. */
    @Override
    public void onResume(TrainingReport.History before) {
        Message start = new Message();
        start.varint(1, 1);
        Message event = event(before.step() + 1);
        event.bytes(7, start.toBytes());
        append(event);
    }

    @Override
    public void onStep(StepReport report, Control control) {
        Map<String, Double> scalars = new LinkedHashMap<>();
        scalars.put("train/loss", report.loss());
        scalars.put("train/grad_norm", report.gradNorm());
        scalars.put("train/learning_rate", report.learningRate());
        scalars.put("train/epoch", report.epoch());
        scalars.put("train/tokens_per_second", report.throughput().tokensPerSecond());
        new TreeMap<>(report.metrics()).forEach((name, value) -> scalars.put("train/" + name, value));
        append(summary(report.step(), scalars));
    }

    @Override
    public void onEvaluation(TrainingReport.Evaluation evaluation, Control control) {
        Map<String, Double> scalars = new LinkedHashMap<>();
        scalars.put("eval/loss", evaluation.loss());
        new TreeMap<>(evaluation.metrics()).forEach((name, value) -> scalars.put("eval/" + name, value));
        append(summary(evaluation.step(), scalars));
    }

    private Message summary(int step, Map<String, Double> scalars) {
        Message summary = new Message();
        scalars.forEach((tag, value) -> {
            Message scalar = new Message();
            scalar.bytes(1, tag.getBytes(StandardCharsets.UTF_8));
            scalar.float32(2, value.floatValue());
            summary.bytes(1, scalar.toBytes());
        });
        Message event = event(step);
        event.bytes(5, summary.toBytes());
        return event;
    }

    private Message event(int step) {
        Instant now = clock.instant();
        Message event = new Message();
        event.float64(1, now.getEpochSecond() + now.getNano() / 1e9);
        if (step != 0) { // as protocol buffers leave zeros out
            event.varint(2, step);
        }
        return event;
    }

    /** A message in the wire format of protocol buffers, as far as events need it. */
    private static final class Message {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        void varint(int field, long value) {
            raw(field << 3);
            raw(value);
        }

        void float64(int field, double value) {
            raw((field << 3) | 1);
            bytes.writeBytes(littleEndian(8).putDouble(value).array());
        }

        void float32(int field, float value) {
            raw((field << 3) | 5);
            bytes.writeBytes(littleEndian(4).putFloat(value).array());
        }

        void bytes(int field, byte[] value) {
            raw((field << 3) | 2);
            raw(value.length);
            bytes.writeBytes(value);
        }

        byte[] toBytes() {
            return bytes.toByteArray();
        }

        private void raw(long value) {
            long left = value;
            while ((left & ~0x7fL) != 0) {
                bytes.write((int) ((left & 0x7f) | 0x80));
                left >>>= 7;
            }
            bytes.write((int) left);
        }
    }

    private static ByteBuffer littleEndian(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** A record: length, its checksum, the message, its checksum. */
    static byte[] record(byte[] message) {
        byte[] length = littleEndian(8).putLong(message.length).array();
        return littleEndian(16 + message.length)
                .put(length)
                .putInt(maskedCrc(length))
                .put(message)
                .putInt(maskedCrc(message))
                .array();
    }

    private static int maskedCrc(byte[] bytes) {
        CRC32C crc = new CRC32C();
        crc.update(bytes);
        return Integer.rotateRight((int) crc.getValue(), 15) + CRC_MASK;
    }

    private void append(Message event) {
        try {
            if (file == null) {
                Files.createDirectories(folder);
                file = newFile();
            }
            Files.write(file, record(event.toBytes()), StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new FineTune4jException(
                    folder + ": the event file could not be written (" + e + "); check space and rights", e);
        }
    }

    /** TensorBoard reads the files of a folder in the order of their names, which therefore begin with the time. */
    private Path newFile() throws IOException {
        String name = "events.out.tfevents." + clock.instant().getEpochSecond() + ".finetune4j."
                + ProcessHandle.current().pid() + ".";
        int number = 0;
        while (Files.exists(folder.resolve(name + number))) {
            number++;
        }
        return Files.createFile(folder.resolve(name + number));
    }
}
