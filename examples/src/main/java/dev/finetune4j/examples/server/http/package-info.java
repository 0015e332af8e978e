/**
 * The part of <a href="https://www.rfc-editor.org/rfc/rfc9112">HTTP/1.1</a> that the server needs: {@link
 * dev.finetune4j.examples.server.http.HttpListener} takes connections and hands each request as {@link
 * dev.finetune4j.examples.server.http.HttpCall} to a {@link dev.finetune4j.examples.server.http.HttpHandler}.
 *
 * <p>The JDK's {@code com.sun.net.httpserver} does not do for a model. Its exchange cannot tell that a client that waits for a whole answer has
 * gone: measured on JDK 17, all 256 tokens of an answer were computed for a client that left after the tenth. Slow clients hold the threads of
 * its executor, for headers without a time limit: beside 16 of them and 16 threads a further request got no answer in 20 seconds. Its limits are
 * properties of the process, read once, and what goes beyond them ends without an answer. Here a thread reads with a deadline, a client that
 * is gone is seen between two tokens, and limits belong to a listener.
 *
 * <p>Each connection has a thread: a virtual one where the JVM has them (21 and newer), otherwise one of a pool as large as the number of connections
 * that are allowed. No TLS: a reverse proxy does that.
 */
@NullMarked
package dev.finetune4j.examples.server.http;

import org.jspecify.annotations.NullMarked;
