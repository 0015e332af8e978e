package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Types;
import java.util.Locale;

/** The rows of a query's result, whose columns have their labels; one that is all in capitals has it in small letters. */
public final class TableRows {
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    private TableRows() {}

    /**
     * Gives all rows to a consumer, or as many as it wants. The result is left open.
     *
     * @throws SQLException from the result
     */
    public static void read(ResultSet result, RowConsumer consumer) throws SQLException {
        ResultSetMetaData columns = result.getMetaData();
        for (long index = 0; result.next(); index++) {
            ObjectNode row = NODES.objectNode();
            for (int i = 1; i <= columns.getColumnCount(); i++) {
                row.set(name(columns.getColumnLabel(i)), value(result, i, columns.getColumnType(i)));
            }
            if (!consumer.accept(row, index, null)) {
                return;
            }
        }
    }

    /** Databases write names that stand in no quotes in capitals. */
    private static String name(String label) {
        return label.equals(label.toUpperCase(Locale.ROOT)) ? label.toLowerCase(Locale.ROOT) : label;
    }

    private static JsonNode value(ResultSet result, int column, int type) throws SQLException {
        JsonNode value = switch (type) {
            case Types.BOOLEAN, Types.BIT -> NODES.booleanNode(result.getBoolean(column));
            case Types.TINYINT, Types.SMALLINT, Types.INTEGER, Types.BIGINT -> NODES.numberNode(result.getLong(column));
            case Types.NUMERIC, Types.DECIMAL, Types.REAL, Types.FLOAT, Types.DOUBLE -> {
                BigDecimal number = result.getBigDecimal(column);
                yield number == null ? NODES.nullNode() : NODES.numberNode(number);
            }
            default -> {
                String text = result.getString(column);
                yield text == null ? NODES.nullNode() : NODES.textNode(text);
            }
        };
        return result.wasNull() ? NODES.nullNode() : value;
    }
}
