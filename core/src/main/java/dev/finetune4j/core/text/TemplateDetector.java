package dev.finetune4j.core.text;

import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * Recognises published Jinja templates by pieces of their source that decide what they write. The source is read as
 * {@link JinjaOutline}, so quotes, line breaks and blanks between its signs do not matter.
 *
 * <p>A rule names pieces that must be there and pieces that must not, so that a relative with another default system
 * text, a date, thinking or other spaces is not taken for the plain one. No rule means no answer.
 */
final class TemplateDetector {
    /**
     * One template.
     *
     * @param required pieces that the source must have
     * @param forbidden pieces that it must not have
     */
    private record Rule(String name, List<String> required, List<String> forbidden) {
        boolean matches(String source) {
            return required.stream().allMatch(source::contains)
                    && forbidden.stream().noneMatch(source::contains)
                    && (writesText() || !source.contains(JinjaOutline.TEXT))
                    && (source.contains("tools") || !writesMore(source));
        }

        /** Whether a literal is written beside the required pieces; with tools there always are some. */
        private boolean writesMore(String source) {
            String rest = REFUSAL.matcher(source).replaceAll("");
            for (String piece : required) {
                rest = rest.replace(piece, "");
            }
            return writesLiteral(rest.replace(LLAMA3_ANSWER, ""));
        }

        /** Whether a quote stands between two opening braces and the next closing one. */
        private static boolean writesLiteral(String source) {
            boolean open = false;
            for (int i = 0; i < source.length(); i++) {
                char c = source.charAt(i);
                if (open && c == '\'') {
                    return true;
                }
                open = c != '}' && (open || source.startsWith("{{", i));
            }
            return false;
        }

        private boolean writesText() {
            return required.stream().anyMatch(piece -> piece.contains(JinjaOutline.TEXT));
        }
    }

    /** Far more than a published template has. */
    private static final int MAX_LENGTH = 1 << 20;

    private static final Pattern REFUSAL = Pattern.compile("raise_exception\\('[^']*'\\)");
    private static final String LLAMA3_ANSWER = "message.content|trim+'<|eot_id|>'";

    /** Signs of a template that writes more than the messages, or writes them differently from turn to turn. */
    private static final List<String> UNUSUAL =
            List.of("think", "reasoning", "date_string", "strftime_now", "documents", "message.name", "macro");

    private static final String CHATML_TURN = "'<|im_start|>'+message.role+'\\n'+message.content+'<|im_end|>\\n'";
    private static final String CHATML_PROMPT = "'<|im_start|>assistant\\n'";
    private static final String LLAMA3_TURN =
            "'<|start_header_id|>'+message.role+'<|end_header_id|>\\n\\n'+message.content|trim+'<|eot_id|>'";

    private static final List<Rule> RULES = List.of(
            new Rule(
                    "yi",
                    List.of(
                            "{{system_message}}{%endif%}{%for",
                            "'<|im_start|>user\\n'+content+'<|im_end|>\\n<|im_start|>assistant\\n'",
                            "content+'<|im_end|>\\n'"),
                    List.of("trim", "bos_token")),
            new Rule(
                    "chatml",
                    List.of(CHATML_TURN, CHATML_PROMPT),
                    List.of("<|im_start|>system", "trim", "bos_token", "default", "tools", "raise_exception", "loop.")),
            new Rule(
                    "qwen",
                    List.of(
                            "'<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. "
                                    + "You are a helpful assistant.<|im_end|>\\n'",
                            CHATML_PROMPT),
                    List.of("trim", "bos_token", "image", "vision")),
            new Rule(
                    "llama3",
                    List.of(LLAMA3_TURN, "bos_token", "'<|start_header_id|>assistant<|end_header_id|>\\n\\n'"),
                    List.of("<|start_header_id|>system", "tools", "eos_token", "default")),
            new Rule(
                    "llama2",
                    List.of(
                            "bos_token+'[INST] '+content.strip()+' [/INST]'",
                            "' '+content.strip()+' '+eos_token",
                            "'<<SYS>>\\n'+system_message+'\\n<</SYS>>\\n\\n'"),
                    List.of("You are a", "DEFAULT_SYSTEM")),
            new Rule(
                    "mistral",
                    List.of("bos_token", "'[INST] '+message.content+' [/INST]'", "message.content+eos_token+' '"),
                    List.of("system_message", "trim", "tools")),
            new Rule(
                    "mistral-v0.3",
                    List.of("bos_token", "' [INST] '+message.content+' [/INST]'", "' '+message.content+' '+eos_token"),
                    List.of("system_message", "trim")),
            new Rule(
                    "gemma",
                    List.of(
                            "{{bos_token}}",
                            "'<start_of_turn>'+role+'\\n'+message.content|trim+'<end_of_turn>\\n'",
                            "'<start_of_turn>model\\n'"),
                    List.of("tools", "image")),
            new Rule(
                    "zephyr",
                    List.of(
                            "{{'<|user|>\\n'+message.content+eos_token}}" + JinjaOutline.TEXT + "\\n",
                            "{{'<|system|>\\n'+message.content+eos_token}}" + JinjaOutline.TEXT + "\\n",
                            "{{'<|assistant|>\\n'+message.content+eos_token}}" + JinjaOutline.TEXT + "\\n",
                            "{%ifloop.lastandadd_generation_prompt%}{{'<|assistant|>'}}" + JinjaOutline.TEXT + "\\n"),
                    List.of("trim", "bos_token")));

    private TemplateDetector() {}

    static Optional<String> detect(String source) {
        if (source.length() > MAX_LENGTH) {
            return Optional.empty();
        }
        String outline = JinjaOutline.of(source);
        if (UNUSUAL.stream().anyMatch(outline::contains)) {
            return Optional.empty();
        }
        return RULES.stream()
                .filter(rule -> rule.matches(outline))
                .map(Rule::name)
                .findFirst();
    }
}
