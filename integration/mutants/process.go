package main

// processMutants break what the area process promises.
var processMutants []mutant
