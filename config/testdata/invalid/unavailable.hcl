database { url = env("DATABASE_URL") }
endpoint "a" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
}
api {} # ERROR "Setting not available in this version: api is not"
metrics { # ERROR "Setting not available in this version: metrics is not"
  listen = "127.0.0.1:9090"
}
