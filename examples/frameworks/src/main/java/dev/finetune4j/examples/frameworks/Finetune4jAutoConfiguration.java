package dev.finetune4j.examples.frameworks;

import dev.finetune4j.Adapter;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.generate.ChatModel;
import java.util.Objects;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/**
 * An auto-configuration for Spring Boot 4: with {@code finetune4j.model} an application has a {@code LanguageModel}, with {@code
 * finetune4j.adapter} an {@code Adapter} on it, and what answers of the two as Spring AI's {@code ChatModel}, where that is on the class path.
 * {@code META-INF/spring} names it. Spring closes the adapter before its base.
 */
@AutoConfiguration
@ConditionalOnProperty("finetune4j.model")
@EnableConfigurationProperties(Finetune4jProperties.class)
public class Finetune4jAutoConfiguration {
    /** The base. */
    @Bean(destroyMethod = "close")
    @ConditionalOnMissingBean
    public LanguageModel languageModel(Finetune4jProperties properties) {
        return LanguageModel.loader(properties.model())
                .threads(properties.threads())
                .load();
    }

    /** The adapter that answers. */
    @Bean(destroyMethod = "close")
    @ConditionalOnMissingBean
    @ConditionalOnProperty("finetune4j.adapter")
    public Adapter adapter(LanguageModel languageModel, Finetune4jProperties properties) {
        return languageModel.loadAdapter(Objects.requireNonNull(properties.adapter()));
    }

    /** Spring AI, where it is there. */
    @Configuration(proxyBeanMethods = false)
    @ConditionalOnClass(org.springframework.ai.chat.model.ChatModel.class)
    public static class SpringAi {
        /** The adapter if there is one, else the base. */
        @Bean
        @ConditionalOnMissingBean(org.springframework.ai.chat.model.ChatModel.class)
        public SpringAiChatModel springAiChatModel(LanguageModel languageModel, ObjectProvider<Adapter> adapter) {
            Adapter tuned = adapter.getIfAvailable();
            ChatModel answering = tuned == null ? languageModel : tuned;
            return new SpringAiChatModel(answering);
        }
    }
}
