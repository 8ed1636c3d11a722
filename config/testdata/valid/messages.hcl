database { url = "host=localhost dbname=app" }
outbox { messages = "myapp" }
endpoint "a" {
  url       = "https://a.example.com"
  secret    = "plain text" # WARNING "Literal secret"
  signature = "stripe"
}
