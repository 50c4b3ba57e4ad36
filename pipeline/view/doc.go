// Package view reads what the store has of runs and of triggers that wait, and changes nothing.
package view
