package main

// coreMutants break what the area core promises.
var coreMutants []mutant
