database {
  url             = env("NOT_SET") # ERROR "Missing environment variable: Set NOT_SET, or give a default"
  replication_url = "db.example.com/app" # ERROR "Invalid database URL: Write postgres://user:password@host"
  slot            = "Shop Events" # ERROR "Invalid slot name: .*lower case"
}
outbox {
  table    = "a." # ERROR "Invalid table name: Write it with its schema"
  columns  = { id = "id", tenat = "x", extra = { "a b" = "x", region = [1], shop = "" } } # ERROR "Unknown column: .*Did you mean \"tenant\"?" "Invalid extra column: .*\"a b\" has a name that event.extra cannot have" "Wrong kind of value: Write the name of the column" "Invalid extra column: No column is named for extra \"shop\""
  time_zone = "Mars/Olympus" # ERROR "Unknown time zone: .*Europe/Berlin"
  messages = "tailpost" # ERROR "Reserved prefix"
  start    = "yesterday" # ERROR "Invalid start: .*beginning"
}
network {
  allow      = ["10.1.0.0/16", "10.1"] # ERROR "Invalid network: .*10.1.2.3"
  allow_http = "perhaps" # ERROR "Wrong kind of value: Write true or false"
  proxy      = "proxy:3128" # ERROR "Invalid proxy URL: Write http://host:port"
}
log {
  level  = "warning" # ERROR "Unknown log level: .*Did you mean \"warn\"?"
  format = xml # ERROR "Unknown variable: .*Put text in quotes"
}
endpoint "url" {
  url       = "erp.example.com/x" # ERROR "Invalid URL: Write an absolute URL"
  secret    = event.data.x # ERROR "Unknown variable: .*Only url, query, headers, where, body and search see an event"
  signature = "standart" # ERROR "Unknown signature: .*Did you mean \"standard\"?"
  format    = "jsn" # ERROR "Unknown format: Write \"standard\""
}
endpoint "missing" { # ERROR "Missing URL" "Missing secret: .*tailpost secret"
}
endpoint "http" {
  url         = "http://erp.example.com" # ERROR "Plain http URL: Use https, or set allow_http"
  secret      = [env("SHORT_SECRET"), evn("X"), file("nowhere"), env("ERP_SECRET"), env("ERP_SECRET"), 5] # ERROR "Invalid secret: Write whsec_" "Unknown function: .*Did you mean \"env\"" "Unreadable file: .*no such file" "Repeated secret" "Wrong kind of value"
  timeout     = "15" # ERROR "Invalid duration: Write a number and a unit"
  park_after  = "7d" # ERROR "Invalid duration: Write days as hours: \"168h\""
  concurrency = 0 # ERROR "Number out of range: Write a number from 1"
  redirects   = 3 # ERROR "Number out of range: Write a number from 0 to 2"
  retry {
    schedule = ["5s", "x", "9999h"] # ERROR "Invalid duration" "Duration out of range: .*720h"
  }
}
endpoint "user" {
  url    = "https://user:hunter2@erp.example.com" # ERROR "User information in the URL: Remove user"
  secret = "whsk_AAAA" # ERROR "Invalid secret: Write whsk_ and the base64" # WARNING "Literal secret: Keep it out of the file"
}
endpoint "fragment" {
  url     = "https://erp.example.com/#x" # ERROR "Fragment in the URL"
  secret  = "hunter2" # ERROR "Invalid secret: Write a secret that begins with whsec_" # WARNING "Literal secret"
}
retention {
  attempts = "1h" # ERROR "Duration out of range: .*48h"
  dead     = "always" # ERROR "Invalid duration"
}
