package pipeline

// JobKeys is the first segment of JobRunKey, and so no run's id.
const JobKeys = "job"
