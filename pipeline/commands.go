package pipeline

// QueryCommand asks a worker for an attempt at a connection. It is a hint: the connection's record decides.
type QueryCommand struct {
	Job         string `json:"job"`
	Run         string `json:"run"`
	Incarnation int    `json:"incarnation"` // Opened.Incarnation, as of its publication
	Connection  string `json:"connection"`
}

// SinkCommand asks for a destination to be written. It is a hint: the commit record decides.
type SinkCommand struct {
	Job         string `json:"job"`
	Run         string `json:"run"`
	Incarnation int    `json:"incarnation"` // as of QueryCommand
	Destination string `json:"destination"`
	// Place is the token of the place that the command went to, as of its publication; "" is any.
	Place string `json:"place,omitempty"`
}

// CleanCommand asks for the removal of what a run that is over keeps to itself of a destination, where that lies. It is
// a hint: the run's record decides.
type CleanCommand struct {
	Run         string `json:"run"`
	Destination string `json:"destination"`
}
