package dev.finetune4j.core.text;

import dev.finetune4j.core.cache.Sha256;
import dev.finetune4j.core.text.jinja.JinjaException;
import dev.finetune4j.core.text.jinja.JinjaTemplate;
import dev.finetune4j.core.text.jinja.JinjaTemplate.Rendering;
import dev.finetune4j.core.text.jinja.python.Allowance;
import java.time.Clock;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A checkpoint's own template in Jinja. It gets the variables that the transformers library gives it: the messages, the
 * tools or none, the special tokens by their names, and whether to announce an answer.
 *
 * <p>What a message says is not read as a special token, since {@link SpecialTokenEscapes} stand for such texts while
 * the template runs, and {@link TemplateInjectionGuard} shows where a template puts a special token together of a message's text.
 *
 * <p>It borrows the tokenizer.
 */
final class JinjaChatTemplate extends ChatTemplate {
    private static final Logger LOG = LoggerFactory.getLogger(JinjaChatTemplate.class);

    /** The name of the template for all purposes. */
    static final String DEFAULT = TokenizerFiles.DEFAULT;

    private static final String FOR_TOOLS = "tool_use";
    private static final String CALLS = CallForm.CALLS;
    /** A character that no template writes by itself. */
    private static final String PROBE = "\u4ece";

    private static final int NAME_DIGITS = 12;

    /** A template that was read, with what is made of messages to check what it writes. */
    private record Parsed(JinjaTemplate jinja, TemplateInjectionGuard guard) {
        static Parsed of(JinjaTemplate jinja, ControlTokens controls) {
            return new Parsed(jinja, new TemplateInjectionGuard(jinja.literals(), jinja.names(), controls));
        }
    }

    private final String name;
    private final Map<String, Parsed> templates;
    private final String sources;
    private final String general;
    private final Tokenizer tokenizer;
    private final ControlTokens controls;
    private final String defaultSystem;
    private final Clock clock;
    private final List<String> stopTokens;
    /** The token that follows an answer when another turn does: its end, or the beginning of that turn. */
    private final Optional<String> nextTurn;

    private final Allowance probing = new Allowance();
    private final AtomicBoolean warned = new AtomicBoolean();

    private JinjaChatTemplate(
            Map<String, JinjaTemplate> read,
            String sources,
            String general,
            Tokenizer tokenizer,
            ControlTokens controls,
            String defaultSystem,
            Clock clock) {
        this.name = "jinja-" + Sha256.hex(sources).substring(0, NAME_DIGITS);
        this.templates = new TreeMap<>();
        read.forEach((use, jinja) -> templates.put(use, Parsed.of(jinja, controls)));
        this.sources = sources;
        this.general = general;
        this.tokenizer = tokenizer;
        this.controls = controls;
        this.defaultSystem = defaultSystem;
        this.clock = clock;
        List<String> written = findStopTokens();
        this.nextTurn = findNextTurn();
        this.stopTokens = written.isEmpty() ? nextTurn.stream().toList() : written;
    }

    /**
     * Reads the templates.
     *
     * @param sources by name, {@code default} among them
     * @throws JinjaException if one cannot be read, or takes time or room without end
     */
    static JinjaChatTemplate of(Map<String, String> sources, Tokenizer tokenizer) {
        return of(sources, tokenizer, Clock.system(ZoneId.systemDefault()));
    }

    static JinjaChatTemplate of(Map<String, String> sources, Tokenizer tokenizer, Clock clock) {
        Map<String, JinjaTemplate> read = new TreeMap<>();
        for (String wanted : List.of(DEFAULT, FOR_TOOLS)) {
            String source = sources.get(wanted);
            if (source != null) {
                read.put(wanted, JinjaTemplate.parse(source));
            }
        }
        String general = sources.getOrDefault(DEFAULT, "");
        String all = general + sources.getOrDefault(FOR_TOOLS, "");
        ControlTokens written =
                tokenizer.controls().with(tokenizer.writtenTokens().in(all));
        JinjaChatTemplate template = new JinjaChatTemplate(read, all, general, tokenizer, written, "", clock);
        ControlTokens around = written.with(template.tokensAroundMessages()).with(template.stopTokens);
        if (template.probing.isExhausted()) {
            throw JinjaException.endless();
        }
        return template.guarding(around);
    }

    @Override
    JinjaChatTemplate guarding(ControlTokens more) {
        return more.texts().equals(controls.texts()) ? this : with(more, defaultSystem);
    }

    private JinjaChatTemplate with(ControlTokens otherControls, String otherSystem) {
        Map<String, JinjaTemplate> read = new TreeMap<>();
        templates.forEach((use, parsed) -> read.put(use, parsed.jinja()));
        return new JinjaChatTemplate(read, sources, general, tokenizer, otherControls, otherSystem, clock);
    }

    @Override
    ControlTokens controls(Tokenizer ofEncoder) {
        return controls;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String jinjaSource() {
        return general;
    }

    @Override
    public List<String> stopTokens() {
        return stopTokens;
    }

    @Override
    public ChatTemplate withDefaultSystem(String system) {
        return with(controls, Objects.requireNonNull(system, "system"));
    }

    @Override
    boolean usesEos() {
        return false;
    }

    @Override
    public List<Segment> render(Conversation conversation, boolean addGenerationPrompt) {
        return render(conversation, addGenerationPrompt, true, new Allowance());
    }

    /** As the template writes it: nothing is put behind an answer that has no end, nor is it refused. */
    @Override
    List<Segment> render(Conversation conversation, boolean addGenerationPrompt, Allowance allowance) {
        return render(conversation, addGenerationPrompt, false, allowance);
    }

    private List<Segment> render(
            Conversation conversation, boolean addGenerationPrompt, boolean ended, Allowance allowance) {
        Conversation full = withSystem(conversation, defaultSystem);
        boolean calls =
                full.messages().stream().anyMatch(message -> message.fields().containsKey(CALLS));
        IllegalArgumentException first = null;
        for (CallForm form : calls ? CallForm.ALL : List.of(CallForm.USUAL)) {
            try {
                return render(new Job(full, form, allowance), addGenerationPrompt, ended);
            } catch (IllegalArgumentException e) {
                first = first == null ? e : first;
            }
        }
        throw Objects.requireNonNull(first);
    }

    private List<Segment> render(Job job, boolean addGenerationPrompt, boolean ended) {
        Rendering whole = job.write(job.messages.size(), addGenerationPrompt);
        job.requireOwnSpecialTokens(whole.text(), addGenerationPrompt);
        if (job.template.marksGenerations() && whole.exactGenerations()) {
            return job.escapes.segments(whole.text(), AssistantMask.merged(whole.generations()));
        }
        try {
            AssistantMask mask = job.answers(whole, !addGenerationPrompt, ended && !addGenerationPrompt);
            String appended = addGenerationPrompt ? "" : mask.appended();
            return job.escapes.segments(whole.text() + appended, mask.found());
        } catch (IllegalArgumentException e) {
            if (!addGenerationPrompt) {
                throw e;
            }
            return job.escapes.segments(whole.text(), List.of());
        }
    }

    /** The added token that the template writes right after an answer, if there is one. */
    private List<String> findStopTokens() {
        try {
            Conversation probe = Conversation.of(ChatMessage.user(PROBE), ChatMessage.assistant(PROBE));
            String text =
                    new Job(probe, CallForm.USUAL, probing).write(2, false).text();
            int end = text.lastIndexOf(PROBE);
            String tail = end < 0 ? "" : text.substring(end + PROBE.length());
            return tokenizer.addedTokenAt(tail.stripLeading()).stream().toList();
        } catch (IllegalArgumentException e) {
            return List.of();
        }
    }

    /** The added tokens that the template writes between messages, such as those made of a role's name. */
    private Set<String> tokensAroundMessages() {
        Set<String> found = new TreeSet<>();
        List<ChatMessage> turns =
                List.of(ChatMessage.user(PROBE), ChatMessage.assistant(PROBE), ChatMessage.user(PROBE));
        List<ChatMessage> withSystem = new ArrayList<>(turns);
        withSystem.add(0, ChatMessage.system(PROBE));
        for (List<ChatMessage> probe : List.of(turns, withSystem)) {
            try {
                String text = new Job(new Conversation(probe), CallForm.USUAL, probing)
                        .write(probe.size(), false)
                        .text();
                found.addAll(tokenizer.writtenTokens().around(PROBE, text));
            } catch (IllegalArgumentException e) {
                // A template may refuse a system text, or what a probe says; then the source alone tells its tokens.
            }
        }
        return found;
    }

    /** The token with which the next turn begins right after an answer, unless it begins a text. */
    private Optional<String> findNextTurn() {
        try {
            Conversation probe = Conversation.of(
                    ChatMessage.user(PROBE), ChatMessage.assistant(PROBE + PROBE), ChatMessage.user(PROBE));
            String text =
                    new Job(probe, CallForm.USUAL, probing).write(3, false).text();
            int answer = text.indexOf(PROBE + PROBE);
            String tail = answer < 0 ? "" : text.substring(answer + 2 * PROBE.length());
            return tokenizer
                    .addedTokenAt(tail)
                    .filter(token -> !tokenizer.bosToken().equals(Optional.of(token)));
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }

    /** One conversation in the making; all its renderings see the same time, and share an allowance. */
    private final class Job {
        final List<ChatMessage> messages;
        final SpecialTokenEscapes escapes;
        private final JinjaTemplate template;
        private final TemplateInjectionGuard guard;
        private final @Nullable Object tools;
        private final Map<?, ?> further;
        private final List<Object> values = new ArrayList<>();
        private final Clock now = Clock.fixed(clock.instant(), clock.getZone());
        private final Allowance allowance;

        Job(Conversation conversation, CallForm form, Allowance allowance) {
            this.allowance = allowance;
            this.messages = conversation.messages();
            List<Object> raw = new ArrayList<>();
            messages.forEach(message -> raw.add(form.of(value(message))));
            this.escapes = SpecialTokenEscapes.of(
                    List.of(raw, conversation.tools(), conversation.templateVariables()), sources, controls::spelledIn);
            raw.forEach(message -> values.add(Objects.requireNonNull(escapes.putInto(message))));
            this.further = (Map<?, ?>) Objects.requireNonNull(escapes.putInto(conversation.templateVariables()));
            boolean withTools = !conversation.tools().isEmpty();
            this.tools = withTools ? escapes.putInto(conversation.tools()) : null;
            Parsed general = Objects.requireNonNull(templates.get(DEFAULT), DEFAULT);
            Parsed chosen = withTools ? templates.getOrDefault(FOR_TOOLS, general) : general;
            this.template = chosen.jinja();
            this.guard = chosen.guard();
        }

        private Map<String, @Nullable Object> value(ChatMessage message) {
            Map<String, @Nullable Object> value = new LinkedHashMap<>();
            value.put("role", message.role().name().toLowerCase(Locale.ROOT));
            value.put("content", message.content());
            value.putAll(message.fields());
            return value;
        }

        /** Writes the first messages. */
        Rendering write(int count, boolean addGenerationPrompt) {
            return write(values.subList(0, count), tools, addGenerationPrompt);
        }

        private Rendering write(List<?> messages, @Nullable Object tools, boolean addGenerationPrompt) {
            Map<String, @Nullable Object> variables = new LinkedHashMap<>(tokenizer.namedTokens());
            variables.put("messages", messages);
            variables.put("tools", tools);
            variables.put("documents", null);
            further.forEach((variable, value) -> variables.put((String) variable, value));
            variables.put("add_generation_prompt", addGenerationPrompt);
            try {
                return template.render(variables, now, allowance);
            } catch (JinjaException e) {
                throw refused("the checkpoint's own chat template", e);
            }
        }

        /**
         * Makes sure that no text of a message became a part of a special token.
         *
         * @throws IllegalArgumentException if one did
         */
        void requireOwnSpecialTokens(String text, boolean addGenerationPrompt) {
            List<String> found = controls.of(text);
            if (found.isEmpty()) {
                return;
            }
            List<Object> silent = new ArrayList<>();
            values.forEach(message -> silent.add(guard.message((Map<?, ?>) message, escapes)));
            String written = write(silent, guard.value(tools, escapes), addGenerationPrompt)
                    .text();
            List<String> own = controls.of(written);
            if (!found.equals(own)) {
                int place = 0;
                while (place < found.size() - 1
                        && place < own.size()
                        && found.get(place).equals(own.get(place))) {
                    place++;
                }
                throw new IllegalArgumentException("the checkpoint's own chat template writes the special token "
                        + found.get(place) + " with a part of it taken from a message, or depending on a message's"
                        + " text, so that what a message says would control the model; change the message, or name"
                        + " another template");
            }
        }

        private AssistantMask.Ends ends(boolean required) {
            List<String> ends = new ArrayList<>(stopTokens);
            tokenizer.eosToken().ifPresent(ends::add);
            return new AssistantMask.Ends(
                    ends, ends.stream().filter(controls::contains).toList(), nextTurn, tokenizer.eosToken(), required);
        }

        /** Finds the answers in the whole. */
        AssistantMask answers(Rendering whole, boolean forTraining, boolean ended) {
            AssistantMask mask = new AssistantMask(whole.text(), ends(ended));
            int last = messages.size() - 1;
            while (last >= 0 && messages.get(last).role() != Role.ASSISTANT) {
                last--;
            }
            for (int i = 0; i <= last; i++) {
                if (messages.get(i).role() == Role.ASSISTANT) {
                    int answer = i;
                    mask.add(
                            i,
                            i == last,
                            write(i, true).text(),
                            write(i + 1, false).text(),
                            called(i),
                            () -> marked(answer, !forTraining));
                }
            }
            if (forTraining && mask.leftOut() && warned.compareAndSet(false, true)) {
                LOG.warn("the checkpoint's own chat template writes earlier answers differently once other messages"
                        + " follow, such as without their thoughts; those are not trained, only later ones");
            }
            return mask;
        }

        /** The names of the functions that an answer calls. */
        private List<String> called(int answer) {
            List<String> names = new ArrayList<>();
            if (((Map<?, ?>) values.get(answer)).get(CALLS) instanceof List<?> calls) {
                for (Object call : calls) {
                    Object function = call instanceof Map<?, ?> map ? map.get("function") : null;
                    if (function instanceof Map<?, ?> map && map.get("name") instanceof String called) {
                        names.add(called);
                    }
                }
            }
            return names;
        }

        /**
         * The whole with a mark as one answer. Further fields, such as thoughts, may be written or not: no mark tells. Calls
         * are told by the names of their functions.
         */
        private MarkedAnswer marked(int answer, boolean addGenerationPrompt) {
            Map<?, ?> message = (Map<?, ?>) values.get(answer);
            boolean plain =
                    Set.of(CALLS).containsAll(messages.get(answer).fields().keySet());
            Object content = message.get("content");
            if (!plain || !(content == null || content instanceof String)) {
                return MarkedAnswer.NONE;
            }
            String mark = escapes.mark();
            List<Object> others = new ArrayList<>(values);
            others.set(answer, Map.of("role", "assistant", "content", mark));
            try {
                String text = write(others, tools, addGenerationPrompt).text();
                return MarkedAnswer.of(text, mark, content == null ? "" : (String) content, called(answer));
            } catch (IllegalArgumentException e) {
                // A template that refuses the mark does not let the answer be found by it.
                return MarkedAnswer.NONE;
            }
        }
    }
}
