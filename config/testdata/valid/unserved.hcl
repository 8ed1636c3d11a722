database { url = "host=localhost dbname=app" }
outbox { columns = { tenant = null, key = null } }
endpoint "a" {
  url      = "https://a.example.com"
  secret   = env("ERP_SECRET")
  tenant   = "acme" # WARNING "Endpoint that matches no event: .*Name the column"
  ordering = "key" # WARNING "Order without keys: .*Name the column"
}
endpoint "b" {
  url      = "https://b.example.com"
  secret   = env("ERP_SECRET")
  ordering = "strict"
}
