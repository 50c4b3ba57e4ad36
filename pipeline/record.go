package pipeline

// JobKeys is the first segment of JobRunKey, and so no run's id.
const JobKeys = "job"

// ProcessKeys is the first segment of the keys of processes, and so no run's id.
const ProcessKeys = "process"

// NoticeKeys is the first segment of the keys of notices, and so no run's id.
const NoticeKeys = "notice"
