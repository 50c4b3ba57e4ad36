package notify

import (
	"context"
	"maps"
	"slices"
	"time"

	"fanmill/pipeline"
)

func webhookKind(post Poster) *pipeline.NotifyKind {
	request := func(spec pipeline.NotifySpec) (Post, error) {
		var o webhookOptions
		if err := spec.Target.Decode(webhookTable, spec.Expand, &o); err != nil {
			return Post{}, err
		}
		mask := append([]string{o.URL, o.Proxy}, o.Secrets...)
		return Post{URL: o.URL, CA: o.CA, Proxy: o.Proxy, Secrets: o.Secrets, Headers: o.Headers, Mask: slices.AppendSeq(mask, maps.Values(o.Headers))}, nil
	}
	return &pipeline.NotifyKind{Name: "webhook", Label: "webhook", Description: "A request with the notice as JSON, signed as Standard Webhooks has it.", Options: webhookTable,
		Send: func(ctx context.Context, spec pipeline.NotifySpec) (string, error) {
			p, err := request(spec)
			if err != nil {
				return "", err
			}
			p.Key, p.Body = spec.Notice.ID, webhookBody(spec.Notice)
			return post(ctx, p)
		},
		Probe: func(ctx context.Context, spec pipeline.NotifySpec) error {
			p, err := request(spec)
			if err != nil {
				return err
			}
			p.Key, p.Probe = "probe", true
			_, err = post(ctx, p)
			return err
		}}
}

type webhookOptions struct {
	URL     string            `json:"url"`
	Secrets []string          `json:"secrets"`
	Headers map[string]string `json:"headers"`
	CA      string            `json:"ca"`
	Proxy   string            `json:"proxy"`
}

var webhookTable = append(chatTable("https://example.com/hooks/fanmill"),
	pipeline.Option{Name: "secrets", Types: []string{"array"}, Use: pipeline.Secret, Min: 1, Max: 5, Items: &pipeline.Option{Types: []string{"string"}}, Absent: "no signature",
		Description: "Signing secrets of Standard Webhooks, the newest first: each signs every request.", Example: []string{"${HOOK_SECRET}"}},
	pipeline.Option{Name: "headers", Types: []string{"object"}, Use: pipeline.Secret, Each: &pipeline.Option{Types: []string{"string"}}, Absent: "none",
		Description: "Headers of each request, such as `Authorization`.", Example: map[string]string{"Authorization": "Bearer ${TOKEN}"}},
)

// webhookBody is the notice as Standard Webhooks has the body of an event.
func webhookBody(n *pipeline.Notice) []byte {
	return encode(struct {
		Type      string           `json:"type"`
		Timestamp time.Time        `json:"timestamp"`
		Data      *pipeline.Notice `json:"data"`
	}{"fanmill.job." + string(n.Event), n.At.UTC(), n})
}

// accepting says of an answer that it is only a promise.
func accepting(post Poster) Poster {
	return func(ctx context.Context, p Post) (string, error) {
		answer, err := post(ctx, p)
		if err == nil && !p.Probe {
			answer = "accepted, which does not say that it was posted; look into the channel, and at the flow's run history if nothing is there (" + answer + ")"
		}
		return answer, err
	}
}
