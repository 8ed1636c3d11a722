database {
  url  = env("DATABASE_URL")
  slot = "orders"
}

network {
  allow      = ["127.0.0.1/32"]
  allow_http = true
}

defaults {
  timeout = "5s"
}

endpoint "go-receiver" {
  url    = "http://127.0.0.1:4001/webhooks"
  secret = env("WEBHOOK_SECRET")
}

endpoint "node-receiver" {
  url    = "http://127.0.0.1:4002/webhooks"
  secret = env("WEBHOOK_SECRET")

  # Only what this receiver needs to know.
  subscription {
    events = ["order.created"]
    body   = { order = event.data.id, total = event.data.total }
  }
}
