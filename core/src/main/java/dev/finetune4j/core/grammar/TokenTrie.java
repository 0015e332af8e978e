package dev.finetune4j.core.grammar;

import java.util.Arrays;
import java.util.BitSet;

/** The tokens of a vocabulary by the bytes that they write (a trie). Immutable. */
public final class TokenTrie {
    private static final int NONE = -1;

    private int[] child = new int[1 << 12];
    private int[] sibling = new int[1 << 12];
    private byte[] value = new byte[1 << 12];
    /** The first token that ends at a node, and by token the next one that ends there too. */
    private int[] token = new int[1 << 12];

    private final int[] nextToken;
    private int nodes;

    /** @param tokens the bytes of each token by id; those that write none are never allowed */
    public TokenTrie(byte[][] tokens) {
        nextToken = new int[tokens.length];
        int root = newNode((byte) 0);
        for (int id = 0; id < tokens.length; id++) {
            int node = root;
            for (byte next : tokens[id]) {
                node = childOf(node, next);
            }
            if (node != root) {
                nextToken[id] = token[node];
                token[node] = id;
            }
        }
    }

    private int newNode(byte of) {
        if (nodes == child.length) {
            child = Arrays.copyOf(child, 2 * nodes);
            sibling = Arrays.copyOf(sibling, 2 * nodes);
            value = Arrays.copyOf(value, 2 * nodes);
            token = Arrays.copyOf(token, 2 * nodes);
        }
        child[nodes] = NONE;
        sibling[nodes] = NONE;
        token[nodes] = NONE;
        value[nodes] = of;
        return nodes++;
    }

    private int childOf(int node, byte of) {
        for (int next = child[node]; next != NONE; next = sibling[next]) {
            if (value[next] == of) {
                return next;
            }
        }
        int made = newNode(of);
        sibling[made] = child[node];
        child[node] = made;
        return made;
    }

    /** The tokens all of whose bytes may follow in a state. */
    public BitSet allowed(GrammarState state) {
        BitSet allowed = new BitSet(nextToken.length);
        collect(0, state, allowed);
        return allowed;
    }

    private void collect(int node, GrammarState state, BitSet allowed) {
        for (int next = child[node]; next != NONE; next = sibling[next]) {
            GrammarState after = state.after(value[next] & 0xff);
            if (after != null) {
                for (int id = token[next]; id != NONE; id = nextToken[id]) {
                    allowed.set(id);
                }
                collect(next, after, allowed);
            }
        }
    }
}
