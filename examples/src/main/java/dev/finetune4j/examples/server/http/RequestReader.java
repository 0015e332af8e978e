package dev.finetune4j.examples.server.http;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Reads requests within the limits. What two readers could understand differently (a length twice, spaces in names) is refused. */
final class RequestReader {
    private static final Pattern TOKEN = Pattern.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+");
    private static final Pattern LINE = Pattern.compile("([A-Z]{1,16}) (/[\\x21-\\x7e]*|\\*) HTTP/1\\.([01])");
    private static final Pattern DIGITS = Pattern.compile("[0-9]{1,18}");
    private static final Pattern HEX = Pattern.compile("[0-9A-Fa-f]{1,8}");
    private static final int MAX_HEADERS = 100;
    private static final int MAX_CHUNK_LINE = 256;

    private final Wire wire;
    private final HttpLimits limits;

    RequestReader(Wire wire, HttpLimits limits) {
        this.wire = wire;
        this.limits = limits;
    }

    /**
     * Waits for the next request.
     *
     * @return null when the client has closed the connection or left it idle for too long
     */
    @Nullable
    RequestHead head() throws IOException {
        int first = first();
        if (first < 0) {
            return null;
        }
        long deadline = System.nanoTime() + limits.headerTime().toNanos();
        try {
            Budget budget = new Budget(limits.maxHeaderBytes());
            String line = line((char) first, budget, deadline);
            var parts = LINE.matcher(line);
            if (!parts.matches()) {
                throw new HttpFailure(400, "the first line is no request line of HTTP/1.1");
            }
            int minor = parts.group(3).charAt(0) - '0';
            RequestHead head = new RequestHead(parts.group(1), parts.group(2), minor, headers(budget, deadline));
            if (minor == 1 && head.header("host").isEmpty()) {
                throw new HttpFailure(400, "the header Host is missing");
            }
            return head;
        } catch (SocketTimeoutException e) {
            throw new HttpFailure(
                    408, "the headers took longer than " + limits.headerTime().toMillis() + " ms");
        }
    }

    /** The first byte of a request; empty lines before it are passed over. */
    private int first() throws IOException {
        long deadline = System.nanoTime() + limits.idleTime().toNanos();
        try {
            int first = wire.read(deadline);
            for (int i = 0; i < 4 && (first == '\r' || first == '\n'); i++) {
                first = wire.read(deadline);
            }
            return first;
        } catch (SocketTimeoutException e) {
            return -1;
        }
    }

    private static final class Budget {
        private int left;

        Budget(int left) {
            this.left = left;
        }

        void spend() throws HttpFailure {
            if (--left < 0) {
                throw new HttpFailure(431, "the request line and the headers are too long");
            }
        }
    }

    private Map<String, String> headers(Budget budget, long deadline) throws IOException {
        Map<String, String> headers = new LinkedHashMap<>();
        for (int count = 0; ; count++) {
            String line = line(null, budget, deadline);
            if (line.isEmpty()) {
                return headers;
            }
            if (count == MAX_HEADERS) {
                throw new HttpFailure(431, "there are more than " + MAX_HEADERS + " headers");
            }
            int colon = line.indexOf(':');
            if (colon < 0 || !TOKEN.matcher(line.substring(0, colon)).matches()) {
                throw new HttpFailure(400, "a header is not a name, a colon and a value");
            }
            String name = lower(line.substring(0, colon));
            String value = line.substring(colon + 1).strip();
            String earlier = headers.put(name, value);
            if (earlier != null) {
                if (name.equals("host") || name.equals("content-length") || name.equals("transfer-encoding")) {
                    throw new HttpFailure(400, "the header " + name + " stands twice");
                }
                headers.put(name, earlier + ", " + value);
            }
        }
    }

    private static String lower(String text) {
        return text.toLowerCase(Locale.ROOT);
    }

    private String line(@Nullable Character first, Budget budget, long deadline) throws IOException {
        StringBuilder line = new StringBuilder();
        if (first != null) {
            line.append(first.charValue());
        }
        while (true) {
            int c = wire.read(deadline);
            budget.spend();
            if (c < 0) {
                throw new EOFException("the client has gone");
            }
            if (c == '\n') {
                if (line.length() > 0 && line.charAt(line.length() - 1) == '\r') {
                    line.setLength(line.length() - 1);
                }
                return line.toString();
            }
            if (c == 0x7f || (c < ' ' && c != '\r' && c != '\t')) {
                throw new HttpFailure(400, "a control character stands in the headers");
            }
            line.append((char) c);
        }
    }

    /**
     * The body of a request.
     *
     * @throws HttpFailure when it is longer than allowed, not announced as it must be, or takes too long
     */
    byte[] body(RequestHead head) throws IOException {
        String encoding = head.header("transfer-encoding");
        String length = head.header("content-length");
        if (!encoding.isEmpty() && !length.isEmpty()) {
            throw new HttpFailure(400, "both Content-Length and Transfer-Encoding are given; give one");
        }
        if (!encoding.isEmpty() && (!encoding.equalsIgnoreCase("chunked") || head.minor() == 0)) {
            throw new HttpFailure(501, "the only transfer encoding that is understood is chunked, of HTTP/1.1");
        }
        if (!length.isEmpty() && !DIGITS.matcher(length).matches()) {
            throw new HttpFailure(400, "Content-Length is no number");
        }
        long announced = length.isEmpty() ? 0 : Long.parseLong(length);
        requireFits(announced);
        if (head.header("expect").equalsIgnoreCase("100-continue") && head.minor() == 1) {
            wire.write("HTTP/1.1 100 Continue\r\n\r\n");
        }
        long deadline = System.nanoTime() + limits.bodyTime().toNanos();
        try {
            if (!encoding.isEmpty()) {
                return chunks(deadline);
            }
            ByteArrayOutputStream body = new ByteArrayOutputStream();
            wire.read(body, announced, deadline);
            return body.toByteArray();
        } catch (SocketTimeoutException e) {
            throw new HttpFailure(
                    408, "the body took longer than " + limits.bodyTime().toMillis() + " ms");
        }
    }

    private void requireFits(long bytes) throws HttpFailure {
        if (bytes > limits.maxBodyBytes()) {
            throw new HttpFailure(
                    413, "the body is longer than " + limits.maxBodyBytes() + " bytes; send less at once");
        }
    }

    private byte[] chunks(long deadline) throws IOException {
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        while (true) {
            String line = line(null, new Budget(MAX_CHUNK_LINE), deadline);
            String size =
                    line.contains(";") ? line.substring(0, line.indexOf(';')).strip() : line;
            if (!HEX.matcher(size).matches()) {
                throw new HttpFailure(400, "the size of a chunk is no hexadecimal number");
            }
            long bytes = Long.parseLong(size, 16);
            requireFits(body.size() + bytes);
            if (bytes == 0) {
                headers(new Budget(limits.maxHeaderBytes()), deadline);
                return body.toByteArray();
            }
            wire.read(body, bytes, deadline);
            if (!line(null, new Budget(2), deadline).isEmpty()) {
                throw new HttpFailure(400, "a chunk is longer than its size");
            }
        }
    }
}
