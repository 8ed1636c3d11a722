package main

// configMutants break what the area config promises.
var configMutants []mutant
