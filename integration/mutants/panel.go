package main

// panelMutants break what the area panel promises.
var panelMutants []mutant
