package dev.finetune4j.core.generate;

import java.util.List;

/**
 * A token and how likely the model held it, by its own distribution, before
 * temperature and all other rules of the settings.
 *
 * @param id of the token
 * @param token its text; for a token that is a part of a character with U+FFFD for it
 * @param logprob natural logarithm of its probability
 * @param top the likeliest tokens at its place, the likeliest first, as many as were asked for; these have none themselves
 */
public record TokenLogprob(int id, String token, double logprob, List<TokenLogprob> top) {
    public TokenLogprob {
        top = List.copyOf(top);
    }
}
