package pipeline

// JobKeys is the first segment of JobRunKey, and so no run's id.
const JobKeys = "job"

// RoomKeys is the first segment of the key of the line of runs, and so no run's id.
const RoomKeys = "room"

// ProcessKeys is the first segment of the keys of processes, and so no run's id.
const ProcessKeys = "process"

// NoticeKeys is the first segment of the keys of notices, and so no run's id.
const NoticeKeys = "notice"
