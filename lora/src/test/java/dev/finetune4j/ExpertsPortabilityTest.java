package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import java.nio.file.Path;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which adapters of mixtures PEFT 0.21 computes otherwise with transformers 5.18; each was loaded there and its logits compared. */
class ExpertsPortabilityTest {
    @ParameterizedTest
    @CsvSource({
        "qwen2_moe_shared, false, false", "qwen2_moe_shared, true, true",
        "qwen3_moe_mixed, false, false", "qwen3_moe_mixed, true, true",
        "qwen3_moe_plain, false, true", "qwen3_moe_plain, true, true",
        "mixtral_window, true, true"
    })
    void factorsOfSingleExperts(String model, boolean parameters, boolean portable) {
        PretrainedFolder folder = PretrainedFolder.open(
                Path.of("../core/src/test/resources/model").resolve(model));
        LoraSettings settings = parameters
                ? LoraSettings.builder()
                        .targetModules("q_proj", "o_proj")
                        .targetParameters("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
                        .build()
                : LoraSettings.builder()
                        .targetModules("q_proj", "gate_proj", "up_proj", "down_proj")
                        .build();
        try (CausalLM base = Fixtures.model(folder.path(), LinearFactory.dense());
                PeftAdapter adapter = AdapterKinds.create(base, settings, InitSources.seed(1))) {
            Portability found = Portability.of(adapter, folder);
            assertEquals(portable, found.isPortableTo(Portability.Program.PEFT), found::toString);
        }
    }
}
