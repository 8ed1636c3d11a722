database { url = env("DATABASE_URL") }
outbox {
  start     = "beginning" # ERROR "Setting not available in this version: outbox.start can only be \"now\""
  retention = "168h"      # ERROR "Setting not available in this version: outbox.retention can only be \"forever\""
}
defaults {
  ordering = "key" # ERROR "Setting not available in this version: ordering can only be \"none\""
}
endpoint "a" {
  url           = "https://a.example.com"
  secret        = env("ERP_SECRET")
  rate          = "100/s" # ERROR "Setting not available in this version: rate is not"
  disable_after = "120h"  # ERROR "Setting not available in this version: disable_after is not"
  circuit {} # ERROR "Setting not available in this version: circuit is not"
}
endpoint "b" {
  url           = "https://b.example.com"
  secret        = env("ERP_SECRET")
  rate          = "100/d"  # ERROR "Invalid rate: .*100/s"
  disable_after = "1ms"    # ERROR "Setting not available" "Duration out of range"
  circuit { # ERROR "Setting not available"
    failures = 0   # ERROR "Number out of range"
    reopen   = "x" # ERROR "Invalid duration"
  }
}
api {} # ERROR "Setting not available in this version: api is not"
metrics { # ERROR "Setting not available in this version: metrics is not"
  listen = "127.0.0.1:9090"
}
