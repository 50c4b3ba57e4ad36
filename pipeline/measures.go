package pipeline

// Measures is what a run's process saw of itself: the ground for suggesting settings. Bytes and milliseconds.
type Measures struct {
	PeakResident  int64  `json:"peakResident"` // of the process
	Threshold     int64  `json:"threshold"`
	Budget        int64  `json:"budget"` // for rows in memory
	BudgetPeak    int64  `json:"budgetPeak"`
	BudgetWaits   int64  `json:"budgetWaits"` // batches that waited for room in the budget
	Batches       int64  `json:"batches"`
	BatchBytes    int64  `json:"batchBytes"` // encoded, of all batches
	Parallel      int    `json:"parallel"`
	Asked         int    `json:"asked"`             // connections that were to be asked
	Slowest       string `json:"slowest,omitempty"` // connection id
	SlowestMillis int64  `json:"slowestMs"`
	MedianMillis  int64  `json:"medianMs"`
	PausedMillis  int64  `json:"pausedMs"`  // queries stood still for want of memory
	LogWaitMillis int64  `json:"logWaitMs"` // of all connections together: the row log was full, or slow
	LogMax        int64  `json:"logMax"`
	LogPeak       int64  `json:"logPeak"`
}
