package dev.finetune4j.core.text;

import dev.finetune4j.core.cache.Sha256;
import dev.finetune4j.core.text.jinja.JinjaException;
import dev.finetune4j.core.text.jinja.JinjaTemplate.Rendering;
import dev.finetune4j.core.text.jinja.python.Allowance;
import java.time.Clock;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
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

    private static final int NAME_DIGITS = 12;

    private final String name;
    private final CheckpointTemplates templates;
    private final String defaultSystem;
    private final TemplateProbe probe;
    private final List<String> stopTokens;
    /** The token that follows an answer when another turn does: its end, or the beginning of that turn. */
    private final Optional<String> nextTurn;

    private final AtomicBoolean warned = new AtomicBoolean();

    private JinjaChatTemplate(CheckpointTemplates templates, String defaultSystem) {
        this.name = "jinja-" + Sha256.hex(templates.sources()).substring(0, NAME_DIGITS);
        this.templates = templates;
        this.defaultSystem = defaultSystem;
        this.probe = new TemplateProbe(templates);
        Optional<String> written = probe.stopToken();
        this.nextTurn = probe.nextTurn();
        this.stopTokens = Stream.concat(
                        written.or(() -> nextTurn).stream(),
                        Stream.of(ObservationForm.TOKEN).filter(token -> templates.observes()))
                .toList();
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
        CheckpointTemplates read = CheckpointTemplates.parse(sources, tokenizer, clock);
        JinjaChatTemplate template = new JinjaChatTemplate(read, "");
        ControlTokens around =
                read.controls().with(template.probe.tokensAroundMessages()).with(template.stopTokens);
        if (template.probe.isExhausted()) {
            throw JinjaException.endless();
        }
        return template.guarding(around);
    }

    @Override
    JinjaChatTemplate guarding(ControlTokens more) {
        return more.texts().equals(templates.controls().texts())
                ? this
                : new JinjaChatTemplate(templates.guarding(more), defaultSystem);
    }

    @Override
    ControlTokens controls(Tokenizer ofEncoder) {
        return templates.controls();
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String jinjaSource() {
        return templates.general().source();
    }

    @Override
    public List<String> stopTokens() {
        return stopTokens;
    }

    @Override
    public boolean reads(String variable) {
        return templates.reads(Objects.requireNonNull(variable, "variable"));
    }

    @Override
    public ChatTemplate withDefaultSystem(String system) {
        return new JinjaChatTemplate(templates, Objects.requireNonNull(system, "system"));
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
                full.messages().stream().anyMatch(message -> message.fields().containsKey(CallForm.CALLS));
        IllegalArgumentException first = null;
        for (CallForm form : calls ? CallForm.ALL : List.of(CallForm.USUAL)) {
            try {
                return render(new TemplateRun(templates, full, form, allowance), addGenerationPrompt, ended);
            } catch (IllegalArgumentException e) {
                first = first == null ? e : first;
            }
        }
        throw Objects.requireNonNull(first);
    }

    private List<Segment> render(TemplateRun run, boolean addGenerationPrompt, boolean ended) {
        Rendering whole = run.write(run.messages().size(), addGenerationPrompt);
        run.requireOwnSpecialTokens(whole.text(), addGenerationPrompt);
        if (run.marksGenerations() && whole.exactGenerations()) {
            return run.escapes().segments(whole.text(), AssistantMask.merged(whole.generations()));
        }
        try {
            AssistantMask mask = answers(run, whole, !addGenerationPrompt, ended && !addGenerationPrompt);
            String appended = addGenerationPrompt ? "" : mask.appended();
            return run.escapes().segments(whole.text() + appended, mask.found());
        } catch (IllegalArgumentException e) {
            if (!addGenerationPrompt) {
                throw e;
            }
            return run.escapes().segments(whole.text(), List.of());
        }
    }

    private AssistantMask.Ends ends(boolean required) {
        Optional<String> eos = templates.tokenizer().eosToken();
        List<String> ends = new ArrayList<>(stopTokens);
        eos.ifPresent(ends::add);
        return new AssistantMask.Ends(
                ends,
                ends.stream().filter(templates.controls()::contains).toList(),
                nextTurn,
                templates.observes() ? Optional.of(ObservationForm.TOKEN) : nextTurn,
                eos,
                required);
    }

    /** Finds the answers in the whole. */
    private AssistantMask answers(TemplateRun run, Rendering whole, boolean forTraining, boolean ended) {
        AssistantMask mask = new AssistantMask(whole.text(), ends(ended));
        List<ChatMessage> messages = run.messages();
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
                        run.write(i, true).text(),
                        run.write(i + 1, false).text(),
                        run.called(i),
                        () -> run.marked(answer, !forTraining));
            }
        }
        if (forTraining && mask.leftOut() && warned.compareAndSet(false, true)) {
            LOG.warn("the checkpoint's own chat template writes earlier answers differently once other messages"
                    + " follow, such as without their thoughts; those are not trained, only later ones");
        }
        return mask;
    }
}
