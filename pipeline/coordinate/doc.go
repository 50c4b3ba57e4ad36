// Package coordinate changes the state of runs: it begins them, takes them over, resumes them, watches over them, and
// ends them. What is to be asked and delivered it commands, and reads in the records how that goes.
package coordinate
