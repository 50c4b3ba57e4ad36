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

// Commands go by subjects whose tokens at fixed places differ, so that no two consumers of them ever overlap, which the
// server refuses. A pool is who asks connections, a place is where destinations are written.

// TopicCommands is every command.
const TopicCommands = "fanmill.work.>"

// AnyPool is the pool that all processes share which ask connections.
const AnyPool = "any"

// OwnPool is the pool, and the place, of one process alone.
func OwnPool(owner string) string { return "own-" + owner }

// TopicQueryCommand asks a pool for an attempt at a connection.
func TopicQueryCommand(pool, run, connection string) string {
	return "fanmill.work.query." + Token(pool) + "." + Token(run) + "." + Token(connection)
}

// TopicSinkCommand asks for a destination to be written, at a place, which is a token; "" is anywhere.
func TopicSinkCommand(place, kind, run, destination string) string {
	return sinkCommands(place) + "." + Token(kind) + "." + Token(run) + "." + Token(destination)
}

func sinkCommands(place string) string {
	if place == "" {
		return "fanmill.work.sink.any"
	}
	return "fanmill.work.sink.at." + place
}

// TopicCleanCommand asks for what a run that is over has left of a destination at a place, which is a token.
func TopicCleanCommand(place, run, destination string) string {
	return "fanmill.work.clean." + place + "." + Token(run) + "." + Token(destination)
}

// TopicCleanCommands is every TopicCleanCommand at a place.
func TopicCleanCommands(place string) string { return "fanmill.work.clean." + place + ".>" }

// TopicQueryCommands is every TopicQueryCommand of a pool, and TopicSinkCommands every TopicSinkCommand of a kind at a
// place; of every kind where none is given, which is for a place of one process alone.
func TopicQueryCommands(pool string) string { return "fanmill.work.query." + Token(pool) + ".>" }

func TopicSinkCommands(place, kind string) string {
	if kind == "" {
		return sinkCommands(place) + ".>"
	}
	return sinkCommands(place) + "." + Token(kind) + ".>"
}

// TopicsOfCommands are all commands of a run, to whomever.
func TopicsOfCommands(run string) []string {
	of := "." + Token(run) + ".>"
	return []string{"fanmill.work.query.*" + of, "fanmill.work.sink.any.*" + of, "fanmill.work.sink.at.*.*" + of, "fanmill.work.clean.*" + of}
}

// The consumers of commands are never changed. What they are made with has a version, and stands in their names.

// DurableQueries is the consumer of the query commands of a pool.
func DurableQueries(pool string) string { return "query-" + pool + "-v1" }

// DurableSinks is the consumer of the sink commands of a kind at a place, see TopicSinkCommands.
func DurableSinks(place, kind string) string {
	switch {
	case place == "":
		return "sink-" + kind + "-v1"
	case kind == "":
		return "at-" + place + "-v1"
	}
	return "at-" + place + "-" + kind + "-v1"
}

// TopicDescribe asks a process that asks databases what the queries of a connection return. No stream keeps it.
func TopicDescribe(owner string) string { return "fanmill.describe." + Token(owner) }

// DurableCleaning is the consumer of the clean commands at a place.
func DurableCleaning(place string) string { return "clean-" + place + "-v1" }

// TopicAlarm is where an alarm waits to go off, and TopicDue where it goes to then; see Alarms.
func TopicAlarm(job, id string) string { return "fanmill.schedules." + Token(job) + "." + Token(id) }

// TopicAlarms is every TopicAlarm.
const TopicAlarms = "fanmill.schedules.*.*"

// TopicDue has the alarms of a schedule that have gone off.
func TopicDue(job, id string) string { return "fanmill.due." + Token(job) + "." + Token(id) }

// TopicDues is every TopicDue.
const TopicDues = "fanmill.due.*.*"

// TopicEvent tells the world about a run.
func TopicEvent(job, run, kind string) string {
	return "fanmill.events." + Token(job) + "." + Token(run) + "." + kind
}

// TopicRows is a connection's subject in the row log.
func TopicRows(run, connection string) string {
	return "fanmill.rows." + Token(run) + "." + Token(connection)
}

// TopicFence has the fence of an attempt at a connection, in the row log. In attempt * stands for each.
func TopicFence(run, connection, attempt string) string {
	return TopicRows(run, connection) + ".fenced." + attempt
}
