package main

// dispatchMutants break what the area dispatch promises.
var dispatchMutants []mutant
