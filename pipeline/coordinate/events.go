package coordinate

import (
	"encoding/json"
	"fmt"
	"sync"

	"fanmill/pipeline"
)

// event publishes an event and shows it to the observer. Events are for people: one that cannot be stored costs a log
// line.
func (n *Coordinator) event(e pipeline.Event) {
	e.Process = n.Owner.Token
	if n.follower.Event != nil {
		n.follower.Event(e)
	}
	payload, err := json.Marshal(e)
	if err == nil {
		err = n.Bus.Publish(pipeline.TopicEvent(e.Job, e.Run, e.Kind), "", payload)
	}
	if err != nil {
		n.Log.Debug("event not stored", "kind", e.Kind, "error", err)
	}
}

// hearRoom is how many events of other processes wait for the observer; what comes while there are as many is left out.
const hearRoom = 1000

// hear shows the observer what other processes do for a run, until stop. What this one does it is shown by event.
func (n *Coordinator) hear(m *pipeline.Manifest) (stop func()) {
	if n.follower.Event == nil || n.Own {
		return func() {}
	}
	events := make(chan pipeline.Event, hearRoom)
	silence, err := n.Bus.Listen(pipeline.TopicEvent(m.JobID, m.Run, "*"), func(i pipeline.Inquiry) {
		var e pipeline.Event
		if json.Unmarshal(i.Payload, &e) != nil || e.Process == "" || e.Process == n.Owner.Token {
			return
		}
		select {
		case events <- e:
		default:
		}
	})
	if err != nil {
		n.Log.Warn(fmt.Sprintf("what other processes do for run %s is not shown here: %v", m.Run, err))
		return func() {}
	}
	var showing sync.WaitGroup
	over := make(chan struct{})
	showing.Go(func() {
		for {
			select {
			case e := <-events:
				n.follower.Event(e)
			case <-over:
				return
			}
		}
	})
	return func() {
		silence()
		close(over)
		showing.Wait()
	}
}
