package dev.finetune4j.core.hub;

/**
 * How far the download of a model is.
 *
 * @param model its id
 * @param phase what is done
 * @param bytes that are there, those of earlier calls included
 * @param totalBytes of all files; 0 until they are known
 * @param files that are complete
 * @param totalFiles number of all files; 0 until they are known
 * @param bytesPerSecond that came in the last seconds
 */
public record DownloadProgress(
        String model, Phase phase, long bytes, long totalBytes, int files, int totalFiles, double bytesPerSecond) {
    /** What a download does. */
    public enum Phase {
        /** Another process or thread downloads the same model; its result is waited for. */
        WAITING,
        /** The hub is asked which files there are. */
        LISTING,
        /** Files come. */
        DOWNLOADING,
        /** Everything is there. */
        DONE
    }
}
