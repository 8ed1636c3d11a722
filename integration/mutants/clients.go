package main

// clientMutants break what generated clients build on.
var clientMutants = []mutant{
	{
		name: "clients-upsert-says-nothing-is-new", file: "relay/internal/api/upsert.go",
		old: "Status: http.StatusCreated, ETag: out.ETag", new: "Status: http.StatusOK, ETag: out.ETag",
		promise: "A generated client sees by the status whether an endpoint is new.",
		pkg:     "./integration", run: "TestClients/go-client",
	},
	{
		name: "clients-document-of-another-api", file: "relay/internal/api/openapi.json",
		old: "\"operationId\": \"put-endpoint\"", new: "\"operationId\": \"set-endpoint\"",
		promise: "Clients are generated from the document, and compiled.",
		pkg:     "./integration", run: "TestClients/go-client",
	},
}
