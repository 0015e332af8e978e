package dev.finetune4j.core.text.jinja;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.text.jinja.python.Allowance;
import java.time.Clock;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Renderings that share an allowance end together; what a conversation adds is there for each. */
class AllowanceTest {
    private static final JinjaTemplate SLOW =
            JinjaTemplate.parse("{% for i in range(9999) %}{% for j in range(9) %}{% endfor %}{% endfor %}");
    private static final JinjaTemplate HONEST =
            JinjaTemplate.parse("{% for m in messages %}{{ m.role ~ m.content|trim }}{% endfor %}");

    private static void render(JinjaTemplate template, Allowance allowance) {
        List<Map<String, String>> messages = List.of(Map.of("role", "user", "content", "hello"));
        template.render(Map.of("messages", messages), Clock.systemUTC(), allowance);
    }

    @Test
    void slowRenderingsUseItUp() {
        Allowance allowance = new Allowance();
        assertDoesNotThrow(() -> render(SLOW, allowance));
        assertFalse(allowance.isExhausted());
        assertThrows(JinjaException.class, () -> {
            for (int i = 0; i < 200; i++) {
                render(SLOW, allowance);
            }
        });
        assertTrue(allowance.isExhausted());
    }

    @Test
    void honestRenderingsPayForThemselves() {
        Allowance allowance = new Allowance();
        for (int i = 0; i < 20_000; i++) {
            render(HONEST, allowance);
        }
        assertFalse(allowance.isExhausted());
    }

    @Test
    void aTemplateWritesNoMoreThanAModelCouldRead() {
        JinjaTemplate lengthy = JinjaTemplate.parse("{{ 'a' * 1000000 }}");
        JinjaException refused = assertThrows(JinjaException.class, () -> render(lengthy, new Allowance()));
        assertTrue(refused.getMessage().contains("wrote more than"), refused.getMessage());
    }
}
