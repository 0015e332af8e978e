package dev.finetune4j.core.hub;

/**
 * A hub's token, which shows itself nowhere but in a request's header.
 *
 * @param value never empty, fit for a header
 */
record AccessToken(String value) {
    AccessToken {
        // A sign that a header cannot have would be named, with the token, in an exception of the HTTP client.
        if (value.isEmpty() || !value.chars().allMatch(c -> c > ' ' && c < 127)) {
            throw new IllegalArgumentException(
                    "the token is empty or holds blanks, line breaks or letters outside of ASCII; copy it again from the hub's page");
        }
    }

    @Override
    public String toString() {
        return "***";
    }
}
