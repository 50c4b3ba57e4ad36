package pipeline

// Topics. Ids are spelled by Token.

// TopicTriggers is every TopicTrigger.
const TopicTriggers = "fanmill.jobs.run.*"

// TopicInlines is every TopicInline.
const TopicInlines = "fanmill.jobs.inline.*"

// TopicInline asks for a run of a job that the trigger brings along. Its subject is another than TopicTrigger's, so
// that who may do the one need not be allowed to do the other.
func TopicInline(job string) string { return "fanmill.jobs.inline." + Token(job) }

// TopicMisspelt is every subject that looks like a TopicTrigger of an id with a dot in it and is none.
const TopicMisspelt = "fanmill.jobs.run.*.>"

// TopicCancels is every TopicCancel.
const TopicCancels = "fanmill.jobs.cancel.*"

// TopicDeadTriggers keeps the triggers that could not be understood.
const TopicDeadTriggers = "fanmill.dead.run"

// TopicDeadRequest tells of the requests of a job that their receivers will not take.
func TopicDeadRequest(job string) string { return "fanmill.dead.request." + Token(job) }

// TopicCancel asks the process that carries a run out, or has it waiting, to stop it. No stream keeps it: it is for
// whoever listens now.
func TopicCancel(run string) string { return "fanmill.jobs.cancel." + Token(run) }

// TopicTrigger asks for a run of a job. Its stream acknowledges nothing: whoever takes the trigger answers the
// publisher.
func TopicTrigger(job string) string { return "fanmill.jobs.run." + Token(job) }

// TopicOwnTriggers is every TopicOwnTrigger.
const TopicOwnTriggers = "fanmill.jobs.own.*.*"

// TopicOwnTrigger asks one process for a run of a job: what fanmill run asks of itself no other process takes.
func TopicOwnTrigger(job, owner string) string {
	return "fanmill.jobs.own." + Token(job) + "." + Token(owner)
}

// TopicQuery is above the query commands of a run; each resume has a topic of its own, TopicQuery(run).<resumes>.
func TopicQuery(run string) string { return "fanmill.jobs.query." + Token(run) }

// TopicSink is above the sink commands of a run, as TopicQuery is.
func TopicSink(run string) string { return "fanmill.jobs.sink." + Token(run) }

// TopicEvent tells the world about a run.
func TopicEvent(job, run, kind string) string {
	return "fanmill.events." + Token(job) + "." + Token(run) + "." + kind
}

// TopicRows is a connection's subject in the row log.
func TopicRows(run, connection string) string {
	return "fanmill.rows." + Token(run) + "." + Token(connection)
}
