database { url = env("DATABASE_URL") }
endpoint "a" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
}
metrics {
  listen = ":9090" # ERROR "Open metrics: Anybody who reaches this address could read them. Listen on .*127.0.0.1:9090.*with a key"
}
