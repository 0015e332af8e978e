package dev.finetune4j.core.text;

/**
 * A named template as Jinja, for the <a
 * href="https://huggingface.co/docs/transformers/main/en/chat_templating">chat_template.jinja</a> of a folder, so that
 * others write conversations as this library does. All blanks and line breaks that it writes are in literals.
 */
final class TemplateSource {
    private static final String SYSTEM = "{%- if messages and messages[0]['role'] == 'system' %}"
            + "{%- set ns = namespace(system=messages[0]['content']) %}{%- set turns = messages[1:] %}"
            + "{%- else %}{%- set ns = namespace(system=<DEFAULT>) %}{%- set turns = messages %}{%- endif %}\n";

    private final TemplateFormat format;
    private final StringBuilder source = new StringBuilder();

    private TemplateSource(TemplateFormat format) {
        this.format = format;
    }

    static String of(TemplateFormat format, String defaultSystem) {
        TemplateSource made = new TemplateSource(format);
        made.append(SYSTEM.replace("<DEFAULT>", defaultSystem.isEmpty() ? "none" : literal(defaultSystem)));
        made.write(literal(format.prefix()));
        if (!format.systemInUser()) {
            made.append("{%- if ns.system is not none %}").system().append("{%- endif %}\n");
        }
        made.append("{%- for message in turns %}\n{%- if message['role'] == 'user' %}")
                .user()
                .append("\n{%- elif message['role'] == 'assistant' %}")
                .answer()
                .append("\n{%- elif message['role'] == 'tool' %}")
                .tool()
                .append("{%- endif %}\n{%- endfor %}\n")
                .append("{%- if add_generation_prompt %}")
                .write(literal(format.answer().open()))
                .append("{%- endif %}\n");
        return made.source.toString();
    }

    private TemplateSource append(String text) {
        source.append(text);
        return this;
    }

    private TemplateSource write(String... expressions) {
        String all = String.join(" + ", expressions);
        // The dash takes the line break before it away, which is there for human readers.
        return append("{{- " + all + " }}");
    }

    private String trimmed(String expression) {
        return format.trims() ? expression + ".strip()" : expression;
    }

    private TemplateSource system() {
        return write(
                literal(format.system().open()),
                trimmed("ns.system"),
                literal(format.system().close()));
    }

    private TemplateSource user() {
        write(literal(format.user().open()));
        String content = trimmed("message['content']");
        if (format.systemInUser()) {
            // As the published templates do, which trim the turn as a whole.
            boolean vanishes = format.trims() && format.system().open().isEmpty();
            append("{%- if ns.system is not none" + (vanishes ? " and ns.system.strip()" : "") + " %}")
                    .system()
                    .write(format.trims() ? "message['content'].rstrip()" : content)
                    .append("{%- else %}")
                    .write(content)
                    .append("{%- endif %}{%- set ns.system = none %}");
        } else {
            write(content);
        }
        return write(literal(format.user().close()));
    }

    private TemplateSource answer() {
        TemplateFormat.Answer answer = format.answer();
        return write(
                literal(answer.open() + answer.lead()),
                trimmed("message['content']"),
                literal(answer.end() + answer.separator()));
    }

    private TemplateSource tool() {
        TemplateFormat.Tool tool = format.tool();
        return append("{%- if loop.first or loop.previtem['role'] != 'tool' %}")
                .write(literal(tool.open()))
                .append("{%- else %}")
                .write(literal(tool.between()))
                .append("{%- endif %}")
                .write(trimmed("message['content']"))
                .append("{%- if loop.last or loop.nextitem['role'] != 'tool' %}")
                .write(literal(tool.close()))
                .append("{%- endif %}");
    }

    /** A text of a template as an expression; a tokenizer without such a token leaves its slot empty. */
    private static String literal(String text) {
        StringBuilder quoted = new StringBuilder("'");
        String rest = text.replace(ChatTemplate.BOS, "\uE000").replace(ChatTemplate.EOS, "\uE001");
        rest.chars().forEach(c -> {
            switch (c) {
                case '\uE000' -> quoted.append("' + (bos_token or '') + '");
                case '\uE001' -> quoted.append("' + (eos_token or '') + '");
                case '\n' -> quoted.append("\\n");
                case '\t' -> quoted.append("\\t");
                case '\r' -> quoted.append("\\r");
                case '\\', '\'' -> quoted.append('\\').append((char) c);
                default -> quoted.append((char) c);
            }
        });
        return quoted.append("'").toString().replace("'' + ", "").replace(" + ''", "");
    }
}
