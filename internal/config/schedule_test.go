package config_test

import (
	"encoding/json"
	"strings"
	"testing"

	"fanmill/internal/config"
)

// Times are kept as they mean something, with what their runs have in place of the job's params.
func TestSchedules(t *testing.T) {
	f, err := config.Parse("j.json", []byte(jobWith(`, "timeZone": "Asia/Kolkata", "params": {"from": "{today}", "n": 5}, "schedule": [" 30  1 * * * ",
		{"at": "0 6 1 * *", "params": {"from": "{monthStart-1m}", "n": 7}, "resume": true, "missed": "run", "within": "2h"}]`)), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(f.Job.Schedules)
	if err != nil {
		t.Fatal(err)
	}
	if want := `[{"at":"30 1 * * *"},{"at":"0 6 1 * *","params":{"from":"{monthStart-1m}","n":7},"resume":true,"within":"2h0m0s"}]`; string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What is wrong with a time is said where it stands.
func TestSchedulesThatAreWrong(t *testing.T) {
	for keys, want := range map[string]string{
		`"schedule": "30 1 * *"`:                                                                        `schedule: the schedule "30 1 * *" has 4 fields`,
		`"schedule": ["@daily", "99 1 * * *"]`:                                                          `schedule[1]: the schedule "99 1 * * *": the minute is a number from 0 to 59`,
		`"schedule": {"at": "30 1 31 2 *"}`:                                                             `schedule.at: the schedule "30 1 31 2 *" never comes`,
		`"schedule": {"params": {}}`:                                                                    `schedule.at: is missing; add "at": "30 1 * * *"`,
		`"schedule": {"at": "@daily", "missd": "skip"}`:                                                 `did you mean "missed"?`,
		`"schedule": {"at": "@daily", "missed": "skip", "within": "2h"}`:                                `schedule.within: is for missed times that are made up for`,
		`"schedule": {"at": "@daily", "within": "30s"}`:                                                 `schedule.within: must be from 1m to 744h`,
		`"schedule": ["@daily", {"at": "@daily"}]`:                                                      `schedule[1]: asks for the same as schedule[0]; keep one of the two`,
		`"schedule": {"at": "@daily", "params": {"form": 1}}, "params": {"from": 1}`:                    `schedule.params: param form: the job has no such param; did you mean "from"?`,
		`"schedule": {"at": "@daily", "params": {"from": "x"}}, "params": {"from": 1}`:                  `schedule.params: param from: "x" is not a number`,
		`"schedule": {"at": "@daily", "params": {"from": []}}, "params": {"from": 1}`:                   `schedule.params.from: must be a text, a number`,
		`"schedule": {"at": "@daily", "params": []}`:                                                    `schedule.params: must be an object such as`,
		`"schedule": {"at": "@daily", "params": {"password": "hunter2"}}, "params": {"password": null}`: `looks like a secret`,
	} {
		_, err := config.Parse("j.json", []byte(jobWith(", "+keys)), options(nil))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want ... %s ...", keys, err, want)
		}
	}
}
