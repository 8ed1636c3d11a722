# An existing table: say where it is and which column is which. `tailpost migrate` makes only Tailpost's own schema then.

database {
  url  = env("DATABASE_URL")
  slot = "shop_events"
}

outbox {
  table = "shop.domain_events"

  columns = {
    id         = "seq"
    type       = "event_name"
    key        = "aggregate_id"
    tenant     = "account_id"
    payload    = "body"
    created_at = "occurred_at"
    headers    = null # there is no such column
  }
}

network {
  allow      = ["127.0.0.1/32"]
  allow_http = true
}

endpoint "orders" {
  url    = "http://127.0.0.1:4000/"
  secret = env("TAILPOST_SECRET")

  subscription {
    events = ["order.*"]
    where  = event.data.total > 100
  }
}
