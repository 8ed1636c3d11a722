database { url = env("DATABASE_URL") }
endpoint "all" { # ERROR "name them, as in events"
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  format = "slack"
}
endpoint "mixed" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  format = "teams"
  subscription {
    events = ["webhook.*", "order.*"] # ERROR "Events of the application"
  }
  subscription { # ERROR "Two bodies"
    events = ["webhook.disabled"]
    body   = { text = event.type }
  }
}
endpoint "ops" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  format = "slack"
  subscription {
    events = ["webhook.**"]
  }
}
