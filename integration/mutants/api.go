package main

// apiMutants break what the area api promises.
var apiMutants []mutant
