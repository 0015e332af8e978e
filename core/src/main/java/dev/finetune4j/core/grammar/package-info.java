/**
 * Context-free grammars over bytes, and which tokens of a vocabulary may continue a text of one: {@link
 * dev.finetune4j.core.grammar.JsonSchema} makes a {@link dev.finetune4j.core.grammar.Grammar} of a <a
 * href="https://json-schema.org/draft/2020-12">JSON schema</a>, and {@link dev.finetune4j.core.grammar.TokenTrie} finds the tokens
 * that a {@link dev.finetune4j.core.grammar.GrammarState} allows. Bytes, because tokens may begin and end within a character.
 *
 * <p>Imports {@code core.json} and the exceptions of {@code core}; {@code core.generate} and {@code core.inference} import it.
 */
@NullMarked
package dev.finetune4j.core.grammar;

import org.jspecify.annotations.NullMarked;
