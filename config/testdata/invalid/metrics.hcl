database { url = env("DATABASE_URL") }
endpoint "a" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
}
metrics {
  listen = "127.0.0.1" # ERROR "Invalid address: Write an address and a port"
  path   = "/metrics"  # ERROR "There is no \"path\" in the metrics block"
}
