database { url = env("DATABASE_URL") }
endpoint "erp" {
  url    = "https://erp.example.com"
  secret = env("ERP_SECRET")
}
fanout "nats" {
  url        = env("NATS_URL")
  partitions = null
  token      = null
}
