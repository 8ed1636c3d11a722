database { url = env("DATABASE_URL") }
defaults {
  ordering = "key"
}
endpoint "a" {
  url           = "https://a.example.com"
  secret        = env("ERP_SECRET")
  rate          = "100/s"
  ordering      = "strict"
  on_dead       = "hold"
  disable_after = "120h"
  method        = "PUT"
  success       = ["2xx", 409]
  permanent     = [400, "422"]
  circuit {
    failures = 5
    reopen   = "10s"
  }
  batch {
    events = 50
    wait   = "0s"
  }
}
endpoint "b" {
  url    = "https://b.example.com"
  secret = env("ERP_SECRET")
  format = "cloudevents"
  batch {
    bytes   = "256KiB"
    partial = true
  }
}
