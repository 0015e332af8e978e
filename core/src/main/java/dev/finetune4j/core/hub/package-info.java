/**
 * From the name of a model to a folder on this machine: {@link dev.finetune4j.core.hub.ModelSource}. Hugging Face's cache is shared
 * with Python's {@code huggingface_hub}, in <a href="https://huggingface.co/docs/huggingface_hub/guides/manage-cache">its layout</a>;
 * that of ModelScope is the plain tree of its own client.
 *
 * <p>Nothing here contacts the network unless the program asked for a hub by name ({@link
 * dev.finetune4j.core.hub.ModelSource#huggingFace}, {@link dev.finetune4j.core.hub.ModelSource#modelScope}) or a setting allows it, and
 * what is in a cache is used without asking. A token goes to the hub's own origin alone: redirects are followed here, one by
 * one, because the client of JDK 17 would take it along. What comes is checked by size and hash before it gets its name, so a name
 * in the cache always stands for whole content; names of files are not trusted, and weights that can run code (pickle) are not fetched.
 *
 * <p>Reading order: {@code ModelSource}, {@code HubModel}, {@code ModelDownload} (one model), {@code FileDownload} (one file), {@code
 * HubHttp} (one request), {@code HuggingFace} and {@code ModelScope} (what the hubs differ in). Imports {@code core.json}, {@code
 * core.cache}, {@code core.message} and the exceptions of {@code core}; all types are safe for use by several threads, processes may
 * share a cache.
 */
@NullMarked
package dev.finetune4j.core.hub;

import org.jspecify.annotations.NullMarked;
