package dev.finetune4j.core.hub;

/** Is told how a download goes on. What it throws ends the download. */
@FunctionalInterface
public interface DownloadListener {
    /**
     * Called by the thread that fetches, a few times a second while something changes, and once at the end. Nothing is called for a
     * model that the cache has.
     */
    void onProgress(DownloadProgress progress);
}
