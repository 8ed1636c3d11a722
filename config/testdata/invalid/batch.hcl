database { url = env("DATABASE_URL") }
endpoint "a" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
  format = "raw"
  batch { # ERROR "Format without batches: Format \"raw\""
    events = 1001  # ERROR "Number out of range: .*1 to 1000"
    wait   = "2s"  # ERROR "Longer than park_after"
    bytes  = "1GB" # ERROR "Invalid size"
  }
}
endpoint "b" {
  url    = "https://b.example.com"
  secret = env("ERP_SECRET")
  batch {
    events = -1      # ERROR "Number out of range"
    wait   = "-1s"   # ERROR "Invalid duration"
    bytes  = "100MB" # ERROR "Size out of range: .*from 1KB to 10MB"
    size   = 3       # ERROR "Unknown"
  }
}
endpoint "c" {
  url        = "https://c.example.com"
  secret     = env("ERP_SECRET")
  park_after = "1m"
  batch {
    wait  = "11s"   # ERROR "Duration out of range"
    bytes = "999B"  # ERROR "Size out of range"
  }
}
endpoint "d" {
  url        = "https://d.example.com"
  secret     = env("ERP_SECRET")
  park_after = "2s"
  batch {
    wait = "2s" # ERROR "Longer than park_after"
  }
}
endpoint "e" {
  url        = "https://e.example.com"
  secret     = env("ERP_SECRET")
  park_after = "2s"
  batch {
    wait = "1999ms"
  }
}
