database { url = env("DATABASE_URL") }
defaults {
  ordering = "keys" # ERROR "Did you mean \"key\""
}
endpoint "b" {
  url           = "https://b.example.com"
  secret        = env("ERP_SECRET")
  rate          = "100/d"  # ERROR "Invalid rate: .*100/s"
  disable_after = "1ms"    # ERROR "Duration out of range"
  circuit {
    failures = 0   # ERROR "Number out of range"
    reopen   = "x" # ERROR "Invalid duration"
  }
}
