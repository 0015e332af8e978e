/**
 * A model with its adapters behind the <a href="https://platform.openai.com/docs/api-reference/chat">OpenAI API</a>, with the extensions of vLLM
 * where it has such: {@link dev.finetune4j.examples.server.ModelServer}. The command {@code serve} starts it.
 *
 * <table>
 * <caption>What is answered</caption>
 * <tr><td>{@code GET /}</td><td>the page: the resources in {@code page/} of this package</td></tr>
 * <tr><td>{@code GET /health}</td><td>200 {@code {"status":"ok"}}; 503 while the model is being loaded</td></tr>
 * <tr><td>{@code GET /metrics}</td><td>numbers in Prometheus' text form, under vLLM's names</td></tr>
 * <tr><td>{@code GET /v1/models}, {@code /v1/models/ID}</td><td>the base and its adapters; an adapter has the base as its {@code parent}</td></tr>
 * <tr><td>{@code POST /v1/chat/completions}</td><td>as a whole or as server-sent events; the adapter is the {@code model}</td></tr>
 * <tr><td>{@code POST /v1/completions}</td><td>a text is continued as it is; {@code echo} with {@code logprobs} tells the probabilities of its
 * own tokens too</td></tr>
 * <tr><td>{@code POST /v1/load_lora_adapter}, {@code /v1/unload_lora_adapter}</td><td>{@code {"lora_name","lora_path"}}, with a path in the
 * configured folder</td></tr>
 * <tr><td>{@code GET /v1/adapters}</td><td>the adapters in that folder: {@code {"object":"list","data":[{"lora_path"}]}}</td></tr>
 * <tr><td>{@code GET /v1/training/runs}</td><td>the runs in the configured folder: {@code {"object":"list","data":[{"id","modified"}]}}, the
 * newest first; {@code modified} in seconds since 1970, and {@code status} and {@code error} of those that requests have started</td></tr>
 * <tr><td>{@code GET /v1/training/log?run=ID&from=OFFSET}</td><td>the lines of the run's {@code trainer_log.jsonl} from an offset in bytes on: {@code
 * {"run","lines":[{…}],"next":OFFSET}}; a page asks again with {@code next}</td></tr>
 * <tr><td>{@code POST /v1/training/jobs}</td><td>where trainings are switched on: a LoRA adapter is trained on the model while it serves, with
 * LLaMA-Factory's names {@code {"name","dataset","lora_rank","learning_rate","num_train_epochs","max_steps",
 * "per_device_train_batch_size","gradient_accumulation_steps","cutoff_len","seed"}}; the data set lies in the configured folder, log and adapter
 * go to the run's folder, and the adapter is served under the run's name</td></tr>
 * <tr><td>{@code GET /v1/training/jobs}, {@code /v1/training/jobs/NAME}, {@code POST /v1/training/jobs/NAME/stop}</td><td>{@code
 * {"id","status","step","total_steps","loss","error"}} with the status running, succeeded, stopped or failed</td></tr>
 * </table>
 *
 * <p>Errors have OpenAI's form: {@code {"error":{"message","type","param","code"}}}. With an API key all of {@code /v1} asks for it as {@code
 * Authorization: Bearer KEY}. Without one only this machine is listened to, and only requests that are addressed to it by its loopback
 * names are answered, so that no page of another site can use the server through a browser.
 */
@NullMarked
package dev.finetune4j.examples.server;

import org.jspecify.annotations.NullMarked;
