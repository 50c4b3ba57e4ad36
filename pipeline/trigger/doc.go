// Package trigger takes triggers and cancellations, answers them, keeps them in their order, and has coordinate carry
// out what they ask for.
package trigger
