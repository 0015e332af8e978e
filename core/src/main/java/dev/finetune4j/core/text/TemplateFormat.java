package dev.finetune4j.core.text;

import static dev.finetune4j.core.text.ChatTemplate.BOS;
import static dev.finetune4j.core.text.ChatTemplate.EOS;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The layout of one chat template as data: the texts that stand around each kind of message. {@link #TABLE} holds all
 * named ones.
 *
 * <p>A name stands for the text that the published models of that name were trained on, as their own
 * <a href="https://huggingface.co/docs/transformers/chat_templating">chat template</a> renders it. Tables of other
 * tools differ: Yi-1.5 has the system text bare before the first turn; Llama 2 has a space on both sides of an
 * answer; Llama 3, Gemma, Llama 2 and Alpaca trim each message; Mistral's releases differ in spaces, hence two names.
 * Where published templates refuse or drop a system text (Mistral, Gemma), it stands before the first user message.
 *
 * @param prefix stands once at the very beginning
 * @param system around the system text; with {@code systemInUser} this block stands inside the first user turn
 * @param systemInUser whether the system text is part of the first user turn
 * @param user around a user message
 * @param answer around an assistant message
 * @param tool around results of tools, or the user turn where the model knows no other
 * @param trims whether white space around each message is dropped
 * @param defaultSystem system text of a conversation that has none; empty for no system block
 * @param stopTokens texts of the tokens that end an answer, beside the tokenizer's end token
 */
record TemplateFormat(
        String prefix,
        Block system,
        boolean systemInUser,
        Block user,
        Answer answer,
        Tool tool,
        boolean trims,
        String defaultSystem,
        List<String> stopTokens) {

    /** Texts before and after a message. */
    record Block(String open, String close) {}

    /**
     * Texts around an assistant message.
     *
     * @param open announces the answer: the prompt ends with it, so it is not trained
     * @param lead first thing that the model itself writes, such as a space; trained
     * @param end ends the answer; trained, otherwise the model would never stop
     * @param separator stands between the end and the next turn. It is not trained: generation stops at the end
     *     token, so the model is never asked to write it, and teaching it would only take weight from the answer
     */
    record Answer(String open, String lead, String end, String separator) {}

    /** Texts before, between and after results of tools that follow each other. */
    record Tool(String open, String between, String close) {
        static Tool of(Block block) {
            return new Tool(block.open(), block.close() + block.open(), block.close());
        }
    }

    /** All that it writes itself, save the system text of a conversation that has none. */
    String texts() {
        return String.join(
                "\n",
                prefix,
                system.open,
                system.close,
                user.open,
                user.close,
                answer.open,
                answer.lead,
                answer.end,
                answer.separator,
                tool.open,
                tool.between,
                tool.close);
    }

    private static final String QWEN_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";
    private static final String ALPACA_SYSTEM = "Below is an instruction that describes a task. "
            + "Write a response that appropriately completes the request.";

    /** All named formats, in the order in which they are listed to users. */
    static final Map<String, TemplateFormat> TABLE = table();

    private static Map<String, TemplateFormat> table() {
        Map<String, TemplateFormat> formats = new LinkedHashMap<>();
        formats.put("yi", yi());
        formats.put("chatml", chatml("", Tool.of(chatmlBlock("tool"))));
        formats.put("qwen", chatml(QWEN_SYSTEM, qwenTool()));
        formats.put("llama2", llama2());
        formats.put("llama3", llama3());
        formats.put("mistral", mistral("[INST] ", "", "", " "));
        formats.put("mistral-v0.3", mistral(" [INST] ", " ", " ", ""));
        formats.put("gemma", gemma());
        formats.put("zephyr", zephyr());
        formats.put("alpaca", alpaca());
        formats.put("default", plain());
        return Collections.unmodifiableMap(formats);
    }

    private static Block chatmlBlock(String role) {
        return new Block("<|im_start|>" + role + "\n", "<|im_end|>\n");
    }

    private static TemplateFormat chatml(String defaultSystem, Tool tool) {
        return new TemplateFormat(
                "",
                chatmlBlock("system"),
                false,
                chatmlBlock("user"),
                new Answer("<|im_start|>assistant\n", "", "<|im_end|>", "\n"),
                tool,
                false,
                defaultSystem,
                List.of("<|im_end|>"));
    }

    /** Qwen shows the results of parallel calls to the model in one user turn. */
    private static Tool qwenTool() {
        return new Tool(
                "<|im_start|>user\n<tool_response>\n",
                "\n</tool_response>\n<tool_response>\n",
                "\n</tool_response><|im_end|>\n");
    }

    private static TemplateFormat yi() {
        TemplateFormat chatml = chatml("", Tool.of(chatmlBlock("user")));
        return new TemplateFormat(
                "", new Block("", ""), false, chatml.user, chatml.answer, chatml.tool, false, "", chatml.stopTokens);
    }

    private static TemplateFormat llama2() {
        Block user = new Block(BOS + "[INST] ", " [/INST]");
        return new TemplateFormat(
                "",
                new Block("<<SYS>>\n", "\n<</SYS>>\n\n"),
                true,
                user,
                new Answer("", " ", " " + EOS, ""),
                Tool.of(user),
                true,
                "",
                List.of());
    }

    private static TemplateFormat llama3() {
        return new TemplateFormat(
                BOS,
                llama3Block("system"),
                false,
                llama3Block("user"),
                new Answer("<|start_header_id|>assistant<|end_header_id|>\n\n", "", "<|eot_id|>", ""),
                Tool.of(llama3Block("tool")),
                true,
                "",
                List.of("<|eot_id|>"));
    }

    private static Block llama3Block(String role) {
        return new Block("<|start_header_id|>" + role + "<|end_header_id|>\n\n", "<|eot_id|>");
    }

    private static TemplateFormat mistral(String open, String lead, String beforeEnd, String separator) {
        Block user = new Block(open, " [/INST]");
        return new TemplateFormat(
                BOS,
                new Block("", "\n\n"),
                true,
                user,
                new Answer("", lead, beforeEnd + EOS, separator),
                Tool.of(user),
                false,
                "",
                List.of());
    }

    private static TemplateFormat gemma() {
        Block user = new Block("<start_of_turn>user\n", "<end_of_turn>\n");
        return new TemplateFormat(
                BOS,
                new Block("", "\n\n"),
                true,
                user,
                new Answer("<start_of_turn>model\n", "", "<end_of_turn>", "\n"),
                Tool.of(user),
                true,
                "",
                List.of("<end_of_turn>"));
    }

    private static TemplateFormat zephyr() {
        Block user = new Block("<|user|>\n", EOS + "\n");
        return new TemplateFormat(
                "",
                new Block("<|system|>\n", EOS + "\n"),
                false,
                user,
                new Answer("<|assistant|>\n", "", EOS, "\n"),
                Tool.of(user),
                false,
                "",
                List.of());
    }

    private static TemplateFormat alpaca() {
        Block user = new Block("### Instruction:\n", "\n\n");
        return new TemplateFormat(
                BOS,
                new Block("", "\n\n"),
                false,
                user,
                new Answer("### Response:\n", "", EOS, "\n\n"),
                Tool.of(user),
                true,
                ALPACA_SYSTEM,
                List.of());
    }

    private static TemplateFormat plain() {
        Block user = new Block("Human: ", EOS + "\n");
        return new TemplateFormat(
                "",
                new Block("System: ", EOS + "\n"),
                false,
                user,
                new Answer("Assistant:", "", EOS, "\n"),
                Tool.of(user),
                false,
                "",
                List.of());
    }
}
