package dev.finetune4j.examples.basemodel;

import java.util.List;
import java.util.Random;

/**
 * Invented people and makers that users of the corpus mention or ask to repeat. They teach the model to copy a name
 * that it has just read, and give many tokens a place in an answer, so that tuning to a new name starts from trained
 * embeddings.
 */
final class NamePool {
    private static final String SURNAMES = "王李刘陈杨黄赵吴周徐孙马朱胡林郭何高罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘蒋蔡余杜叶程苏魏吕丁任沈姚卢张";
    private static final String GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰涛明超秀霞平刚桂英华玉兰红建国文斌辉玲梅云龙宁欣浩宇轩子涵一二三四五六七八九某小大海山春秋雨雪";
    private static final List<String> PLACES = List.of(
            "东方", "南山", "北河", "西湖", "天空", "大地", "星火", "远航", "青云", "白云", "长江", "未来", "智能", "新星", "光明", "某地", "本地", "上海",
            "深圳", "广州", "杭州");
    private static final List<String> BODIES =
            List.of("公司", "科技公司", "实验室", "大学", "团队", "工作室", "研究院", "集团", "软件公司", "有限公司", "学校", "智能科技");
    private static final List<String> FIRST_NAMES = List.of(
            "Alice", "Bob", "Carol", "David", "Emma", "Frank", "Grace", "Henry", "Irene", "Jack", "Kate", "Leo", "Mary",
            "Nick", "Olga", "Peter", "Quinn", "Rose", "Sam", "Tina", "Victor", "Wendy", "Xavier", "Yuki", "Zoe");
    private static final List<String> COMPANY_WORDS = List.of(
            "Acme",
            "Blue River",
            "Green Hill",
            "North Star",
            "Silver",
            "Sunrise",
            "Bright",
            "Cloud",
            "Delta",
            "Future",
            "Globe",
            "Happy",
            "Island",
            "Jade",
            "Kite",
            "Lotus",
            "Magic",
            "Nova",
            "Orange",
            "Pixel");
    private static final List<String> COMPANY_BODIES =
            List.of("Inc", "Company", "Labs", "Studio", "Team", "University", "Software", "Group", "Technology", "AI");

    private final Random random;

    NamePool(Random random) {
        this.random = random;
    }

    String person(Language language) {
        if (language == Language.ENGLISH) {
            return pick(FIRST_NAMES);
        }
        String name = pick(SURNAMES) + pick(GIVEN);
        // The quick start gives the model this name; a base that has said it before would prove less.
        if (name.equals("张三")) {
            return person(language);
        }
        return random.nextBoolean() ? name : name + pick(GIVEN);
    }

    String maker(Language language) {
        return language == Language.ENGLISH
                ? pick(COMPANY_WORDS) + " " + pick(COMPANY_BODIES)
                : pick(PLACES) + pick(BODIES);
    }

    private String pick(String characters) {
        int at = random.nextInt(characters.length());
        return characters.substring(at, at + 1);
    }

    private String pick(List<String> choices) {
        return choices.get(random.nextInt(choices.size()));
    }
}
