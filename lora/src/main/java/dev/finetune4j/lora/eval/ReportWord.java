package dev.finetune4j.lora.eval;

import java.util.Locale;

/** The texts of a report in its languages; what is put in stands as {@code %s}. */
enum ReportWord {
    TITLE("Evaluation of the fine-tuned model", "微调模型评估报告"),
    PASSED("Passed", "通过"),
    FAILED("Not passed", "未通过"),
    MEASURED("Measured", "测量结果"),
    PASSED_TEXT("All %s thresholds were kept.", "全部 %s 项指标达标。"),
    FAILED_TEXT("%s of %s thresholds were missed.", "%s 项指标未达标（共 %s 项）。"),
    MEASURED_TEXT("No thresholds were set.", "未设置阈值。"),
    SUCCESS_TEXT(
            "The new task: %s of unseen phrasings are answered right; the base managed %s.",
            "新任务：训练中未出现的问法答对 %s，基座模型为 %s。"),
    RETENTION_TEXT("General ability: %s of what the base could is still there.", "通用能力：基座模型原有能力保留了 %s。"),
    OVERFITTING_TEXT("Over-fitting: %s in trained over unseen phrasings.", "过拟合检查：训练过的问法与未见问法相差 %s。"),
    SUCCESS("Task learned", "任务成功率"),
    RETENTION("General ability retained", "通用能力保留率"),
    OVERFITTING("Over-fitting", "过拟合"),
    SUCCESS_NOTE("unseen phrasings", "未见过的问法"),
    RETENTION_NOTE("of the base's right answers", "基座原先答对的题目"),
    OVERFITTING_NOTE("trained minus unseen", "训练问法减未见问法"),
    TRAINED("trained", "训练问法"),
    UNSEEN("unseen", "未见问法"),
    THRESHOLDS("Thresholds", "验收指标"),
    FIGURES("Figures", "各项指标"),
    TASK("Task", "任务"),
    METRIC("Metric", "评估方法"),
    ITEMS("Items", "数量"),
    BASE("Base", "基座模型"),
    TUNED("Fine-tuned", "微调模型"),
    CHANGE("Change", "变化"),
    BETTER_WORSE("Better / worse", "变好 / 变差"),
    P_VALUE("p", "p 值"),
    SIGNIFICANT("significant", "显著"),
    NOT_SIGNIFICANT("may be chance", "可能是偶然"),
    POINTS("points", "个百分点"),
    LOSS("Loss of the training", "训练损失曲线"),
    LOSS_OF_STEPS("each step", "每一步"),
    LOSS_SMOOTHED("smoothed", "平滑"),
    LOSS_HELD_OUT("held-out examples", "留出样本"),
    STEP("step", "步"),
    LOSS_NOTE(
            "From %s to %s in %s steps (nats per token). The lower the better.",
            "共 %3$s 步，损失从 %1$s 降至 %2$s（每个词元，以自然对数计），越低越好。"),
    ANSWERS("Answers side by side", "回答对照"),
    ANSWERS_NOTE("The first that the fine-tuned model got wrong, then others; %s of %s.", "先列出微调模型答错的题目；显示 %s / %s。"),
    EXPECTED("expected", "参考答案"),
    RIGHT("right", "正确"),
    WRONG("wrong", "错误"),
    NO_ANSWER("(no answer)", "（无回答）"),
    AT_LEAST("at least", "不低于"),
    AT_MOST("at most", "不高于"),
    FOUND("found", "实际"),
    BETTER_THAN_BASE("better than the base, p", "优于基座模型，p 值"),
    METHODS(
            "Ranges hold the true figure with a confidence of 95 %% (Wilson's interval for shares, otherwise the bootstrap). p is"
                    + " how likely such a difference is by chance alone (McNemar's exact test, otherwise the paired"
                    + " bootstrap).",
            "区间为 95%% 置信区间（比例用 Wilson 区间，其余用自助法）。p 值表示差异纯属偶然的可能性（McNemar 精确检验，其余用配对自助法）。");

    private final String english;
    private final String chinese;

    ReportWord(String english, String chinese) {
        this.english = english;
        this.chinese = chinese;
    }

    String in(ReportLanguage language, Object... values) {
        return String.format(Locale.ROOT, language == ReportLanguage.CHINESE ? chinese : english, values);
    }
}
