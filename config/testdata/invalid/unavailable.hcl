database { url = env("DATABASE_URL") }
endpoint "a" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
}
metrics { # ERROR "Setting not available in this version: metrics is not"
  listen = "127.0.0.1:9090"
}
