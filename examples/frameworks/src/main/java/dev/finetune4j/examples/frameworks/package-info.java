/**
 * The library behind the interfaces of frameworks: LangChain4j, Spring AI and Spring Boot. Copy what you need; each class stands by itself but for the
 * settings, and what a framework asks for that is not passed on is refused, never left out.
 */
@NullMarked
package dev.finetune4j.examples.frameworks;

import org.jspecify.annotations.NullMarked;
