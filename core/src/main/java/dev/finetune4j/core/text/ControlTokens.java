package dev.finetune4j.core.text;

import java.util.Arrays;
import java.util.BitSet;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * The tokens with which a model is steered: the beginnings of turns, the ends of answers and the like. No text of a
 * message may become one of them, whatever it spells.
 *
 * <p>They are the special tokens of the tokenizer's files; what the chat template writes as a token of its own, also
 * where no file calls it special; and those at which generation stops.
 *
 * <p>Immutable and thread-safe. It borrows the tokenizer.
 */
final class ControlTokens {
    private static final Pattern NONE = Pattern.compile("(?!)");

    private final Tokenizer tokenizer;
    private final Set<String> texts;
    private final BitSet ids = new BitSet();
    private final Pattern pattern;
    private final boolean fuzzy;
    /** The first characters of all of them, which few texts have. */
    private final List<String> firsts;

    private ControlTokens(Tokenizer tokenizer, Set<String> texts) {
        this.tokenizer = tokenizer;
        this.texts = Collections.unmodifiableSet(texts);
        texts.forEach(text -> tokenizer.idOf(text).ifPresent(ids::set));
        this.firsts = texts.stream()
                .filter(text -> !text.isEmpty())
                .map(text -> text.substring(0, text.offsetByCodePoints(0, 1)))
                .distinct()
                .toList();
        this.pattern = firsts.isEmpty() ? NONE : pattern(texts, firsts);
        this.fuzzy = texts.stream().anyMatch(tokenizer::isNormalized);
    }

    /** Tries them one after the other only where a character stands that one of them begins with. */
    private static Pattern pattern(Set<String> texts, List<String> firsts) {
        String beginning = firsts.stream()
                .map(first -> "\\x{" + Integer.toHexString(first.codePointAt(0)) + "}")
                .collect(Collectors.joining("", "(?=[", "])"));
        return Pattern.compile(texts.stream()
                .filter(text -> !text.isEmpty())
                .sorted(Comparator.comparingInt(String::length).reversed())
                .map(Pattern::quote)
                .collect(Collectors.joining("|", beginning + "(?:", ")")));
    }

    private boolean mayBeSpelledIn(String text) {
        return firsts.stream().anyMatch(text::contains);
    }

    /** Those with the given texts. */
    static ControlTokens of(Tokenizer tokenizer, Collection<String> texts) {
        return new ControlTokens(tokenizer, new TreeSet<>(texts));
    }

    /** These and more; of the others, those that are added tokens count, which alone are found in a text as a whole. */
    ControlTokens with(Collection<String> more) {
        Set<String> all = new TreeSet<>(texts);
        more.stream().filter(tokenizer::isAdded).forEach(all::add);
        return all.size() == texts.size() ? this : new ControlTokens(tokenizer, all);
    }

    /** Unmodifiable, sorted. */
    Set<String> texts() {
        return texts;
    }

    boolean contains(int id) {
        return id >= 0 && ids.get(id);
    }

    boolean contains(String token) {
        return texts.contains(token);
    }

    /** Finds the places in a text that spell one of them. */
    Matcher in(String text) {
        return pattern.matcher(text);
    }

    /** A text from the last of them on that it spells; the whole of it if it spells none, or they cannot be told by their spelling. */
    String fromLast(String text) {
        if (fuzzy) {
            return text;
        }
        if (firsts.size() != 1) {
            return text.substring(
                    in(text).results().mapToInt(MatchResult::start).max().orElse(0));
        }
        // Mostly all begin with one character, which is found much faster than a pattern.
        int last = 0;
        int length = text.length();
        Matcher matcher = in(text);
        int at = text.indexOf(firsts.get(0));
        while (at >= 0) {
            boolean found = matcher.region(at, length).lookingAt();
            last = found ? at : last;
            at = text.indexOf(firsts.get(0), found ? matcher.end() : at + 1);
        }
        return text.substring(last);
    }

    /** Whether the tokenizer may find one of them in the text; false is certain. */
    boolean mayStandIn(String text) {
        return (mayBeSpelledIn(text) && pattern.matcher(text).find())
                || (fuzzy && Arrays.stream(tokenizer.encode(text)).anyMatch(this::contains));
    }

    /** The pieces of a text that would be read as one of them, in order. */
    List<String> spelledIn(String text) {
        if (!fuzzy && !mayBeSpelledIn(text)) {
            return List.of();
        }
        List<String> found = in(text).results().map(MatchResult::group).toList();
        if (!fuzzy) {
            return found;
        }
        // Some tokenizers find a special token in text that does not spell it; then all of the text is kept apart.
        String bare = Whitespace.strip(text);
        return found.isEmpty() && !bare.isEmpty() && mayStandIn(text) ? List.of(bare) : found;
    }

    /** Those that the tokenizer finds in a text, in order, without the one for what it cannot write. */
    List<String> of(String text) {
        if (!fuzzy) {
            return in(text).results().map(MatchResult::group).toList();
        }
        String unknown = tokenizer.unkToken().orElse("");
        return Arrays.stream(tokenizer.encode(text))
                .filter(this::contains)
                .mapToObj(tokenizer::tokenOf)
                .filter(token -> !token.equals(unknown))
                .toList();
    }

    /** Whether the text is a part of one of them, or ends as one begins, or begins as one ends. */
    boolean touches(String text) {
        return texts.stream().anyMatch(token -> touch(token, text));
    }

    private static boolean touch(String token, String text) {
        boolean touch = token.contains(text);
        for (int length = 1; length < Math.min(token.length(), text.length()); length++) {
            touch |= text.regionMatches(0, token, token.length() - length, length)
                    || token.regionMatches(0, text, text.length() - length, length);
        }
        return touch;
    }

    /** Ids of a text in which none of them is recognised. */
    int[] encodePlain(String text) {
        return mayStandIn(text) ? tokenizer.encodeWithout(texts, text) : tokenizer.encode(text);
    }
}
