database {
  url             = env("DATABASE_URL")
  slot            = "shop_events"
  replication_url = env("DIRECT_URL")
}

outbox {
  table     = "public.outbox"
  columns   = { id = "id", type = "type", key = "aggregate_id", tenant = "account_id", payload = "payload", headers = null, created_at = "", extra = { region = "region_col", "shop-id" = "shop", none = null } }
  messages  = "myapp"
  start     = "now"
  retention = "forever"
  search    = { order = event.data.order_id, "invoice-no" = coalesce(event.data.invoice, event.headers["x-invoice"]) }
}

defaults {
  timeout     = "20s"
  concurrency = 8
  headers     = { "X-Source" = "shop" }
  retry {
    schedule = ["1s", "2s"]
  }
}

endpoint "erp" {
  url           = "https://erp.example.com/tailpost"
  description   = "ERP sync"
  secret        = [env("ERP_SECRET"), env("OLD_SECRET", "whsec_AAAQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")] # WARNING "Literal secret"
  signature     = "standard"
  format        = "cloudevents"
  headers       = { "X-Source" = "erp", Authorization = "Bearer ${env("TOKEN")}" }
  timeout       = "10s"
  ordering      = "none"
  redirects     = 2
  tenant        = "acme"
  park_after    = "2s"
  disable_after = "never"

  subscription {
    events = ["order.*", "inventory.low_stock", "audit.**"]
    where  = event.data.total > 100 && event.tenant != "test"
    body   = { order = event.data.id, total = event.data.total }
  }
  subscription {
    where = (
      event.created_at >= "2026-01-01T00:00:00Z" ||
      contains(["a", "b"], event.headers["X-Kind"])
    )
  }
}

endpoint "legacy" {
  url       = "http://10.1.2.3:8080/in?x=1"
  secret    = file("secrets/legacy")
  signature = "github"
  format    = "raw"
  retry {
    schedule = []
  }
}

endpoint "keys" {
  url    = "https://keys.example.com"
  secret = split(",", env("SECRETS"))
}

network {
  allow      = ["10.1.0.0/16", "192.0.2.7"]
  allow_http = true
  proxy      = env("EGRESS_PROXY")

  proxy_resolves = true
  no_proxy       = ["internal.example", "10.1.0.0/16"]
}

secrets {
  keys = [env("SEAL_KEY"), env("SEAL_KEY_OLD")]
}

log {
  level  = "debug"
  format = "console"
}

retention {
  attempts = "720h"
  dead     = "forever"
  stats    = "2160h"
}

api {
  listen = "0.0.0.0:8443"
  key "ci" {
    secret = env("ERP_SECRET")
    scopes = ["endpoints:write"]
    tenant = "acme"
  }
  key "ops" { secret = "a literal of enough characters" } # WARNING "Literal secret"
  tls {
    cert = "tls/cert.pem"
    key  = "/etc/tailpost/key.pem"
  }
}
