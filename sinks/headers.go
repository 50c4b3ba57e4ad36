package sinks

import (
	"cmp"
	"errors"

	"fanmill/pipeline"
)

// csvOptionTwins is the kind's Warn.
func csvOptionTwins(d *pipeline.Destination) error {
	o, err := readCSVOptions(d.Options)
	if err != nil || !o.headers {
		return nil // it is reported elsewhere
	}
	return o.optionTwins()
}

// optionTwins finds names in the options that a reader may take for one.
func (o *csvOptions) optionTwins() error {
	var names []string
	if o.connection != "" {
		names = append(names, o.connection)
	}
	for _, c := range o.columns {
		if !c.hide {
			names = append(names, cmp.Or(c.rename, c.name))
		}
	}
	return twinsOfOptions(names, len(o.columns) > 0)
}

// csvHeaderTwins is the kind's HeaderTwins.
func csvHeaderTwins(d *pipeline.ManifestDestination, queries []pipeline.OpeningQuery) []string {
	o, err := readCSVOptions(d.Options)
	q := 0
	if d.Query != nil {
		q = *d.Query
	}
	if err != nil || !o.headers || q >= len(queries) {
		return nil
	}
	h := csvHeader{options: &o}
	return headerTwins(h.line(namesOf(o.arrange(queries[q].Columns)).names))
}

// excelOptionTwins is the kind's Warn.
func excelOptionTwins(d *pipeline.Destination) error {
	o, err := readExcelOptions(d.Options)
	if err != nil {
		return nil // it is reported elsewhere
	}
	var names []string
	for _, c := range o.columns {
		names = append(names, cmp.Or(c.rename, c.name))
	}
	return twinsOfOptions(names, true)
}

// excelHeaderTwins is the kind's HeaderTwins.
func excelHeaderTwins(d *pipeline.ManifestDestination, queries []pipeline.OpeningQuery) (twins []string) {
	o, err := readExcelOptions(d.Options)
	if err != nil {
		return nil
	}
	for q := range queries {
		if d.Query == nil || *d.Query == q {
			twins = append(twins, o.columns.twins(queries, q)...)
		}
	}
	return twins
}

// twins says which names of the header of a query's sheet a reader may take for one.
func (cs excelColumns) twins(queries []pipeline.OpeningQuery, q int) []string {
	names := make([]string, len(queries[q].Columns))
	for i, col := range queries[q].Columns {
		if names[i] = col.Name; cs.find(col.Name) != nil {
			names[i] = cmp.Or(cs.find(col.Name).rename, col.Name)
		}
	}
	twins := headerTwins(names)
	if name := queries[q].Name; name != "" && len(queries) > 1 {
		for i := range twins {
			twins[i] = "query " + name + ": " + twins[i]
		}
	}
	return twins
}

// headerTwins says which names of a header a reader may take for one.
func headerTwins(header []string) []string {
	twins := pipeline.Twins(header)
	for i := range twins {
		twins[i] = "in the header " + twins[i]
	}
	return twins
}

// twinsOfOptions is what the options alone show, at the key that is to be changed.
func twinsOfOptions(names []string, columns bool) error {
	key := "connectionColumn"
	if columns {
		key = "columns"
	}
	var errs []error
	for _, twin := range headerTwins(names) {
		errs = append(errs, problem{key, errors.New(twin + "; a reader cannot tell the columns apart")})
	}
	return errors.Join(errs...)
}
