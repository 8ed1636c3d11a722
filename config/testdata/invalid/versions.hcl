database { url = env("DATABASE_URL") }
version "2026-09-20" {
  body = { id = event.data.id } # ERROR "There is no \"body\" in a version block"
  event "order.*" { # ERROR "Missing body"
    where = event.data.total > 1
  }
  event "webhook.failed" { # ERROR "They have no versions"
    body = { id = event.data.id }
  }
  event "order*" { # ERROR "Invalid event pattern"
    body = { id = event.data.id }
  }
  event "user.*" {
    body = { id = evnt.data.id } # ERROR "Unknown"
  }
  event "shop.*" { # ERROR "Unknown extra column"
    body = { id = event.extra.region }
  }
  event { # ERROR "Write event \"order.*\" "
    body = { id = event.data.id }
  }
}
version "2026-02-30" {} # ERROR "Name it for the day of the change"
version "v2" {} # ERROR "Invalid version"
version "2026-09-20" {} # ERROR "Repeated version"
version {} # ERROR "Write version \"2026-09-20\""
version "2025-01-01" { # ERROR "Nothing before the oldest version"
  event "order.*" {
    body = { id = event.data.id }
  }
}
endpoint "a" {
  url     = "https://a.example.com"
  secret  = env("ERP_SECRET")
  version = "2026-09-21" # ERROR "Did you mean \"2026-09-20\""
}
