package dev.finetune4j.core.text.jinja.python;

import java.time.LocalDateTime;
import java.time.format.TextStyle;
import java.time.temporal.ChronoField;
import java.time.temporal.IsoFields;
import java.util.Locale;

/**
 * Dates as <a href="https://docs.python.org/3/library/datetime.html#format-codes">strftime</a> writes them in the C
 * locale and without a time zone, with the flags {@code -}, {@code _}, {@code 0} and {@code ^} of glibc.
 */
public final class Strftime {
    /** Steps for one code. */
    private static final int CODE_STEPS = 100;

    private Strftime() {}

    public static String format(String format, LocalDateTime time) {
        StringBuilder text = new StringBuilder();
        int i = 0;
        while (i < format.length()) {
            char c = format.charAt(i++);
            if (c != '%') {
                text.append(c);
                continue;
            }
            char flag = i < format.length() && "-_0^".indexOf(format.charAt(i)) >= 0 ? format.charAt(i++) : ' ';
            if (i == format.length()) {
                throw new TemplateError("the date format '" + format + "' ends inside of a code");
            }
            Budget.charge(CODE_STEPS);
            Budget.checkLength(text.length());
            text.append(field(format.charAt(i++), flag, time));
        }
        return text.toString();
    }

    private static String field(char code, char flag, LocalDateTime t) {
        int hour12 = t.getHour() % 12 == 0 ? 12 : t.getHour() % 12;
        int weekday = t.getDayOfWeek().getValue();
        String text = switch (code) {
            case 'a' -> t.getDayOfWeek().getDisplayName(TextStyle.SHORT, Locale.ENGLISH);
            case 'A' -> t.getDayOfWeek().getDisplayName(TextStyle.FULL, Locale.ENGLISH);
            case 'b', 'h' ->
                t.getMonth().getDisplayName(TextStyle.FULL, Locale.ENGLISH).substring(0, 3);
            case 'B' -> t.getMonth().getDisplayName(TextStyle.FULL, Locale.ENGLISH);
            case 'c' -> format("%a %b %e %H:%M:%S %Y", t);
            case 'C' -> padded(t.getYear() / 100, 2, '0', flag);
            case 'd' -> padded(t.getDayOfMonth(), 2, '0', flag);
            case 'D', 'x' -> format("%m/%d/%y", t);
            case 'e' -> padded(t.getDayOfMonth(), 2, ' ', flag);
            case 'f' -> padded(t.getNano() / 1000, 6, '0', ' ');
            case 'F' -> format("%Y-%m-%d", t);
            case 'g' -> padded(t.get(IsoFields.WEEK_BASED_YEAR) % 100, 2, '0', flag);
            case 'G' -> padded(t.get(IsoFields.WEEK_BASED_YEAR), 4, '0', flag);
            case 'H' -> padded(t.getHour(), 2, '0', flag);
            case 'I' -> padded(hour12, 2, '0', flag);
            case 'j' -> padded(t.getDayOfYear(), 3, '0', flag);
            case 'k' -> padded(t.getHour(), 2, ' ', flag);
            case 'l' -> padded(hour12, 2, ' ', flag);
            case 'm' -> padded(t.getMonthValue(), 2, '0', flag);
            case 'M' -> padded(t.getMinute(), 2, '0', flag);
            case 'n' -> "\n";
            case 'p' -> t.getHour() < 12 ? "AM" : "PM";
            case 'P' -> t.getHour() < 12 ? "am" : "pm";
            case 'r' -> format("%I:%M:%S %p", t);
            case 'R' -> format("%H:%M", t);
            case 'S' -> padded(t.getSecond(), 2, '0', flag);
            case 't' -> "\t";
            case 'T', 'X' -> format("%H:%M:%S", t);
            case 'u' -> Integer.toString(weekday);
            case 'U' -> padded((t.getDayOfYear() + 6 - weekday % 7) / 7, 2, '0', flag);
            case 'V' -> padded(t.get(IsoFields.WEEK_OF_WEEK_BASED_YEAR), 2, '0', flag);
            case 'w' -> Integer.toString(weekday % 7);
            case 'W' -> padded((t.getDayOfYear() + 6 - (weekday + 6) % 7) / 7, 2, '0', flag);
            case 'y' -> padded(t.get(ChronoField.YEAR) % 100, 2, '0', flag);
            case 'Y' -> padded(t.getYear(), 4, '0', flag);
            case 'z', 'Z' -> "";
            case '%' -> "%";
            default -> throw new TemplateError("the code %" + code + " in a date format is not supported");
        };
        return flag == '^' ? PythonText.upper(text) : text;
    }

    private static String padded(int number, int width, char usual, char flag) {
        String digits = Integer.toString(number);
        char fill = flag == '_' ? ' ' : flag == '0' ? '0' : usual;
        return flag == '-' ? digits : Character.toString(fill).repeat(Math.max(0, width - digits.length())) + digits;
    }
}
