package main

// webhookMutants break what the area webhook promises.
var webhookMutants []mutant
