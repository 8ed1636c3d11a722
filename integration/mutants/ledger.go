package main

// ledgerMutants break what the area ledger promises.
var ledgerMutants []mutant
