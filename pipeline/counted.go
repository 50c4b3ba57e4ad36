package pipeline

import (
	"fmt"
)

// Counted is a number of things in words: "1 connection", "3 connections".
func Counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
