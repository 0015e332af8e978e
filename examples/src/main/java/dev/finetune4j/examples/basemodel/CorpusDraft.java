package dev.finetune4j.examples.basemodel;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/** One run of writing the corpus, section by section; {@link BaseCorpus} keeps the result. */
final class CorpusDraft {
    private static final double SYSTEM_SHARE = 0.1;
    private static final double VARIED_FACTS = 0.6;
    private static final int NAMES_PER_LANGUAGE = 150;
    private static final int PAIRS_PER_LANGUAGE = 100;
    private static final Map<Language, List<String>> SYSTEM_MESSAGES = Map.of(
            Language.CHINESE,
            List.of("你是一个有用的助手。", "请简短地回答问题。", "请用中文回答。", "你是一个友好的助手。"),
            Language.ENGLISH,
            List.of(
                    "You are a helpful assistant.",
                    "Answer briefly.",
                    "Please answer in English.",
                    "You are a friendly assistant."));

    /** A question and its answer. */
    private record Exchange(String question, String answer) {}

    private final Random random;
    private final Noise noise;
    private final NamePool names;
    private final List<Fact> facts = FactBook.load().facts();
    private final IdentityBook identities = IdentityBook.load();
    private final SmallTalk smallTalk = SmallTalk.load();
    private final Set<List<ChatTurn>> conversations = new LinkedHashSet<>();
    private final Map<String, Integer> sections = new LinkedHashMap<>();

    CorpusDraft(Random random) {
        this.random = random;
        this.noise = new Noise(random);
        this.names = new NamePool(random);
        for (Language language : Language.values()) {
            writeFacts(language);
            writeIdentity(language);
            writeSmallTalk(language);
            writeNames(language);
            writePairs(language);
        }
    }

    Set<List<ChatTurn>> conversations() {
        return conversations;
    }

    /** Conversations per section, in the order of writing. */
    Map<String, Integer> sections() {
        return Collections.unmodifiableMap(sections);
    }

    private void writeFacts(Language language) {
        for (Fact fact : facts) {
            Fact.Wording wording = fact.in(language);
            for (String question : wording.questions()) {
                add("facts", language, new Exchange(question, wording.answer()));
                if (random.nextDouble() < VARIED_FACTS) {
                    add("facts, varied", language, new Exchange(noise.vary(language, question), wording.answer()));
                }
            }
        }
    }

    private void writeIdentity(Language language) {
        for (IdentityQuestion question : identityQuestions(language)) {
            Exchange exchange = exchange(question);
            add("identity", language, exchange);
            String varied = noise.vary(language, exchange.question());
            add("identity, varied", language, new Exchange(varied, exchange.answer()));
        }
    }

    private void writeSmallTalk(Language language) {
        for (SmallTalk.Pair pair : smallTalk.all(language)) {
            add("small talk", language, new Exchange(pair.said(), pair.reply()));
            add("small talk, varied", language, new Exchange(noise.varySigns(language, pair.said()), pair.reply()));
        }
    }

    private void writeNames(Language language) {
        for (int i = 0; i < NAMES_PER_LANGUAGE; i++) {
            add("names", language, nameExchange(language, i % 5));
        }
    }

    private Exchange nameExchange(Language language, int form) {
        String person = names.person(language);
        String maker = names.maker(language);
        if (language == Language.CHINESE) {
            return switch (form) {
                case 0 -> new Exchange("我叫" + person + "。", "你好，" + person + "！很高兴认识你。");
                case 1 -> new Exchange("请跟我说：" + person, person + "。");
                case 2 -> new Exchange("请跟我说：" + maker, maker + "。");
                case 3 -> new Exchange("我在" + maker + "工作。", "在" + maker + "工作一定很有意思。");
                default -> new Exchange("请跟我说：" + person + "由" + maker + "开发。", person + "由" + maker + "开发。");
            };
        }
        return switch (form) {
            case 0 -> new Exchange("My name is " + person + ".", "Hello " + person + ", nice to meet you!");
            case 1 -> new Exchange("Please repeat: " + person, person + ".");
            case 2 -> new Exchange("Please repeat: " + maker, maker + ".");
            case 3 -> new Exchange("I work at " + maker + ".", "Working at " + maker + " must be interesting.");
            default ->
                new Exchange(
                        "Please repeat: " + person + " was made by " + maker + ".",
                        person + " was made by " + maker + ".");
        };
    }

    private void writePairs(Language language) {
        for (int i = 0; i < PAIRS_PER_LANGUAGE; i++) {
            add("fact, fact", language, randomFact(language), randomFact(language));
            add("greeting, fact", language, randomTalk(smallTalk.greetings(language)), randomFact(language));
            add("fact, closing", language, randomFact(language), randomTalk(smallTalk.closings(language)));
            add("greeting, identity", language, randomTalk(smallTalk.greetings(language)), randomIdentity(language));
            add("identity, fact", language, randomIdentity(language), randomFact(language));
            add("fact, identity", language, randomFact(language), randomIdentity(language));
        }
    }

    private Exchange randomFact(Language language) {
        Fact.Wording wording = pick(facts).in(language);
        return new Exchange(pick(wording.questions()), wording.answer());
    }

    private Exchange randomIdentity(Language language) {
        return exchange(pick(identityQuestions(language)));
    }

    private Exchange randomTalk(List<SmallTalk.Pair> pairs) {
        SmallTalk.Pair pair = pick(pairs);
        return new Exchange(pair.said(), pair.reply());
    }

    private List<IdentityQuestion> identityQuestions(Language language) {
        return identities.baseQuestions().stream()
                .filter(question -> question.language() == language)
                .toList();
    }

    private static Exchange exchange(IdentityQuestion question) {
        return new Exchange(
                question.question(), Identity.ofBase(question.language()).fill(question.answer()));
    }

    private void add(String section, Language language, Exchange... exchanges) {
        List<ChatTurn> turns = new ArrayList<>();
        if (random.nextDouble() < SYSTEM_SHARE) {
            turns.add(ChatTurn.system(pick(SYSTEM_MESSAGES.getOrDefault(language, List.of()))));
        }
        for (Exchange exchange : exchanges) {
            turns.add(ChatTurn.user(exchange.question()));
            turns.add(ChatTurn.assistant(exchange.answer()));
        }
        if (conversations.add(List.copyOf(turns))) {
            sections.merge(section, 1, Integer::sum);
        }
    }

    private <T> T pick(List<T> choices) {
        return choices.get(random.nextInt(choices.size()));
    }
}
