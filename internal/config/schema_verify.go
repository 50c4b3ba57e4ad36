package config

func verifySchema() *schema {
	maxSums := maxVerifySums
	column := &schema{Type: "string", Pattern: `\S`}
	return &schema{
		Description: "Control totals: what the database says of the rows, compared with what was delivered. true is the number of rows; false is none.",
		OneOf: []*schema{{Type: "boolean"}, {Type: "object", Properties: properties{
			{"count", boolean("Whether the number of rows is compared.", true)},
			{"sum", &schema{Description: "Columns whose sums are compared, by their names in the result.", OneOf: []*schema{column,
				{Type: "array", MinItems: 1, MaxItems: maxSums, Items: column}}, Examples: []any{[]string{"total", "tax"}}}},
			{"query", text("SQL that returns one row: the count, unless that is false, and the sums, in this order. Without it, it is made from the query.",
				"select count(*), sum(total) from sale where invoice_date >= :from")},
		}}},
		Examples: []any{true, map[string]any{"sum": []string{"total", "tax"}}},
	}
}

func alertSchema() *schema {
	percent := func(description string) *schema {
		return &schema{Type: []string{"string", "number"}, Pattern: `^\s*[0-9]+(\.[0-9]+)?\s*%?\s*$`, Description: description}
	}
	return &schema{
		Description: "Names connections that delivered more or less than the last time, by more than this, in percent. It warns, and fails nothing.",
		OneOf: []*schema{percent("Of rows and of control totals."), {Type: "object", Properties: properties{
			{"rows", percent("Of the number of rows.")},
			{"total", percent("Of the control totals.")},
		}}},
		Examples: []any{"30 %", map[string]any{"rows": "30 %", "total": "10 %"}},
	}
}
