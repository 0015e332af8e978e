package dev.finetune4j.lora.hostile;

import java.util.List;
import java.util.Random;

/** Writes chat templates at random from all that the language has, with values that are as long as they may be. */
final class JinjaWriter {
    private static final List<String> ATOMS = List.of(
            "messages",
            "messages[0]",
            "messages[0].content",
            "messages[0]['role']",
            "bos_token",
            "eos_token",
            "add_generation_prompt",
            "tools",
            "loop",
            "loop.index",
            "v",
            "w",
            "n",
            "n.x",
            "m",
            "caller",
            "none",
            "true",
            "0",
            "1",
            "-1",
            "7",
            "3.5",
            "1e300",
            "1e-300",
            "100000",
            "4000000",
            "2147483647",
            "10**18",
            "3**60000",
            "'a'",
            "''",
            "','",
            "'<|im_end|>'",
            "'%s'",
            "'{0!r}'",
            "'x\\ny'",
            "'a'*4000000",
            "'ab '*1300000",
            "'\u00e9'*2000000",
            "'<&'*100000",
            "'\\n'*100000",
            "'9'*4300",
            "range(99999)",
            "range(100000)|list",
            "range(10, 0, -1)",
            "[]",
            "[[]]*100000",
            "['a'*4000000]*100000",
            "{'a': 1}",
            "{}",
            "('a', 1)",
            "('a',)*100000",
            "namespace(x=1)",
            "cycler('a', 'b')",
            "joiner(', ')",
            "dict(a=1)",
            "strftime_now('%Y')");

    private static final List<String> FILTERS = List.of(
            "abs",
            "attr",
            "batch",
            "capitalize",
            "center",
            "count",
            "default",
            "dictsort",
            "escape",
            "filesizeformat",
            "first",
            "float",
            "forceescape",
            "format",
            "groupby",
            "indent",
            "int",
            "items",
            "join",
            "last",
            "length",
            "list",
            "lower",
            "map",
            "max",
            "min",
            "reject",
            "rejectattr",
            "replace",
            "reverse",
            "round",
            "safe",
            "select",
            "selectattr",
            "slice",
            "sort",
            "string",
            "striptags",
            "sum",
            "title",
            "tojson",
            "trim",
            "truncate",
            "unique",
            "upper",
            "urlencode",
            "wordcount",
            "xmlattr");

    private static final List<String> METHODS = List.of(
            "append",
            "capitalize",
            "casefold",
            "center",
            "clear",
            "copy",
            "count",
            "endswith",
            "expandtabs",
            "extend",
            "find",
            "format",
            "get",
            "index",
            "insert",
            "isalnum",
            "isdigit",
            "items",
            "join",
            "keys",
            "ljust",
            "lower",
            "lstrip",
            "next",
            "partition",
            "pop",
            "remove",
            "replace",
            "reverse",
            "rfind",
            "rsplit",
            "rstrip",
            "setdefault",
            "sort",
            "split",
            "splitlines",
            "startswith",
            "strip",
            "title",
            "update",
            "upper",
            "values",
            "zfill");

    private static final List<String> TESTS = List.of(
            "defined", "none", "string", "mapping", "iterable", "number", "in messages", "upper", "divisibleby(3)");
    private static final List<String> OPERATORS =
            List.of("+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "not in", "and", "or");
    private static final List<String> NAMES = List.of("v", "w", "n", "n.x", "x");

    private final Random random;

    JinjaWriter(Random random) {
        this.random = random;
    }

    String template() {
        return "{% set v = 'a' %}{% set w = range(1000)|list %}{% set n = namespace(x=1) %}" + body(0);
    }

    private static <T> T pick(Random random, List<T> list) {
        return list.get(random.nextInt(list.size()));
    }

    private String body(int depth) {
        StringBuilder text = new StringBuilder();
        for (int i = 1 + random.nextInt(3); i > 0; i--) {
            text.append(statement(depth));
        }
        return text.toString();
    }

    String statement(int depth) {
        if (depth > 3) {
            return "{{ " + expression(2) + " }}";
        }
        int inner = depth + 1;
        return switch (random.nextInt(14)) {
            case 0, 1 -> "{% set " + pick(random, NAMES) + " = " + expression(0) + " %}";
            case 2, 3 -> "{% for a in " + expression(1) + " %}" + body(inner) + "{% endfor %}";
            case 4 ->
                "{% for a in " + expression(1) + " if " + expression(2) + " %}" + body(inner)
                        + "{% else %}{{ a }}{% endfor %}";
            case 5 ->
                "{% for a in " + expression(2) + " recursive %}" + body(inner) + "{{ loop(" + expression(2)
                        + ") }}{% endfor %}";
            case 6 -> "{% if " + expression(1) + " %}" + body(inner) + "{% else %}" + body(inner) + "{% endif %}";
            case 7 ->
                "{% macro m(a, b=" + expression(2) + ") %}" + body(inner) + "{{ m(a) }}{% endmacro %}{{ m("
                        + expression(2) + ") }}";
            case 8 ->
                "{% macro m(a) %}{{ caller(a) }}{% endmacro %}{% call(x) m(" + expression(2) + ") %}" + body(inner)
                        + "{% endcall %}";
            case 9 -> "{% filter " + pick(random, FILTERS) + " %}" + body(inner) + "{% endfilter %}";
            case 10 -> "{% set v %}" + body(inner) + "{% endset %}";
            case 11 ->
                "{% for message in messages %}{{ message.role }}" + body(inner)
                        + "{{ message.content }}<|im_end|>{% endfor %}";
            default -> "{{ " + expression(0) + " }}";
        };
    }

    private String expression(int depth) {
        if (depth > 4) {
            return pick(random, ATOMS);
        }
        int inner = depth + 1;
        return switch (random.nextInt(11)) {
            case 0, 1 -> "(" + expression(inner) + ")|" + pick(random, FILTERS) + arguments(inner);
            case 2, 3 -> "(" + expression(inner) + ")." + pick(random, METHODS) + "(" + list(inner) + ")";
            case 4, 5 -> "(" + expression(inner) + " " + pick(random, OPERATORS) + " " + expression(inner) + ")";
            case 6 -> "(" + expression(inner) + ")[" + subscript(inner) + "]";
            case 7 ->
                switch (random.nextInt(4)) {
                    case 0 -> "[" + list(inner) + "]";
                    case 1 -> "{" + expression(inner) + ": " + expression(inner) + "}";
                    case 2 -> "(" + expression(inner) + " is " + pick(random, TESTS) + ")";
                    default ->
                        "(" + expression(inner) + " if " + expression(inner) + " else " + expression(inner) + ")";
                };
            default -> pick(random, ATOMS);
        };
    }

    private String subscript(int depth) {
        return switch (random.nextInt(3)) {
            case 0 -> "::-1";
            case 1 -> expression(depth) + ":" + expression(depth);
            default -> expression(depth);
        };
    }

    private String arguments(int depth) {
        if (random.nextInt(3) == 0) {
            return "(attribute=" + expression(depth + 1) + ")";
        }
        return random.nextBoolean() ? "(" + list(depth) + ")" : "";
    }

    private String list(int depth) {
        StringBuilder text = new StringBuilder();
        for (int i = random.nextInt(3); i > 0; i--) {
            text.append(text.isEmpty() ? "" : ", ");
            text.append(random.nextInt(3) == 0 ? "'" + pick(random, FILTERS) + "'" : expression(depth + 1));
        }
        return text.toString();
    }
}
