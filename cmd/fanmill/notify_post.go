package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"fanmill/internal/notify"
	"fanmill/pipeline"
	"fanmill/sinks/post"
)

// postNotice makes one attempt at a notice, as a destination makes one at a request.
func postNotice(ctx context.Context, p notify.Post) (answer string, err error) {
	c, err := post.New(post.Options{URL: p.URL, Headers: p.Headers, TLS: post.TLS{CA: p.CA}, Proxy: p.Proxy, Webhook: len(p.Secrets) > 0, SigningSecrets: p.Secrets, Mask: p.Mask})
	if err != nil { // in the target's settings
		return "", &pipeline.Trouble{Scope: pipeline.OfTarget, Err: err}
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if p.Probe {
		_, err := c.Probe(ctx)
		return "", err
	}
	receipt, err := c.Send(ctx, post.Request{Key: p.Key, Body: bytes.NewReader(p.Body), Length: int64(len(p.Body)), SHA256: sha256.Sum256(p.Body), ContentType: "application/json; charset=utf-8"})
	if err != nil {
		return "", err
	}
	answer = fmt.Sprintf("it answered %d", receipt.Status)
	if text := strings.TrimSpace(string(receipt.Answer)); text != "" {
		if len(text) > 200 {
			text = text[:200] + "…"
		}
		answer += ": " + text
	}
	return answer, nil
}
